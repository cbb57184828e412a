"""One row: a program trains, and what it has found is asked for each test input and read as all programs' is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import orjson
from anyio.abc import Process

from agents.prompting.retrieval_slots import open_slots
from agents.ring.team import only
from benchmarks.peers.catalogue import BY_HAND, FIRST, PROGRAMS
from benchmarks.peers.chains import answered
from benchmarks.peers.endpoint import Endpoint, Said
from benchmarks.peers.environments import python_of, variables, versions
from benchmarks.peers.material import Found, Material, as_chat, write_job
from benchmarks.peers.programs.job import TASK, WRITER
from benchmarks.peers.rows import Row
from protocols.errors import PromptFlowError
from protocols.prompt import Prompt
from protocols.task import Judgement

ROOT = Path(__file__).resolve().parent.parent.parent
NEAREST = (0, 4, 8, 16)
"""Numbers of nearest examples that are tried by hand."""
ERROR = re.compile(r"[\w.]+(Error|Exception|Exit|Interrupt)\b")
"""How the last line of a traceback begins."""
LONGEST = 4 * 3600.0
"""Seconds after which a program is ended."""


class ProgramFailed(PromptFlowError):
    """A program has ended without a prompt; says what it said last."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one prompt earns on the test examples."""

    judged: Sequence[Judgement]
    said: Sequence[Said]

    @property
    def value(self) -> float:
        """The mean score."""
        return statistics.fmean(judgement.score for judgement in self.judged)


