"""A program of two prompts beside its peers: the copy that they run does what ours does, and all are judged alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.config.configuration import load
from agents.programs.running import Draw, Running
from benchmarks.peers.chains import answered, chain
from benchmarks.peers.endpoint import Said, Upstream, UpstreamFailed, served
from benchmarks.peers.programs.job import Item, Job, Message
from benchmarks.peers.programs.pipeline import answer, filled, instructed, shown, unframed
from benchmarks.peers.programs.run_promptflow import settings, written
from benchmarks.peers.running import ROOT, Allowed, Bench
from protocols.errors import ConfigError
from protocols.model import Reply, Request
from protocols.task import Example
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
PIPELINE = ROOT / "examples" / "pipeline.toml"
DRAWN = chain(PIPELINE)
TEXT = st.text(st.sampled_from("ab {}\n") | st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["{text}", "{order}", "{inputs}"]
)


class Scripted:
    """A model that gives replies in turn, and knows what was asked."""

    name = "scripted"

    def __init__(self, replies: Sequence[str]) -> None:
        self.replies, self.asked = list(replies), list[tuple[str, int | None, list[Message]]]()

    async def complete(self, request: Request) -> Reply:
        chat = [{"role": m.speaker, "content": m.text} for m in request.messages]
        self.asked.append((request.prompt, request.max_tokens, chat))
        return Reply(self.replies[len(self.asked) - 1])


@given(TEXT, TEXT, TEXT)
def test_the_copy_and_the_judge_ask_what_ours_asks(text: str, order: str, line: str) -> None:
    task, example = DRAWN.task, Example("1", {"text": text}, "1 x bun")
    assert task.program is not None
    model = Scripted([order, line])
    limits, known = task.program.prompts, task.placeholders
    running = Running(task.program, model, known, lambda name, _: limits[name] or 0, lambda _, values: values)
    reply, _ = anyio.run(running.answer, DRAWN.first, example, Draw(0, 0.0, None))

    copied = list[tuple[str, int | None, list[Message]]]()

    def call(name: str, messages: list[Message]) -> str:
        copied.append((name, limits[name], messages))
        return [order, line][len(copied) - 1]

    replies = answer(example.inputs, DRAWN.parts, call)
    assert (copied, replies) == (model.asked, {"extract": order, "write": line})

    judged = list[tuple[int | None, list[Message]]]()

    async def ask(messages: Sequence[Message], most: int | None) -> Said:
        judged.append((most, list(messages)))
        return Said([order, line][len(judged) - 1], 5, 2)

    said = anyio.run(answered, task, example, DRAWN.parts, ask)
    assert judged == [one[1:] for one in model.asked]
    assert said == Said(reply.text, 10, 4)


def job(**told: object) -> Job:
    made = DRAWN.job(url="http://127.0.0.1:9", calls=400, seed=3, at_once=4, work=Path(), **told)
    splits = {name: [Item(**row) for row in made[name]] for name in ("train", "validation", "test", "spare")}
    return Job(**{**made, **splits})


def test_all_examples_of_the_configuration_are_given_and_no_answer_of_the_test() -> None:
    for split, given_rows in (("train", job().train), ("validation", job().validation), ("test", job().test)):
        lines = (PIPELINE.parent / "pipeline" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        answers = ["" if split == "test" else row["target"] for row in rows]
        assert [(i.id, i.inputs, i.answer) for i in given_rows] == [
            (row["id"], row["input"], wanted) for row, wanted in zip(rows, answers, strict=True)
        ]
    assert json.loads(json.dumps(asdict(job()) | {"work": ""}))["limits"] == {"extract": 32, "write": 40}


def test_a_prompt_is_taken_apart_and_put_together() -> None:
    messages = job().prompts["extract"]
    [first, second] = shown("extract", messages)
    assert first["order"] == "Could we have sixteen plain rolls for that?"
    assert second["text"] == "My neighbour told me about your shop. I am looking forward to one rye loaf."
    assert filled(messages[-1:], first) == messages[1:2]
    assert instructed(messages, messages[0]["content"]) == messages
    assert shown("write", job().prompts["write"]) == []


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("3 x bun", "3 x bun"),
        ("[[ ## line ## ]]\n3 x bun\n\n[[ ## completed ## ]]", "3 x bun"),
        ("Well.\n [[ ## line ## ]] 3 x bun\n[[ ## line ## ]]\n4 x bun", "3 x bun"),
        ("[[ ## order ## ]]\nthree buns", "[[ ## order ## ]]\nthree buns"),
        ("a [[ ## line ## ]] b", "a [[ ## line ## ]] b"),
    ],
)
def test_a_frame_is_read_as_dspy_reads_it(reply: str, read: str) -> None:
    assert unframed(reply, "line") == read


def test_promptflow_has_the_settings_of_the_example_and_the_budget_of_all(tmp_path: Path) -> None:
    given_job = Job(**{**vars(job()), "work": tmp_path})
    found = load(Path(written(given_job)), [option.removeprefix("--set=") for option in settings(given_job)])
    assert (found.models.of("task"), found.models.of("proposer")) == ("openai/task", "openai/writer")
    assert found.search.operators == load(PIPELINE).search.operators
    assert {role: caps.calls for role, caps in found.budget.roles.items()} == {"task": 364, "credit": 36}
    assert found.search.seed == 3
    [spare] = (tmp_path / "test.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(spare)["input"] not in [item.inputs for item in given_job.test]


def clerk(turns: list[tuple[str, str]]) -> str:
    """Writes down in DSPy's frame what the first prompt has left of the message."""
    said = turns[-1][1]
    if said.endswith("Order:"):
        return "[[ ## order ## ]]\n<" + said.split("\n")[0].removeprefix("Message: ") + ">"
    by_message = {f"Order: <{example.inputs['text']}>\nLine:": example.target for example in DRAWN.task.test}
    return f"[[ ## line ## ]]\n{by_message[said]}"


async def test_both_prompts_are_asked_for_every_test_input_and_judged_by_the_metric(tmp_path: Path) -> None:
    async with WireServer(clerk) as server, served(Upstream(server.openai_url, "it", "k")) as endpoint:
        bench = Bench(endpoint, tmp_path, Allowed(400, None, 9, 4), {}, {})
        row = await bench.row("first", DRAWN, 0)
        assert (row.test, len(row.scores), row.settings["sizes"]) == (1.0, 32, [40, 24, 32])
        assert server.stats.calls == 64
        assert Counter(call.body["max_tokens"] for call in server.received) == {32: 32, 40: 32}
        assert row.prompt == pytest.approx(server.stats.input_tokens / 32)
        for name in ("by-hand", "random"):
            failed = await bench.row(name, DRAWN, 0)
            assert failed.error == "it knows one prompt alone"


async def test_a_refused_call_is_a_wrong_answer_and_a_server_that_is_gone_ends_the_benchmark() -> None:
    async def refused(messages: Sequence[Message], most: int | None) -> Said:
        return Said(None, 0, 0)

    async def gone(messages: Sequence[Message], most: int | None) -> Said:
        raise UpstreamFailed("gone")

    task, example = DRAWN.task, DRAWN.task.test[0]
    assert await answered(task, example, DRAWN.parts, refused) == Said(None, 0, 0)
    with pytest.raises(UpstreamFailed):
        await answered(task, example, DRAWN.parts, gone)


def test_another_program_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"examples\.pipeline\.program:answer"):
        chain(ROOT / "examples" / "agent.toml")
