"""What is read back from a run directory: the same decisions, the chain of a candidate, the edit of a line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.config.configuration import load
from agents.directory.run_directory import BEST_PROMPT, FIRST_PROMPT, JOURNAL, RESULT, read_document
from agents.history.blame import Edit, blame, carry
from agents.history.replay import replay
from agents.history.trace import lineage, trace, winner
from agents.results.prompt_diff import compare_prompts
from agents.run.opening import open_run
from agents.run.steering import command
from agents.views.page.document import report_document
from memory.journals.reading import read_calls, read_journal
from protocols.errors import ConfigError, ReplayDiffers
from protocols.files import prompt_file
from protocols.files.prompt_file import readable
from protocols.messages import Assignment, Candidate, Envelope
from protocols.prompt import KINDS, Prompt, Section
from protocols.wrappers.recorded import Call
from tests.agents.run.test_search import configure
from tests.small_task import PROMPT, SIZES, write_task
from tests.strategies import texts
from tests.wire_server import WireServer
from tests.world import answer

pytestmark = pytest.mark.anyio


FRAME = Section("input", "task", "Text: {text}\nLabel:", frozen=True)


async def run(tmp_path: Path, *settings: str) -> Path:
    """A run of the small task on the embedded model."""
    asked = ["search.assignments=12", "search.selector=msgd_rl", *settings]
    async with open_run(load(write_task(tmp_path / "task"), asked), {}, tmp_path / "run") as opened:
        await opened.search()
    return tmp_path / "run"


async def ignore(event: Envelope | Call) -> None:
    pass


async def test_a_replay_decides_as_the_run_did_and_shows_all_of_it(tmp_path: Path) -> None:
    directory = await run(tmp_path)
    seen: list[Envelope | Call] = []

    async def watch(event: Envelope | Call) -> None:
        seen.append(event)

    replayed = await replay(directory, watch)
    result = read_document(directory / RESULT)
    assert result is not None
    assert (replayed.assignments, replayed.stopped_by) == (result["assignments"], result["stopped_by"])
    assert replayed.candidate == result["candidate"]
    assert replayed.decisions == 12 + 1
    assert [e for e in seen if isinstance(e, Envelope)] == list(read_journal(directory / JOURNAL))
    assert sum(isinstance(e, Call) for e in seen) == sum(result["calls"].values())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            "UPDATE journal SET payload = replace(payload, 'few_shot', 'few_shots') WHERE assignment = 7",
            "operator is",
        ),
        (
            "DELETE FROM journal WHERE type = 'Assignment' AND assignment = 7",
            "Assignment 8: assignment is 8 there and 7",
        ),
        ("UPDATE journal SET payload = '{\"stopped_by\":\"boredom\"}' WHERE type = 'Finished'", "'boredom' there"),
        ("DELETE FROM journal WHERE assignment = 3 AND type IN ('Critique', 'Failure')", "nothing is decided now"),
    ],
)
async def test_a_journal_that_says_otherwise_is_found_out(tmp_path: Path, damage: str, says: str) -> None:
    directory = await run(tmp_path, "search.operators=['few_shot']", "search.width=1")
    with closing(sqlite3.connect(directory / JOURNAL, isolation_level=None)) as connection:
        assert connection.execute(damage).rowcount > 0
    with pytest.raises(ReplayDiffers, match=says):
        await replay(directory, ignore)


async def test_a_replay_needs_the_task_as_it_was(tmp_path: Path) -> None:
    directory = await run(tmp_path)
    (tmp_path / "task" / "train.jsonl").write_bytes((tmp_path / "task" / "train.jsonl").read_bytes()[:-1] + b" \n")
    assert (await replay(directory, ignore)).stopped_by == "assignments"
    content = (tmp_path / "task" / "train.jsonl").read_text(encoding="utf-8").replace("card", "cards")
    (tmp_path / "task" / "train.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="the train examples differ"):
        await replay(directory, ignore)


async def test_a_trace_is_the_chain_with_all_its_calls(tmp_path: Path) -> None:
    directory = await run(tmp_path)
    links = trace(directory)
    assert links[0].ending.kind == "first"
    assert links[-1].ending.assignment == winner(directory)
    assert [link.ending.parent for link in links[1:]] == [link.ending.assignment for link in links[:-1]]
    for link in links:
        ids = {said.id for said in link.messages}
        assert all(said.cause in ids for said in link.messages[1:])
        task = [calls for calls in link.calls if calls.role == "task"]
        assert sum(calls.calls for calls in task) == SIZES["validation"] + 12
        assert all(calls.dollars == 0 and calls.model == "embedded" for calls in link.calls)
    made = sum(calls.calls for number in range(13) for calls in trace(directory, number)[-1].calls)
    assert made == sum(call.assignment is not None for call in read_calls(directory / JOURNAL))
    with pytest.raises(ConfigError, match="no candidate 99"):
        trace(directory, 99)


async def test_a_price_that_the_run_did_not_know_is_known_to_nobody_who_looks_at_it(tmp_path: Path) -> None:
    """The address was in the environment: the published price is not that of who answered."""
    tables: dict[str, Any] = {"models": {"default": "openai/gpt-5-mini"}, "search": {"width": 1, "assignments": 1}}
    async with WireServer(answer) as server:
        configuration, environ = configure(tmp_path / "task", **tables), {"OPENAI_BASE_URL": server.openai_url}
        async with open_run(configuration, environ, tmp_path / "run") as run:
            with pytest.raises(ConfigError, match="the price of openai/gpt-5-mini is not known"):
                command(tmp_path / "run", ["set", "budget.dollars", "1"])
            assert (await run.search()).dollars is None
    assert {calls.dollars for link in trace(tmp_path / "run") for calls in link.calls} == {None}
    assert {role["dollars"] for role in report_document(tmp_path / "run")["roles"] if role["calls"]} == {None}


async def test_every_line_of_the_winner_was_brought_by_an_edit_of_its_lineage(tmp_path: Path) -> None:
    directory = await run(tmp_path)
    lines, prompt = blame(directory), prompt_file.load(directory / BEST_PROMPT)
    assert [(line.section, line.text) for line in lines] == [
        (section.name, text) for section in prompt if section.text for text in section.text.split("\n")
    ]
    chain = list(lineage(directory, winner(directory)))
    prompts = {
        e.message.assignment: e.message.prompt for link in chain for e in link if isinstance(e.message, Candidate)
    }
    parents = {
        e.message.assignment: e.message.parent for link in chain for e in link if isinstance(e.message, Assignment)
    }
    for line in lines:
        number = line.edit.candidate
        assert line.text in prompts[number][line.section].text.split("\n")
        if number:
            assert line.edit.section == line.section
            before = prompts[parents[number]][line.section].text
            assert before != prompts[number][line.section].text


lines = st.lists(st.sampled_from("abc"), max_size=8).map("\n".join)


@given(st.lists(lines, min_size=1, max_size=6))
def test_a_line_that_stays_keeps_its_edit(versions: list[str]) -> None:
    """Whatever is in a text, all of it is blamed; nothing is blamed for an edit that changed nothing."""
    blamed = carry([], versions[0], "s", Edit(0))
    for number, text in enumerate(versions[1:], start=1):
        before, blamed = blamed, carry(blamed, text, "s", Edit(number))
        assert "\n".join(line.text for line in blamed) == text
        assert {line.edit.candidate for line in blamed} <= {line.edit.candidate for line in before} | {number}
        if [line.text for line in before] == [line.text for line in blamed]:
            assert blamed == before


async def test_two_prompts_are_compared_with_the_scores_that_a_run_measured(tmp_path: Path) -> None:
    directory = await run(tmp_path)
    result = read_document(directory / RESULT)
    assert result is not None
    comparison = compare_prompts(directory / FIRST_PROMPT, directory)
    assert (comparison.a.validation, comparison.b.validation) == (result["first"]["value"], result["best"]["value"])
    assert (comparison.a.test, comparison.b.test) == (result["test"]["first"], result["test"]["best"])
    assert (comparison.a.tokens, comparison.b.tokens) == (result["length"]["first"], result["length"]["best"])
    prompt = prompt_file.load(directory / BEST_PROMPT)
    assert [change.section for change in comparison.sections] == [section.name for section in prompt]
    assert all(change.lines for change in comparison.sections if change.change == "changed")
    other = tmp_path / "other.txt"
    sections = [replace(prompt.sections[0], text="new"), Section("extra", "format", "x"), *prompt.sections[2:]]
    prompt_file.save(Prompt(tuple(sections[::-1])), other)
    changes = {change.section: change.change for change in compare_prompts(directory, other).sections}
    assert changes[prompt.sections[0].name] == "changed"
    assert changes[prompt.sections[1].name] == "removed"
    assert changes["extra"] == "added"
    assert compare_prompts(other, other).a.validation is None
    with pytest.raises(ConfigError, match="not a run directory"):
        compare_prompts(tmp_path, directory)


sections = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True)


@given(sections, sections, texts)
def test_a_section_is_the_same_only_if_it_is(
    tmp_path_factory: pytest.TempPathFactory, a: list[str], b: list[str], text: str
) -> None:
    folder = tmp_path_factory.mktemp("prompts")
    for name, names in (("a", a), ("b", b)):
        prompt_file.save(Prompt(tuple(Section(n, KINDS[0], text) for n in names)), folder / name)
    changes = {change.section: change.change for change in compare_prompts(folder / "a", folder / "b").sections}
    assert changes.keys() == {*a, *b}
    for name, change in changes.items():
        expected = {"added"} if name not in a else {"removed"} if name not in b else {"same", "moved"}
        assert change in expected
    if a == b:
        assert set(changes.values()) == {"same"}


async def test_an_edit_that_brought_a_form_is_named_for_it(tmp_path: Path) -> None:
    """As a person's own edit of the form alone, which the journal, the diff and the blame tell."""
    first = Prompt((Section("rule", "task", "Which?\nLabels: invoice, parcel, 退款"), FRAME))
    turned = first.edit("rule", first["rule"].text, (), "input")
    for name, prompt in (("a", first), ("b", turned)):
        prompt_file.save(prompt, tmp_path / name)
    compared = compare_prompts(tmp_path / "a", tmp_path / "b")
    assert [(c.section, c.change, list(c.lines)[1:3]) for c in compared.sections] == [
        ("rule", "changed", ["-=== rule (task) ===", "+=== rule (task, input) ==="]),
        ("input", "same", []),
    ]
    edit, other = Edit(1, "hand", "rule"), Edit(2)
    lines = carry(carry([], readable(first["rule"]), "rule", other), readable(turned["rule"]), "rule", edit)
    assert [(line.text, line.edit) for line in lines] == [
        ("=== rule (task, input) ===", edit),
        ("Which?", other),
        ("Labels: invoice, parcel, 退款", other),
    ]


async def test_a_run_with_turns_is_replayed_compared_and_blamed(tmp_path: Path) -> None:
    prompt = PROMPT.replace("(examples) ===", "(examples, turns) ===\n{examples:2}")
    prompt = prompt.replace("(definitions) ===", "(definitions) ===\ninvoice: van\nparcel: bank")
    asked = ["search.assignments=4", 'search.operators=["self_reflection", "define_sort"]']
    async with open_run(load(write_task(tmp_path, prompt=prompt), asked), {}, tmp_path / "run") as opened:
        await opened.search()
    assert (await replay(tmp_path / "run", ignore)).assignments == 4
    lines = [line.text for line in blame(tmp_path / "run") if line.section == "examples"]
    assert lines == ["=== examples (examples, turns) ===", "{examples:2}"]
    best = prompt_file.load(tmp_path / "run" / BEST_PROMPT)
    assert best["examples"] == prompt_file.loads(prompt)["examples"]
