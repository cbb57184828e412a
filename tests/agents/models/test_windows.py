"""Searches whose prompts outgrow the window, against a server that refuses them in the words of both formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.config.configuration import Configuration, build
from agents.results.result import Result
from agents.run.opening import open_run
from agents.views.report import left_out
from memory.journals.reading import read_notes
from protocols.errors import RunFailed
from tests.wire_server import Fault, WireServer

pytestmark = pytest.mark.anyio

WINDOW = 3000
WORDS = 60
FORMATS = ("openai", "anthropic")
EMPTY: dict[str, str] = {}


def answer(turns: list[tuple[str, str]]) -> str:
    """An edit, a critique, or a label that depends on the text, so that there are failures and survivors."""
    said = "\n".join(text for _, text in turns)
    if "between <new> and </new>" in said:
        return f"<new>Answer with care, as often as {len(said) % 97} times.</new>"
    if "between <critique> and </critique>" in said:
        return "<critique>\n[task] name the departments\n</critique>"
    return ("billing", "shipping")[sum(map(ord, said)) % 2]


def rows(split: str, count: int, words: int, longest: int = 0) -> bytes:
    lines = []
    for n in range(count):
        filler = " ".join(f"{split}{n}word{k}" for k in range(longest if longest and not n else words))
        lines.append({"id": f"{split}-{n}", "input": {"text": filler}, "target": ("billing", "shipping")[n % 2]})
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def configure(folder: Path, server: WireServer, way: str, longest: int = 0, **provider: Any) -> Configuration:
    folder.mkdir(exist_ok=True)
    for split, count in (("train", 40), ("validation", 16), ("test", 8)):
        most = longest if split == "validation" else 0
        (folder / f"{split}.jsonl").write_bytes(rows(split, count, WORDS, most))
    task = {"name": "windows"} | {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    url = server.openai_url if way == "openai" else server.url
    table = {"base_url": url, "concurrency": 4, **provider}
    tables: dict[str, object] = {
        "task": task,
        "prompt": {"text": "Which department should answer this?"},
        "models": {"default": f"{way}/m"},
        "providers": {way: table},
        "search": {"assignments": 40, "width": 4, "credit_share": 0, "shrink": 0},
    }
    return build(tables, folder)


async def search(configuration: Configuration, directory: Path) -> Result:
    async with open_run(configuration, EMPTY, directory) as run:
        return await run.search()


def check_only_the_first_was_too_long(server: WireServer, in_flight: int = 4) -> None:
    """What was in flight when the first refusal came may have been, too."""
    assert server.outgrown
    assert server.outgrown[-1] < server.outgrown[0] + in_flight


@pytest.mark.parametrize("way", FORMATS)
async def test_a_search_goes_on_below_the_window_that_the_first_refusal_names(tmp_path: Path, way: str) -> None:
    async with WireServer(answer) as server:
        server.window = WINDOW
        result = await search(configure(tmp_path / "task", server, way), tmp_path / "run")
    assert (result.stopped_by, result.unanswered, result.too_long) == ("assignments", {}, ())
    assert result.operators["few_shot"].keys() & {"survived", "lost"}
    check_only_the_first_was_too_long(server)


@pytest.mark.parametrize("way", FORMATS)
async def test_what_was_learned_holds_after_a_resume(tmp_path: Path, way: str) -> None:
    async with WireServer(answer) as server:
        server.window = WINDOW
        configuration = configure(tmp_path / "task", server, way)
        async with open_run(configuration, EMPTY, tmp_path / "run") as run:
            run.ledger.cap("", "calls", 80)
            first = await run.search()
        assert first.stopped_by.startswith("budget")
        check_only_the_first_was_too_long(server)
        assert any(name.startswith("window ") for name in read_notes(tmp_path / "run" / "journal.sqlite"))
        refused = len(server.outgrown)
        result = await search(configuration, tmp_path / "run")
    assert result.stopped_by == "assignments"
    assert len(server.outgrown) == refused


@pytest.mark.parametrize("way", FORMATS)
@pytest.mark.parametrize("known", ["set", "listed"])
async def test_where_the_window_is_known_nothing_is_refused(tmp_path: Path, way: str, known: str) -> None:
    async with WireServer(answer) as server:
        server.window = WINDOW
        if known == "listed":
            server.models = {"data": [{"id": "m", "max_model_len": WINDOW}]}
        told = {"context_tokens": WINDOW} if known == "set" else {}
        result = await search(configure(tmp_path / "task", server, way, **told), tmp_path / "run")
    assert (result.stopped_by, server.outgrown, result.uncriticised) == ("assignments", [], {})


TPM = (
    "Request too large for m in organization org-x on tokens per min (TPM): Limit 2000, Requested 5020. The input or "
    "output tokens must be reduced in order to run successfully."
)


@pytest.mark.parametrize("way", FORMATS)
async def test_an_example_that_is_too_long_with_any_prompt_ends_nothing(tmp_path: Path, way: str) -> None:
    """It is named once, and asked once."""
    async with WireServer(answer) as server:
        server.window = 4096
        configuration = configure(tmp_path / "task", server, way, longest=2000)
        result = await search(configuration, tmp_path / "run")
        sent = [call for call in server.received if b"validation0word1999" in call.raw]
    assert (result.stopped_by, result.unanswered, result.too_long) == ("assignments", {}, ("validation-0",))
    assert result.first.n == 15
    assert len([call for call in sent if b"between <" not in call.raw]) == 1
    assert any("validation-0" in line for line in left_out({"too_long": result.too_long}))


async def test_more_than_a_minute_has_is_refused_for_good_and_not_waited_for(tmp_path: Path) -> None:
    async with WireServer(answer) as server:
        body = orjson.dumps({"error": {"message": TPM, "type": "tokens", "code": "rate_limit_exceeded"}})
        server.faults.append(Fault(status=429, body=body))
        result = await search(configure(tmp_path / "task", server, "openai", longest=2000), tmp_path / "run")
    assert result.stopped_by == "assignments"
    assert len(result.too_long) <= 2  # the one that is refused, and the one that is longer than the limit


@pytest.mark.parametrize("way", FORMATS)
async def test_a_first_prompt_that_is_too_long_for_all_is_one_clear_line(tmp_path: Path, way: str) -> None:
    async with WireServer(answer) as server:
        server.window = 20
        with pytest.raises(RunFailed, match="every validation example is too long for the model") as caught:
            await search(configure(tmp_path / "task", server, way), tmp_path / "run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", ["I would rather not.", "<critique>\n\n</critique>"])
async def test_critiques_that_cannot_be_read_are_counted_and_so_is_an_operator(tmp_path: Path, said: str) -> None:
    def mute(turns: list[tuple[str, str]]) -> str:
        asked = turns[-1][1]
        return said if "<critique>" in asked else "no tags" if "<new>" in asked else answer(turns)

    async with WireServer(mute) as server:
        result = await search(configure(tmp_path / "task", server, "openai"), tmp_path / "run")
    assert result.uncriticised.get("unreadable", 0) >= 1
    assert result.operators["self_reflection"].keys() <= {"unreadable", "inapplicable"}
    remarks = list(left_out({"uncriticised": result.uncriticised, "operators": result.operators}))
    assert any("unreadable" in line for line in remarks)
    assert any("self_reflection" in line for line in remarks)


async def test_a_critic_that_is_refused_for_good_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    async with WireServer(answer) as server, WireServer(answer) as strict:
        strict.faults.extend([Fault(status=400, body=b'{"error": {"message": "this text is flagged"}}')] * 99)
        configuration = configure(tmp_path / "task", server, "openai")
        models = {"default": "openai/m", "critic": "anthropic/c"}
        providers = {**configuration.model_dump()["providers"], "anthropic": {"base_url": strict.url}}
        table = configuration.model_dump(exclude={"origin"}) | {"models": models, "providers": providers}
        result = await search(build(table, configuration.origin), tmp_path / "run")
    assert result.stopped_by == "assignments"
    assert result.uncriticised.keys() == {"refused"}
