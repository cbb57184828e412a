"""Questions and answers: rows of evaluate, ask, what is still wrong, and what critic and operators asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.config.configuration import load
from agents.run.scoring import Scoring
from memory.journals.reading import read_exchanges
from tests.command_line import answer, invoke
from tests.pages import KEY
from tests.small_task import SIZES, rows, write_task
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
TARGETS = {row["id"]: row["target"] for split in SIZES for row in rows(split)}


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_evaluate_writes_a_row_for_each_example_in_their_order(tmp_path: Path) -> None:
    config, out = write_task(tmp_path), tmp_path / "rows.jsonl"
    scored = answer("evaluate", tmp_path / "prompt.txt", config, "--rows", out)
    written = lines(out)
    assert [row["id"] for row in written] == [f"validation-{n}" for n in range(SIZES["validation"])]
    assert sum(row["score"] for row in written) / len(written) == pytest.approx(scored["value"])
    assert sum(sum(row["tokens"].values()) for row in written) == scored["tokens"]
    for row in written:
        assert row["target"] == TARGETS[row["id"]]
        assert row["inputs"]["text"] in row["messages"][-1]["content"]
        assert row["score"] == (row["answer"] == row["target"])
    counted = {each["label"]: each["expected"] for each in scored["breakdown"]["labels"] if each["expected"]}
    assert counted == {"invoice": 4, "parcel": 4, "退款": 4}


async def test_the_rows_have_the_messages_that_were_sent(tmp_path: Path) -> None:
    out, sent = tmp_path / "rows.jsonl", list[list[tuple[str, str]]]()

    def says(turns: list[tuple[str, str]]) -> str:
        sent.append([(speaker, text) for speaker, text in turns])
        return "parcel"

    async with WireServer(says) as server:
        config = write_task(tmp_path, tables={"models": {"default": "openai/m"}})
        url = (f"providers.openai.base_url={server.openai_url}", "providers.openai.concurrency=1")
        configuration = load(config, url)
        await Scoring(configuration, {"OPENAI_API_KEY": KEY}, tmp_path / "prompt.txt", "validation", rows=out).score()
    written = lines(out)
    assert [[(each["role"], each["content"]) for each in row["messages"]] for row in written] == sent
    assert [row["reply"] for row in written] == ["parcel"] * SIZES["validation"]
    assert all(row["seconds"] > 0 for row in written)


def test_a_file_that_cannot_be_written_is_known_before_anything_is_asked(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    code, _, err = invoke("evaluate", tmp_path / "prompt.txt", config, "--rows", tmp_path / "no" / "rows.jsonl")
    assert code == 1
    assert "rows.jsonl: cannot be written" in err


def test_rows_replace_only_rows(tmp_path: Path) -> None:
    """A slip of the hand costs no prompt, no data and no configuration."""
    config, out = write_task(tmp_path), tmp_path / "rows.jsonl"
    there = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for place in (*there, tmp_path, Path("/dev/null"), ""):
        code, _, err = invoke("evaluate", tmp_path / "prompt.txt", config, "--rows", place)
        assert (code, "holds no rows" in err) == (2, True), (place, err)
    assert there == {path: path.read_bytes() for path in there}
    for _ in range(2):
        answer("evaluate", tmp_path / "prompt.txt", config, "--rows", out)
    assert len(lines(out)) == SIZES["validation"]


def test_messages_without_a_call_need_no_key(tmp_path: Path) -> None:
    config = write_task(tmp_path, tables={"models": {"default": "openai/m"}})
    assert answer("ask", tmp_path / "prompt.txt", config, "--id", "test-4", "--offline")["messages"]


def test_ask_shows_one_example_with_its_reply_or_without_a_call(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    asked = answer("ask", tmp_path / "prompt.txt", config, "--id", "test-4")
    assert (asked["split"], asked["target"]) == ("test", "parcel")
    assert asked["inputs"] == {"text": "box van street post test 4"}
    assert asked["reply"]
    offline = answer("ask", tmp_path / "prompt.txt", config, "--id", "test-4", "--offline")
    assert offline["messages"] == asked["messages"]
    assert (offline["reply"], offline["score"], offline["tokens"]) == (None, None, {"input": 0, "output": 0})
    code, out, _ = invoke("ask", tmp_path / "prompt.txt", config, "--id", "test-4")
    assert code == 0
    assert "expected: parcel" in out
    assert "score:" in out
    code, _, err = invoke("ask", tmp_path / "prompt.txt", config, "--id", "tset-4")
    assert code == 2
    assert "no example has the id 'tset-4'; did you mean 'test-4'?" in err


def test_a_run_tells_what_is_still_wrong_and_what_was_asked(tmp_path: Path) -> None:
    config, out = write_task(tmp_path), tmp_path / "run"
    result = answer("search", config, "--out", out)
    for split, value in (("test", result["test"]["best"]), ("validation", result["best"]["value"])):
        found = answer("show", out, "--wrong", "--split", split)
        assert (found["split"], found["n"], found["candidate"]) == (split, SIZES[split], result["candidate"])
        assert 1 - len(found["wrong"]) / found["n"] == pytest.approx(value)
        assert all(each["answer"] != TARGETS[each["id"]] == each["target"] for each in found["wrong"])
    assert answer("show", out, "--wrong")["split"] == "test"
    code, said, _ = invoke("show", out, "--wrong", "--candidate", 0)
    assert code == 0
    assert "of 9 test examples less than right" in said
    code, said, _ = invoke("trace", out, "--texts")
    assert code == 0
    links = answer("trace", out, "--texts")["links"]
    texts = [text for link in links for text in link["texts"]]
    assert {text["role"].partition("/")[0] for text in texts} <= {"critic", "proposer"}
    assert "critic" in {text["role"] for text in texts}
    assert all(text["messages"] and text["reply"] for text in texts)
    code, _, err = invoke("show", out, "--wrong", "--candidate", 999)
    assert code == 2
    assert "keeps no answers of candidate 999" in err


def test_the_switch_keeps_no_questions_and_no_answers(tmp_path: Path) -> None:
    config, out = write_task(tmp_path, tables={"run": {"exchanges": False}}), tmp_path / "run"
    answer("search", config, "--out", out)
    assert not [kept for n in range(8) for kept in read_exchanges(out / "journal.sqlite", n)]
    code, _, err = invoke("show", out, "--wrong")
    assert code == 2
    assert "run.exchanges is false" in err