@dataclass(frozen=True, slots=True)
class Allowed:
    """`calls`: of the task's model, for a program. `reply_tokens`, `writer_tokens`: of a reply of the task's model
    (None: as many as PromptFlow allows for answers of the kind) and of the writer. `at_once`: calls in flight."""

    calls: int
    reply_tokens: int | None
    writer_tokens: int
    at_once: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rows share. `work`: folder of environments and of what programs leave."""

    endpoint: Endpoint
    work: Path
    allowed: Allowed
    settings: Mapping[str, object]
    environ: Mapping[str, str]

    async def row(self, name: str, material: Material, seed: int) -> Row:
        """Train and judge; a program that fails has a row that says so.

        :raises UpstreamFailed: the model's server is gone.
        :raises ConfigError: the program's environment cannot be made.
        """
        allowed, longest = self.allowed, self.allowed.reply_tokens or material.longest
        self.endpoint.begin(material.task, allowed.calls, longest, allowed.writer_tokens)
        note: Mapping[str, object] = {}
        try:
            if name == BY_HAND:
                asked, note = await self._by_hand(material)
            elif name == FIRST:
                asked = await self.judged(material, material.begun())
            else:
                chats, seconds = await self._trained(name, material, seed)
                return replace(self._row(name, material, seed, await self.judged(material, chats)), seconds=seconds)
        except ProgramFailed as error:
            return replace(self._row(name, material, seed, Asked([], [])), error=str(error))
        return replace(self._row(name, material, seed, asked), note=note)

    def _row(self, name: str, material: Material, seed: int, asked: Asked) -> Row:
        accounts = self.endpoint.accounts
        answered = [said for said in asked.said if said.text is not None]
        return Row(
            data=material.name,
            seed=seed,
            program=name,
            version=version_of(name),
            settings={
                **self.settings,
                "sizes": [len(material.task.split(s)) for s in ("train", "validation", "test")],
            },
            test=asked.value if asked.judged else 0.0,
            scores=[judgement.score for judgement in asked.judged],
            unread=sum(judgement.answer is None for judgement in asked.judged),
            task=accounts[TASK],
            writer=accounts[WRITER],
            prompt=statistics.fmean(said.input for said in answered) if answered else 0.0,
            reply=statistics.fmean(said.output for said in answered) if answered else 0.0,
            seconds=0.0,
            note={},
        )

    async def judged(self, material: Material, found: Sequence[Found]) -> Asked:
        """What was found for all test examples, asked and read. A request that the server refuses scores 0.

        :raises UpstreamFailed: the model's server is gone.
        """
        said: list[Said] = [Said(None, 0, 0)] * len(found)
        task, ask_one = material.task, self.endpoint.ask
        gate = anyio.CapacityLimiter(self.allowed.at_once)

        async def ask(place: int) -> None:
            async with gate:
                one = found[place]
                answering = answered(task, task.test[place], one, ask_one) if isinstance(one, dict) else ask_one(one)
                said[place] = await answering

        try:
            async with anyio.create_task_group() as tasks:
                for place in range(len(found)):
                    tasks.start_soon(ask, place)
        except BaseExceptionGroup as group:
            raise only(group) from None
        pairs = zip(material.task.test, said, strict=True)
        return Asked([await self.endpoint.judge(e, one.text or "") for e, one in pairs], said)

    async def _by_hand(self, material: Material) -> tuple[Asked, Mapping[str, object]]:
        """The best, on the test examples, of what a person would write who knows that nearest turns are good: what is
        there to be had, and no program's result.

        :raises ProgramFailed: the task has a program.
        """
        if material.task.program:
            raise ProgramFailed("it knows one prompt alone")
        found = {k: await self.judged(material, by_hand(material, k)) for k in NEAREST}
        best = max(found, key=lambda k: found[k].value)
        return found[best], {"nearest": {str(k): asked.value for k, asked in found.items()}}

    async def _trained(self, name: str, material: Material, seed: int) -> tuple[list[Found], float]:
        """What a program has left for each test input, and how many seconds it took.

        :raises ProgramFailed: it has left none.
        """
        program = PROGRAMS[name]
        if program.labels and material.task.kind.name != "classification":
            raise ProgramFailed("it knows labels alone")
        if material.task.program and not program.several:
            raise ProgramFailed("it knows one prompt alone")
        python = await anyio.to_thread.run_sync(python_of, program.environment, self.work)
        folder = self.work / "programs" / f"{material.name}-{seed}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        told = material.job(
            url=self.endpoint.url, calls=self.allowed.calls, seed=seed, at_once=self.allowed.at_once, work=str(folder)
        )
        write_job(folder / "job.json", told)
        module = f"benchmarks.peers.programs.{program.script}"
        begun = time.monotonic()
        command = [str(python), "-m", module, str(folder / "job.json"), name]
        with (folder / "output.txt").open("wb") as output:
            process = await anyio.open_process(
                command,
                cwd=ROOT,
                env=variables(self.environ, folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=sys.platform != "win32",
            )
            async with process:
                try:
                    with anyio.move_on_after(LONGEST):
                        await process.wait()
                finally:
                    ended(process)
        return left(folder, len(material.task.test)), time.monotonic() - begun


def ended(process: Process) -> None:
    """End a program and the processes that it has started, if it has not ended."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)


def left(folder: Path, count: int) -> list[Found]:
    """What a program has written.

    :raises ProgramFailed: nothing, or not for every test example.
    """
    output = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    try:
        found: list[Found] = orjson.loads((folder / "found.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        errors = [line for line in output if ERROR.match(line)] or output
        raise ProgramFailed(errors[-1][:300] if errors else "it ended and said nothing") from None
    if len(found) != count:
        raise ProgramFailed(f"it left {len(found)} prompts for {count} test examples")
    return found


def by_hand(material: Material, k: int) -> list[Found]:
    """The first prompt with the `k` nearest training examples before each test input, as turns."""
    slots = open_slots(material.task, [])
    shown = Prompt(
        tuple(
            replace(section, form="turns", text=f"{{examples:{k}}}" if k else "")
            if section.kind == "examples"
            else section
            for section in material.first
        )
    )
    return [as_chat(shown, slots.inputs(shown, example.inputs)) for example in material.task.test]


def version_of(name: str) -> str:
    """What was measured: the version of a peer, the commit of the working tree for ours."""
    environment = PROGRAMS[name].environment
    if environment is not None:
        return versions(environment)
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=7"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
