"""--batch of evaluate and search: the same numbers at half the price, and nothing is paid for twice, however the
process ends between sending and fetching."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from agents.api import train
from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL
from agents.models.batching import check_batch
from agents.run.scoring import Scoring
from memory.journals.reading import read_spent
from protocols.batches.desk import AGAIN
from protocols.errors import ConfigError
from tests.batch_server import BatchServer, Plan
from tests.pages import KEY, ROOT, SMALL, checkout, commands, page
from tests.small_task import SIZES, write_task

pytestmark = pytest.mark.anyio
ENVIRON = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
PRICE = {"input": 100.0, "output": 100.0, "batch": 0.5}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def says(turns: list[tuple[str, str]]) -> str:
    """Right on two of three."""
    return "parcel" if "box" in turns[-1][1] else "invoice"


def written(folder: Path, server: BatchServer, provider: str = "openai", **tables: dict[str, object]) -> Path:
    providers = {"openai": {"base_url": server.openai_url}, "anthropic": {"base_url": server.url}}
    own: dict[str, Any] = {"default": f"{provider}/m"}
    config = write_task(folder, tables={"models": own, "search": {"assignments": 0, "headroom": False}, **tables})
    lines = "".join(
        f'[providers.{name}]\nbase_url = "{table["base_url"]}"\n'
        f"price = {{ input = {PRICE['input']}, output = {PRICE['output']}, batch = {PRICE['batch']} }}\n"
        for name, table in providers.items()
    )
    config.write_text(config.read_text(encoding="utf-8") + lines, encoding="utf-8")
    return config


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_evaluate_in_batches_finds_the_same_at_half_the_price(tmp_path: Path, provider: str) -> None:
    prompt = tmp_path / "prompt.txt"
    async with BatchServer(says) as server:
        config = written(tmp_path, server, provider, search={"repeats": 2})
        usual = await Scoring(load(config, ()), ENVIRON, prompt, "validation").score()
        assert (server.single.total(), server.paid.total()) == (2 * SIZES["validation"], 0)
        there = load(config, ["run.batch=true"])
        batched = await Scoring(there, ENVIRON, prompt, "validation").score()
        assert (len(server.taken), server.paid) == (1, server.single)
        again = await Scoring(there, ENVIRON, prompt, "validation").score()
    assert usual.dollars
    assert batched.dollars == pytest.approx(usual.dollars / 2)
    assert replace(batched, seconds=0.0, dollars=0.0) == replace(usual, seconds=0.0, dollars=0.0)
    assert (again.value, again.calls, again.dollars, len(server.taken)) == (usual.value, 0, 0.0, 1)


async def test_a_search_asks_its_first_evaluation_and_its_report_in_batches(tmp_path: Path) -> None:
    async with BatchServer(says) as server:
        config = written(tmp_path, server)
        server.plans += [Plan(end="expired", fates=("not run",) * 3)]
        found = await train(config, directory=tmp_path / "run", environ=ENVIRON, run={"batch": True})
    assert [len(batch.lines) for batch in server.taken] == [SIZES["validation"], 3, SIZES["test"]]
    assert set(server.paid.values()) == {1}
    assert found.result.first.n == SIZES["validation"]
    assert found.result.test is not None
    assert found.result.test.n == SIZES["test"]
    models = {(spent.role, spent.model) for spent in read_spent(tmp_path / "run" / JOURNAL)}
    assert {("task", "openai/m"), ("task", "openai/m (batch)")} <= models
    cost = sum(server.tokens.values())
    assert found.result.dollars is not None
    assert 0.5 * cost * 100 / 1e6 < found.result.dollars < cost * 100 / 1e6


async def test_several_models_of_the_task_are_asked_in_batches_of_their_own(tmp_path: Path) -> None:
    both = ["openai/m", "anthropic/n"]
    async with BatchServer(says) as server:
        config = written(tmp_path, server, models={"default": "openai/m", "task": both})
        found = await train(config, directory=tmp_path / "run", environ=ENVIRON, run={"batch": True})
    assert [len(batch.lines) for batch in server.taken] == [SIZES["validation"]] * 2 + [SIZES["test"]] * 2
    assert set(server.paid.values()) == {2}, "once by each"
    assert found.result.dollars is not None
    each = [found.result.by_model[name].spent for name in both]
    assert each[0].calls == each[1].calls > SIZES["validation"] + SIZES["test"]
    assert 0 < (each[0].dollars or 0) + (each[1].dollars or 0) < found.result.dollars, "the rest is the critic's"
    spent = {(spent.role, spent.model) for spent in read_spent(tmp_path / "run" / JOURNAL)}
    assert {("task", f"{name} (batch)") for name in both} <= spent
    with pytest.raises(ConfigError, match=re.escape("which sell batches, not for local/x")):
        check_batch(load(config, ["run.batch=true", "models.task=['openai/m', 'local/x']"]))


class Command:
    """`run.py` as a process of its own."""

    def __init__(self, folder: Path, *words: object) -> None:
        environ = {**os.environ, **ENVIRON}
        command = [sys.executable, str(ROOT / "run.py"), *map(str, words), "--batch", "--json"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    async def ended(self) -> tuple[int, dict[str, Any], str]:
        out, err = await anyio.to_thread.run_sync(self.process.communicate)
        return self.process.returncode, orjson.loads(out or b"{}"), err.decode()


@pytest.mark.parametrize("command", ["evaluate", "search"])
async def test_what_kill_9_leaves_behind_is_fetched_by_the_same_command(tmp_path: Path, command: str) -> None:
    async with BatchServer(says) as server:
        config = written(tmp_path, server)
        words = [command, tmp_path / "prompt.txt", config] if command == "evaluate" else [command, config]
        words += ["--out", tmp_path / "run"] if command == "search" else []
        server.held = True
        first = Command(tmp_path, *words)
        await server.arrived.wait()
        first.process.kill()
        assert (await first.ended())[0] == -signal.SIGKILL
        server.held = False
        code, document, err = await Command(tmp_path, *words).ended()
        assert code == 0, err
    assert len(server.taken) == (1 if command == "evaluate" else 2)
    assert set(server.paid.values()) == {1}
    if command == "evaluate":
        assert document["calls"] == server.paid.total()
    else:
        spent = {each.model: each.calls for each in read_spent(tmp_path / "run" / JOURNAL) if each.role == "task"}
        assert spent["openai/m (batch)"] == server.paid.total() == SIZES["validation"] + SIZES["test"]


async def test_ctrl_c_says_what_becomes_of_the_batch(tmp_path: Path) -> None:
    async with BatchServer(says) as server:
        words = ["evaluate", tmp_path / "prompt.txt", written(tmp_path, server)]
        server.held = True
        first = Command(tmp_path, *words)
        await server.arrived.wait()
        first.process.send_signal(signal.SIGINT)
        code, document, err = await first.ended()
        assert code == 130
        assert f"goes on: {AGAIN}" in document["error"]["message"], err
        server.held = False
        code, document, err = await Command(tmp_path, *words).ended()
    assert (code, document["n"], len(server.taken)) == (0, SIZES["validation"], 1), err
    assert server.paid == Counter(dict.fromkeys(server.paid, 1))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["models.task='embedded'"], "which sell batches, not for embedded"),
        (["models.task='local/smollm2-135m'"], "which sell batches, not for local/smollm2-135m"),
        (["providers.openai.api='completions'"], "asked for completions of a text"),
    ],
)
async def test_what_cannot_be_asked_in_batches_is_refused_before_anything_is_sent(
    tmp_path: Path, settings: list[str], reason: str
) -> None:
    async with BatchServer(says) as server:
        config = written(tmp_path, server)
        with pytest.raises(ConfigError, match=reason):
            await Scoring(
                load(config, ["run.batch=true", *settings]), ENVIRON, tmp_path / "prompt.txt", "test"
            ).score()
    assert not server.taken
    assert not server.single
    assert not (tmp_path / "runs").exists()


async def test_neither_a_client_nor_a_program_is_asked_in_batches(tmp_path: Path) -> None:
    config = write_task(tmp_path, tables={"models": {"default": "openai/m"}})
    client = 'providers."openai/m"={client="somebody:client"}'
    with pytest.raises(ConfigError, match="keeps them; remove client"):
        check_batch(load(config, ["run.batch=true", client]))
    program = write_task(tmp_path / "program", tables={"models": {"default": "openai/m"}})
    content = program.read_text(encoding="utf-8").replace("[task]\n", '[task]\nprogram = "somebody:program"\n')
    content = content.replace("[prompt]\nfile", "[prompts.one]\nfile")
    program.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="a program asks as it goes on"):
        check_batch(load(program, ["run.batch=true"]))


async def test_every_command_of_the_page_runs_as_it_is_written(tmp_path: Path) -> None:
    checkout(tmp_path)
    environ = {**os.environ, **ENVIRON, "COLUMNS": "120"}
    async with BatchServer(lambda turns: "billing") as server:
        environ["OPENAI_BASE_URL"] = server.openai_url
        for words in commands(page("docs/batch.md")):
            extra = SMALL if "search" in words else []
            done = await anyio.run_process(
                [sys.executable, *words[1:], *extra], cwd=tmp_path, env=environ, check=False
            )
            assert done.returncode == 0, done.stderr
    assert len(server.taken) == 3  # of evaluate, and of the search at its beginning and at its end
