"""The comparison with the peers: what counts calls, what is not measured twice, and what the table says."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peers.__main__ import run
from benchmarks.peers.endpoint import Account, Endpoint, Upstream, UpstreamFailed, served
from benchmarks.peers.material import Material, Sizes, draw, material
from benchmarks.peers.rows import Row, parse
from benchmarks.peers.running import Allowed, Bench, ProgramFailed, by_hand, left
from benchmarks.peers.table import difference, interval, table
from benchmarks.rows import append, read
from protocols.errors import InputError
from protocols.task import Example
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
LABELS = ("alpha", "beta", "gamma")
SIZES = Sizes(9, 6, 8)


def right(turns: list[tuple[str, str]]) -> str:
    """Answers right where an example is shown, and what no label is else."""
    number = int(turns[-1][1].split("number ")[1].split()[0])
    return LABELS[number % 3] if len(turns) > 2 else "who knows"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for place, split in enumerate(("train", "validation", "test")):
        rows = [
            {"id": f"{split}-{n}", "input": {"text": f"{split} number {n}"}, "target": LABELS[n % 3]}
            for n in range(100 * place, 100 * place + 24)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


async def posted(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        return answer.status, await answer.json()


async def test_the_budget_holds_however_many_ask_at_once(data: Path) -> None:
    drawn = material(data, "classification", SIZES, 0)
    chat = {"messages": drawn.sent(drawn.task.train[0])}
    statuses: list[int] = []

    async def ask(endpoint: Endpoint, model: str) -> None:
        statuses.append((await posted(f"{endpoint.url}/v1/chat/completions", {"model": model, **chat}))[0])

    async with WireServer(right) as server, served(Upstream(server.openai_url, "it", "k")) as endpoint:
        endpoint.begin(drawn.task, 5, 7, 9)
        async with anyio.create_task_group() as tasks:
            for model in ["task"] * 12 + ["writer"] * 3:
                tasks.start_soon(ask, endpoint, model)
        assert sorted(statuses) == [200] * 8 + [400] * 7
        task, writer, judge = (endpoint.accounts[role] for role in ("task", "writer", "judge"))
        assert (task.calls, task.refused, writer.calls, judge.calls) == (5, 7, 3, 0)
        assert server.stats.calls == 8
        assert task.input + writer.input == server.stats.input_tokens
        assert {(c.body["model"], c.body["max_tokens"], c.body.get("temperature")) for c in server.received} == {
            ("it", 7, 0),
            ("it", 9, None),
        }
        assert endpoint.left == 0
        await endpoint.ask(drawn.sent(drawn.task.test[0]))
        assert endpoint.accounts["judge"].calls == 1, "no budget holds for the benchmark's own calls"


async def test_programs_score_as_the_benchmark_does(data: Path) -> None:
    drawn = material(data, "classification", SIZES, 0)
    example = drawn.task.train[0]
    async with WireServer(right) as server, served(Upstream(server.openai_url, "it", "k")) as endpoint:
        endpoint.begin(drawn.task, 5, 7, 9)
        for reply in (str(example.target), "[[ ## label ## ]]\nbeta\n\n[[ ## completed", "alpha or beta", ""):
            _, found = await posted(f"{endpoint.url}/score", {"id": example.id, "reply": reply})
            judged = await drawn.task.metric.judge(example, reply)
            assert found == {"score": judged.score, "feedback": judged.feedback}
            _, read = await posted(f"{endpoint.url}/read", {"reply": reply})
            assert read == {"answer": judged.answer}


async def test_a_request_that_the_server_refuses_is_passed_on_and_counted(data: Path) -> None:
    drawn = material(data, "classification", SIZES, 0)
    async with WireServer(right) as server, served(Upstream(server.openai_url, "it", "k")) as endpoint:
        server.window = 1
        endpoint.begin(drawn.task, 5, 7, 9)
        said = await endpoint.ask(drawn.sent(drawn.task.test[0]))
        assert said.text is None
        assert endpoint.accounts["judge"].failed == 1


def options(data: Path, url: str, **more: object) -> argparse.Namespace:
    told = {
        "what": "run", "work": data.parent, "data": [data], "kind": "classification", "labels": None, "train": 9,
        "validation": 6, "test": 8, "calls": 13, "seeds": [0], "programs": ["first", "by-hand", "random"],
        "model": "it", "base_url": url, "key_env": "NO_KEY", "threads": None, "at_once": 4, "reply_tokens": None,
        "writer_tokens": 9, "minutes": math.inf,
    }  # fmt: skip
    return argparse.Namespace(**{**told, **more})


async def test_what_is_there_is_not_measured_again(data: Path) -> None:
    file = data.parent / "rows.jsonl"
    async with WireServer(right) as server:
        await run(options(data, server.openai_url, minutes=0))
        assert not file.exists()
        await run(options(data, server.openai_url))
        first, hand, drawn = read(file, parse)
        assert (first.test, hand.test, drawn.test) == (0.0, 1.0, 1.0)
        assert (first.unread, hand.note) == (8, {"nearest": {"0": 0.0, "4": 1.0, "8": 1.0, "16": 1.0}})
        assert drawn.task.calls == 12, "two validation splits: a third no longer fits"
        assert drawn.prompt > first.prompt
        calls = server.stats.calls
        await run(options(data, server.openai_url))
        assert (server.stats.calls, len(read(file, parse))) == (calls, 3)
        await run(options(data, server.openai_url, seeds=[0, 1], programs=["first"]))
        assert server.stats.calls == calls + 8, "the one row that was missing"
        with pytest.raises(InputError, match="calls = 13"):
            await run(options(data, server.openai_url, calls=14))


async def test_a_program_without_calls_leaves_the_first_prompt(data: Path) -> None:
    async with WireServer(right) as server:
        await run(options(data, server.openai_url, programs=["first", "random"], calls=0))
        first, row = read(data.parent / "rows.jsonl", parse)
        assert (row.error, row.task.calls, row.prompt) == ("", 0, first.prompt)


def test_a_program_that_leaves_nothing_has_failed(data: Path) -> None:
    folder = data.parent / "none"
    folder.mkdir()
    (folder / "output.txt").touch()
    with pytest.raises(ProgramFailed, match="said nothing"):
        left(folder, 8)


async def test_a_server_that_is_gone_ends_the_benchmark_and_leaves_no_row(data: Path) -> None:
    with pytest.raises(UpstreamFailed, match="502"):
        await run(options(data, "http://127.0.0.1:9/v1"))
    assert read(data.parent / "rows.jsonl", parse) == []


async def test_only_labels_are_given_to_programs_that_know_nothing_else(data: Path) -> None:
    drawn = material(data, "reasoning", SIZES, 0)
    async with WireServer(right) as server, served(Upstream(server.openai_url, "it", "k")) as endpoint:
        row = await Bench(endpoint, data.parent, Allowed(5, None, 9, 1), {}, {}).row("capo", drawn, 0)
        assert (row.error, row.scores) == ("it knows labels alone", [])


def test_the_half_of_a_row_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    append(file, some(0, "gepa", [1.0]))
    whole = file.read_bytes()
    file.write_bytes(whole + whole[: len(whole) // 2])
    assert read(file, parse) == [some(0, "gepa", [1.0])]
    assert file.read_bytes() == whole
    file.write_bytes(whole + b"{}\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:2"):
        read(file, parse)


def test_test_examples_are_the_same_for_every_seed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    one, other = (material(Path(data.name), "classification", SIZES, seed) for seed in (0, 1))
    assert one.task.test == other.task.test
    assert one.task.train != other.task.train
    assert one.spare not in one.task.test
    assert one.sent(one.task.test[0]) == other.sent(one.task.test[0])


def test_only_the_most_frequent_labels_are_kept(data: Path) -> None:
    drawn = material(data, "classification", replace(SIZES, labels=2), 0)
    assert {example.target for split in (drawn.task.train, drawn.task.test) for example in split} == {"alpha", "beta"}


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40), st.integers(1, 50), st.integers(0, 9))
def test_labels_are_drawn_in_turn(targets: list[str], count: int, seed: int) -> None:
    examples = [Example(str(n), {"text": str(n)}, target) for n, target in enumerate(targets)]
    drawn = draw(examples, count, Random(seed))
    assert len({example.id for example in drawn}) == len(drawn) == min(count, len(examples))
    taken = {label: sum(example.target == label for example in drawn) for label in set(targets)}
    spare = [n for label, n in taken.items() if n < targets.count(label)]
    assert all(n <= few + 1 for n in taken.values() for few in spare)


def test_by_hand_shows_the_nearest_as_turns(data: Path) -> None:
    drawn: Material = material(data, "classification", SIZES, 0)
    [chat, *_] = by_hand(drawn, 4)
    assert isinstance(chat, list)
    assert [message["role"] for message in chat] == ["system", *["user", "assistant"] * 4, "user"]
    assert by_hand(drawn, 0)[0] == drawn.sent(drawn.task.test[0])


def some(seed: int, program: str, scores: Sequence[float], error: str = "") -> Row:
    value = sum(scores) / len(scores) if scores else 0.0
    account = Account(3, 0, 0, 100, 11)
    return Row("d", seed, program, "1", {}, value, list(scores), 0, account, Account(), 50.0, 2.0, 9.0, {}, error)


@settings(max_examples=10)
@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=5, max_size=5), min_size=1, max_size=4))
def test_an_interval_of_paired_differences_holds_their_mean(gaps: list[list[float]]) -> None:
    low, high = interval(np.array(gaps))
    mean = float(np.mean(gaps))
    assert low - 1e-9 <= mean <= high + 1e-9
    constant = interval(np.full((3, 5), 0.25))
    assert constant == pytest.approx((0.25, 0.25))


def test_differences_are_paired_by_seed_and_example() -> None:
    ours = [some(0, "promptflow", [1, 1, 0, 0]), some(1, "promptflow", [1, 1, 1, 1])]
    theirs = [some(1, "gepa", [1, 1, 1, 0]), some(2, "gepa", [0, 0, 0, 0])]
    found = difference(ours, theirs)
    assert found is not None
    assert found[0] == pytest.approx(0.25)
    assert difference(ours, [some(0, "gepa", [], "it failed")]) is None


def test_the_table_has_a_line_for_each_program_and_says_what_failed() -> None:
    rows = [some(s, name, [s % 2, 1.0]) for s in (0, 1) for name in ("promptflow", "gepa")]
    lines = table([*rows, some(0, "capo", [], "no module")])
    assert [line.split(" | ")[0].strip("| ") for line in lines[4:7]] == ["PromptFlow", "gepa", "promptolution, CAPO"]
    assert lines[5].split(" | ")[1:5] == ["0.750", "0.50, 1.00", "+0.000 [+0.000, +0.000]", "50"]
    assert lines[-1] == "- promptolution, CAPO, seed 0: no module"
