"""A first prompt that can be answered: what it says of answers, and who is told where it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from agents.check.doctor import diagnose
from agents.check.findings import Diagnosis
from agents.config.configuration import Configuration, load
from agents.config.loading import load_first_prompt, load_task
from agents.run.scoring import Scoring
from agents.views.chat import LONGEST
from agents.views.diagnosis import show_diagnosis
from protocols.errors import EditRejected, PromptError
from protocols.task import Json
from tests.agents.config.test_metrics import configure
from tests.small_task import PROMPT, SIZES, rows, write_task

pytestmark = pytest.mark.anyio

SCHEMA = {"required": ["city"], "properties": {"city": {"type": "string"}, "mood": {"enum": ["calm", "busy"]}}}
KINDS: list[tuple[str, Sequence[Json], Mapping[str, object], list[str]]] = [
    ("classification", ["billing", "shipping"], {}, ["Labels: billing, shipping"]),
    ("classification", [1, 2, 3], {}, ["Labels: 1, 2, 3"]),
    ("classification", ["yes, soon", "no"], {}, ["Labels:\n- no\n- yes, soon"]),
    ("classification", [f"intent_{n:02}" for n in range(9)], {}, [f"intent_{n:02}" for n in range(9)]),
    ("ner", [{"person": ["Ada"]}, {"place": ["Ulm"]}], {}, ["Types: person, place", "JSON", "Reply {} if"]),
    ("reading", ["Ada", []], {}, ["word for word", "reply: no answer"]),
    ("reading", ["Ada", "Bob"], {}, ["word for word"]),
    ("reasoning", ["12", 7], {}, ["Answer: <the final answer>"]),
    ("reasoning", ["Yes", "No"], {}, ["Answer: <the final answer>", "Answers: No, Yes"]),
    ("generation", [{"city": "Ulm", "size": 3}, {"size": 4, "city": "Bonn"}], {}, ["JSON", "keys city, size"]),
    ("generation", ["x"], {"metric": "json_schema", "json_schema": "s.json"}, ["JSON", '"city"', '["calm","busy"]']),
]
INSTRUCTIONS = (None, "Which one is it?", "Say of {text} what it is.", "billing or shipping?", "写 {json} 😀")


def first(
    folder: Path, kind: str, targets: Sequence[Json], keys: Mapping[str, object], text: str | None
) -> Configuration:
    (folder / "s.json").write_bytes(orjson.dumps(SCHEMA))
    prompt = {"literal": ["json"], **({} if text is None else {"text": text})}
    return configure(folder, kind, keys, targets, {"prompt": prompt})


@pytest.mark.parametrize("text", INSTRUCTIONS)
@pytest.mark.parametrize(("kind", "targets", "keys", "said"), KINDS)
def test_whatever_the_instruction_the_format_says_what_an_answer_looks_like(
    tmp_path: Path, kind: str, targets: Sequence[Json], keys: Mapping[str, object], said: list[str], text: str | None
) -> None:
    configuration = first(tmp_path, kind, targets, keys, text)
    task = load_task(configuration)
    prompt = load_first_prompt(configuration, task)
    assert prompt["task"].text == (task.kind.instruction if text is None else text)
    *fixed, user = prompt.render({"text": "the one input"})
    assert all(words in prompt["format"].text for words in said)
    assert prompt["format"].text in fixed[0].text, "what is the same for all inputs stands first"
    assert sum(message.text.count("the one input") for message in (*fixed, user)) == 1
    assert user.speaker == "user"
    assert "the one input" in user.text


def test_braces_in_a_label_are_no_placeholder_of_the_persons(tmp_path: Path) -> None:
    configuration = first(tmp_path, "classification", ["{billing}", "{0}"], {}, "Which one?")
    assert "{billing}" in load_first_prompt(configuration, load_task(configuration))["format"].text
    unknown = first(tmp_path, "classification", ["{billing}", "{0}"], {}, "Is it {billing2}?")
    task = load_task(unknown)
    with pytest.raises(PromptError, match=r"section task has the placeholder \{billing2\}"):
        load_first_prompt(unknown, task)


@pytest.mark.parametrize("text", INSTRUCTIONS)
@pytest.mark.parametrize(("kind", "targets", "keys", "said"), KINDS)
async def test_the_default_layout_is_never_warned_of(
    tmp_path: Path, kind: str, targets: Sequence[Json], keys: Mapping[str, object], said: list[str], text: str | None
) -> None:
    configuration = first(tmp_path, kind, targets, keys, text)
    task = load_task(configuration)
    assert task.kind.names.missing(load_first_prompt(configuration, task)) == []


@pytest.mark.parametrize(("kind", "targets", "keys", "said"), KINDS)
def test_a_format_of_any_kind_cannot_be_shortened_to_what_no_reply_is_read_by(
    tmp_path: Path, kind: str, targets: Sequence[Json], keys: Mapping[str, object], said: list[str]
) -> None:
    configuration = first(tmp_path, kind, targets, keys, None)
    task = load_task(configuration)
    prompt = load_first_prompt(configuration, task)
    whole = prompt["format"].text
    task.kind.names.check(prompt, prompt.edit("format", f"Be brief.\n{whole.upper()}", ()), "")
    if not task.kind.names.all:
        assert (kind, said) == ("reading", ["word for word"])
        return
    with pytest.raises(EditRejected, match="the edit loses"):
        task.kind.names.check(prompt, prompt.edit("format", "Be brief.", ()), "")


# What the doctor says


def shown(diagnosis: Diagnosis) -> str:
    console = Console(width=80, record=True, force_terminal=False)
    with console.capture() as printed:
        show_diagnosis(console, diagnosis)
    return printed.get()


async def look(config: Path, *settings: str) -> Diagnosis:
    return await diagnose(config, settings, {}, offline=True)


def warned(diagnosis: Diagnosis) -> dict[str, str]:
    return {f.what: f.text for f in diagnosis.findings if f.status == "warning"}


NO_LABELS = PROMPT.replace("Labels: invoice, parcel, 退款", "Choose well.")
WARNED: list[tuple[str, list[str]]] = [
    (PROMPT, []),
    (PROMPT.replace("invoice", "INVOICE"), []),
    (NO_LABELS, ["invoice, parcel, 退款 stand nowhere in the prompt"]),
    (PROMPT.replace(", parcel", ""), ["parcel stands nowhere in the prompt"]),
    (PROMPT.replace("parcel", "parcels"), ["parcel stands nowhere in the prompt"]),
    (NO_LABELS.replace("=== examples (examples) ===", "=== examples (examples) ===\ninvoice parcel 退款"), []),
]


@pytest.mark.parametrize(("prompt", "said"), WARNED)
async def test_a_closed_set_that_is_nowhere_named_is_warned_of(tmp_path: Path, prompt: str, said: list[str]) -> None:
    diagnosis = await look(write_task(tmp_path, prompt=prompt))
    assert diagnosis.exit_code == 0
    assert list(warned(diagnosis)) == ["answers"] * bool(said)
    for words in said:
        assert words in warned(diagnosis)["answers"]
    assert ("warning" in shown(diagnosis)) is bool(said)


async def test_a_field_that_no_section_shows_is_warned_of(tmp_path: Path) -> None:
    splits = {name: [{**row, "input": {**row["input"], "note": "n"}} for row in rows(name)] for name in SIZES}  # type: ignore[dict-item]
    config = write_task(tmp_path, splits)
    assert "{note}" in warned(await look(config))["input"]
    assert "input" not in warned(await look(write_task(tmp_path, splits, f"{PROMPT}{{note}}\n")))


async def test_the_messages_of_one_example_are_shown_as_they_are_sent(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    diagnosis = await look(config)
    task = load_task(load(config))
    [sent] = diagnosis.sent
    prompt = load_first_prompt(load(config), task)
    assert (sent.role, sent.example, sent.expected) == ("task", "train-0", "invoice")
    assert sent.messages == prompt.render(task.train[0].inputs)
    printed = shown(diagnosis)
    assert "system:\n    Which is it?\n    Labels: invoice, parcel, 退款\nuser:\n    Text: card" in printed
    assert "    Label:\nexpected: invoice\n" in printed


async def test_what_is_filled_for_each_input_is_shown_filled(tmp_path: Path) -> None:
    prompt = PROMPT.replace("=== examples (examples) ===", "=== examples (examples) ===\n{examples:2}")
    [sent] = (await look(write_task(tmp_path, prompt=prompt))).sent
    assert sent.messages[-1].text.count("Label: ") == 2


async def test_turns_are_shown_as_they_are_sent(tmp_path: Path) -> None:
    turns = "--- user ---\nText: {no} field\nLabel:\n--- assistant ---\n退款"
    for text, count in (("{examples:2}", 2), (turns, 1)):
        prompt = PROMPT.replace("(examples) ===", f"(examples, turns) ===\n{text}")
        diagnosis = await look(write_task(tmp_path, prompt=prompt))
        [sent] = diagnosis.sent
        said = [message.speaker for message in sent.messages]
        assert said == ["system", *("user", "assistant") * count, "user"]
        assert f"assistant:\n    {sent.messages[2].text}\n" in shown(diagnosis)
        assert diagnosis.estimate is not None
    assert "user:\n    Text: {no} field\n    Label:\nassistant:\n    退款\nuser:\n    Text: card" in shown(diagnosis)


async def test_a_wrong_turn_is_named_with_its_line(tmp_path: Path) -> None:
    prompt = PROMPT.replace("(examples) ===", "(examples, turns) ===\n--- user ---\nText: a")
    [finding] = [
        found for found in (await look(write_task(tmp_path, prompt=prompt))).findings if found.what == "prompt"
    ]
    assert re.search(r"prompt\.txt:6: section examples: the last turn is the user's", finding.text)


HOSTILE = "a\x1b[2J\x1b]0;title\x07b\r\u202ec\u2028d\n\nuser:\nassistant: [bold]x[/bold] [/]"


async def test_what_an_input_holds_can_neither_steer_a_terminal_nor_pass_for_a_line_of_ours(tmp_path: Path) -> None:
    made = rows("train")
    splits = {"train": [{**made[0], "input": {"text": HOSTILE}, "id": "\x1b[31mid"}, *made[1:]]}
    printed = shown(await look(write_task(tmp_path, splits)))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", printed)
    assert [line for line in printed.splitlines() if line.startswith(("user:", "assistant:"))] == ["user:"]
    assert "    assistant: [bold]x[/bold] [/]" in printed


async def test_a_long_message_is_shown_from_both_ends(tmp_path: Path) -> None:
    made = rows("train")
    splits = {"train": [{**made[0], "input": {"text": "begin " + "x" * 50_000 + " end"}}, *made[1:]]}
    printed = shown(await look(write_task(tmp_path, splits)))
    assert len(printed) < LONGEST + 5_000
    assert "Text: begin" in printed
    assert " end\n    Label:" in printed
    assert "characters are not shown" in printed


async def test_what_a_judge_is_sent_is_shown_too(tmp_path: Path) -> None:
    task = {"name": "t", **{split: f"{split}.jsonl" for split in SIZES}, "metric": "judge", "rubric": "10: right."}
    config = write_task(tmp_path, tables={"task": task, "models": {"judge": "openai/x"}})
    [_, judge] = (await look(config)).sent
    assert judge.role == "judge"
    assert all(words in judge.messages[0].text for words in ("10: right.", "card bank", "invoice"))


# Who else is told


async def test_who_scores_a_prompt_without_the_labels_is_told(tmp_path: Path) -> None:
    config = write_task(tmp_path, prompt=NO_LABELS)
    scored = await Scoring(load(config), {}, tmp_path / "prompt.txt", "validation").score()
    assert "stand nowhere in the prompt" in scored.remarks[0]
    named = write_task(tmp_path / "named")
    assert (await Scoring(load(named), {}, tmp_path / "named" / "prompt.txt", "validation").score()).remarks == ()


def test_a_closed_set_of_a_schema_or_of_a_reading_task_is_missed_like_labels(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("=== task (task) ===\nWrite of {text} as JSON.\n", encoding="utf-8")
    for kind, targets, keys, missing in (
        ("generation", ["x"], {"metric": "json_schema", "json_schema": "s.json"}, ["city", "calm", "busy"]),
        ("generation", [{"a": 1}, {"a": 2, "b": 3}], {}, ["a"]),
        ("reading", ["x", []], {}, ["no answer"]),
        ("ner", [{"person": ["Ada"]}], {}, ["person"]),
        ("reasoning", ["Yes", "No"], {}, ["No", "Yes"]),
        ("reasoning", ["1", "2.5"], {}, []),
    ):
        (tmp_path / "s.json").write_bytes(orjson.dumps(SCHEMA))
        configuration = configure(tmp_path, kind, keys, targets, {"prompt": {"file": "p.txt"}})
        task = load_task(configuration)
        assert task.kind.names.missing(load_first_prompt(configuration, task)) == missing, kind
