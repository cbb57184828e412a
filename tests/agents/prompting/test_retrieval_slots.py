"""What is filled in for each input: the nearest, the nearest last, and never an example's own answer."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.api import load_prompt
from agents.config.configuration import Configuration, build
from agents.directory.run_directory import BEST_EXAMPLES, BEST_FIELDS, BEST_PASSAGES, BEST_PROMPT
from agents.prompting.forward import Concurrency, Forward
from agents.prompting.requests import show_example, show_inputs, show_turns
from agents.prompting.retrieval_slots import EXAMPLES, PASSAGES, open_slots, places
from agents.run.opening import open_run
from agents.run.scoring import Scoring
from protocols.errors import DataError, PromptError
from protocols.files import prompt_file
from protocols.model import ChatMessage, Reply, Request
from protocols.prompt import Form, Prompt, Section, estimate_tokens, estimate_turn
from protocols.task import Example
from tests.small_task import SIMULATED
from tests.strategies import texts
from tests.world import TASK

pytestmark = pytest.mark.anyio
TICKETS = Path(__file__).parents[3] / "examples" / "tickets"
INPUT = Section("input", "task", "Text: {text}\nLabel:", frozen=True)

rows = st.lists(
    st.tuples(texts | st.sampled_from(["a", "b"]), st.sampled_from(["yes", "no"])), min_size=1, max_size=12
)


def distinct(train: tuple[Example, ...]) -> tuple[Example, ...]:
    """The first of those that say the same."""
    first = {(e.inputs["text"].strip(), e.target): e for e in reversed(train)}
    return tuple(e for e in train if first[e.inputs["text"].strip(), e.target] is e)


def rendered(section: str, train: tuple[Example, ...], corpus: list[str], text: str) -> str:
    """What the section has become for an input; the task's own message follows it."""
    prompt = Prompt((Section("shown", "examples", section), INPUT))
    inputs = open_slots(replace(TASK, train=train), corpus).inputs(prompt, {"text": text})
    *_, message = prompt.render(inputs)
    tail = f"\n\nText: {text}\nLabel:"
    assert message.text.endswith(tail)
    return message.text.removesuffix(tail)


@given(rows, texts, st.integers(1, 15), st.data())
@settings(deadline=None)
def test_as_many_examples_as_are_wanted_but_never_the_input_itself(
    drawn: list[tuple[str, str]], text: str, k: int, data: st.DataObject
) -> None:
    train = tuple(Example(f"t{n}", {"text": t}, target) for n, (t, target) in enumerate(drawn))
    text = data.draw(st.sampled_from([text, *(t for t, _ in drawn)]))
    slots = open_slots(replace(TASK, train=train), ())
    found = slots.examples.nearest(f"Input: {text.strip()}".replace("\n", "\n  "), k)
    others = [e for e in distinct(train) if e.inputs["text"].strip() != text.strip()]
    assert len(found) == min(k, len(others))
    assert all(e in others for e in found)
    frame = Prompt((Section("shown", "examples", f"{{examples:{k}}}"), INPUT))
    assert rendered(f"{{examples:{k}}}", train, [], text) == "\n\n".join(
        show_example(frame, TASK, example) for example in reversed(found)
    )


@given(rows, texts, st.integers(1, 15), st.data())
@settings(deadline=None)
def test_the_nearest_turns_stand_next_to_the_input_and_never_show_it(
    drawn: list[tuple[str, str]], text: str, k: int, data: st.DataObject
) -> None:
    train = tuple(Example(f"t{n}", {"text": t}, target) for n, (t, target) in enumerate(drawn))
    text = data.draw(st.sampled_from([text, *(t for t, _ in drawn)]))
    place = f"{{examples:{k}}}"
    shown = Section("shown", "examples", place), Section("turns", "examples", place, form="turns")
    prompt, slots = Prompt((*shown, INPUT)), open_slots(replace(TASK, train=train), ())
    *turns, asked = prompt.render(slots.inputs(prompt, {"text": text}))
    found = list(reversed(slots.examples.nearest(show_inputs({"text": text}), k)))
    assert turns == [turn for example in found for turn in show_turns(prompt, TASK, example)]
    assert text.strip() not in [example.inputs["text"].strip() for example in found]
    frames = "\n\n".join(show_example(prompt, TASK, example) for example in found)
    assert asked.text == f"{frames}\n\nText: {text}\nLabel:"
    sent = sum(len(turn.text) > 0 for turn in turns)
    assert sent == len(turns) == 2 * len(found)


def test_no_blank_turn_is_sent() -> None:
    train = (Example("1", {"text": " "}, "yes"), Example("2", {"text": "a"}, "yes"), Example("3", {"text": "b"}, ""))
    place = Section("turns", "examples", "{examples:3}", form="turns")
    prompt = Prompt((place, Section("input", "task", "{text}", frozen=True)))
    slots = open_slots(replace(TASK, train=train), ())
    sent = prompt.render(slots.inputs(prompt, {"text": "c"}))
    assert [turn.text for turn in sent] == ["a", "yes", "c"]


@given(rows, st.integers(1, 30))
@settings(deadline=None)
def test_turns_are_counted_with_their_frames(drawn: list[tuple[str, str]], k: int) -> None:
    train = tuple(Example(f"t{n}", {"text": text}, target) for n, (text, target) in enumerate(drawn))
    slots, train = open_slots(replace(TASK, train=train), ()), distinct(train)
    prompt = Prompt((Section("turns", "examples", f"{{examples:{k}}}", form="turns"), INPUT))
    whole = sum(estimate_turn(turn) for example in train for turn in show_turns(prompt, TASK, example))
    assert slots.each(prompt, EXAMPLES, turns=True) == pytest.approx(whole / len(train))
    assert slots.filled(prompt) == pytest.approx(whole * min(k, len(train)) / len(train), abs=0.51)
    assert slots.tokens(prompt) == Prompt((INPUT,)).tokens + slots.filled(prompt)


@given(st.lists(st.text("abcde ", min_size=3, max_size=20), min_size=1, max_size=20, unique=True), st.integers(1, 9))
@settings(deadline=None)
def test_the_nearest_passage_comes_last(corpus: list[str], k: int) -> None:
    wanted = "amber and birch bark"
    corpus = [*corpus, f"of {wanted}, a passage"]
    shown = rendered(f"Know:\n{{passages:{k}}}", TASK.train, corpus, wanted).removeprefix("Know:\n").split("\n\n")
    assert len(shown) == min(k, len(corpus))
    assert shown[-1] == corpus[-1]
    assert set(shown) <= set(corpus)


@given(rows, st.lists(st.text("付abc ", min_size=1), max_size=9, unique=True), st.integers(1, 30), st.integers(1, 30))
@settings(deadline=None)
def test_a_prompt_is_as_long_as_it_is_sent(drawn: list[tuple[str, str]], corpus: list[str], k: int, few: int) -> None:
    """Where all that there is fills a place, to the token; where there is more, in proportion."""
    train = tuple(Example(f"t{n}", {"text": text}, target) for n, (text, target) in enumerate(drawn))
    slots, train = open_slots(replace(TASK, train=train), corpus), distinct(train)
    prompt = Prompt((Section("shown", "examples", f"{{examples:{k}}}\n{{passages:30}}{{examples:{few}}}"), INPUT))
    examples = sum(estimate_tokens(show_example(prompt, TASK, example)) for example in train)
    shares = [min(wanted, len(train)) / len(train) for wanted in (k, few)]
    sent = examples * sum(shares) + sum(map(estimate_tokens, corpus))
    assert slots.filled(prompt) == pytest.approx(sent, abs=0.51)
    assert slots.tokens(prompt) == prompt.tokens + slots.filled(prompt)
    assert slots.tokens(Prompt((INPUT,))) == Prompt((INPUT,)).tokens


def test_what_is_put_in_is_not_read_again() -> None:
    corpus = ["{text} and {examples:2} and {passages:1}"]
    assert rendered("{passages:1}", TASK.train, corpus, "amber {passages:1}") == corpus[0]


@pytest.mark.parametrize(
    "text", ["{examples}", "{examples:0}", "{examples:-1}", "{examples:1000}", "{ examples:2}", "{others:2}", "{x}"]
)
def test_unknown_names_stay_plain_text(text: str) -> None:
    assert not places(text)
    prompt = Prompt((Section("shown", "examples", text), INPUT))
    inputs = open_slots(TASK, ()).inputs(prompt, {"text": "amber"})
    assert [message.text for message in prompt.render(inputs)] == [text, "Text: amber\nLabel:"]
    assert (len(inputs), list(inputs)) == (1, ["text"])


def test_an_input_of_a_shelfs_name_wins() -> None:
    prompt = Prompt((Section("shown", "task", "{examples:2}"),))
    inputs = open_slots(TASK, ()).inputs(prompt, {"examples:2": "mine"})
    assert prompt.render(inputs)[0].text == "mine"


def test_only_what_a_prompt_uses_is_exported() -> None:
    slots = open_slots(TASK, ["付款 {text}"])
    plain, both = Prompt((INPUT,)), Prompt((Section("x", "examples", "{examples:2}\n{passages:1}"), INPUT))
    assert slots.export(plain, EXAMPLES) == slots.export(plain, PASSAGES) == b""
    assert slots.export(both, PASSAGES) == '{"text":"付款 {text}","shown":"付款 {text}"}\n'.encode()
    lines = [orjson.loads(line) for line in slots.export(both, EXAMPLES).splitlines()]
    assert lines == [{"input": e.inputs, "shown": show_example(both, TASK, e)} for e in TASK.train]
    near = Section("near", "examples", "{examples:2}", form="turns")
    turned, twice = Prompt((near, INPUT)), Prompt((*both.sections[:1], near, INPUT))
    turns = [
        [
            {"role": "user", "content": f"Text: {e.inputs['text']}\nLabel:"},
            {"role": "assistant", "content": e.target},
        ]
        for e in TASK.train
    ]
    rows = [orjson.loads(line) for line in slots.export(turned, EXAMPLES).splitlines()]
    assert rows == [{"input": e.inputs, "turns": pair} for e, pair in zip(TASK.train, turns, strict=True)]
    rows = [orjson.loads(line) for line in slots.export(twice, EXAMPLES).splitlines()]
    assert rows == [{**line, "turns": pair} for line, pair in zip(lines, turns, strict=True)]


def tickets(folder: Path, text: str, *forms: Form) -> Configuration:
    """A few tickets, with a first prompt that leaves places to be filled, in sections of these forms."""
    for split in ("train", "validation", "test"):
        lines = (TICKETS / f"{split}.jsonl").read_bytes().splitlines(keepends=True)
        (folder / f"{split}.jsonl").write_bytes(b"".join(lines[:32]))
    (folder / "corpus.md").write_text("A refund is for billing.\n\n付款 belongs to billing.\n", encoding="utf-8")
    first = prompt_file.load(TICKETS / "prompt.txt")
    shown = [Section(form, "examples", text, frozen=True, form=form) for form in forms or ("system",)]
    prompt_file.save(Prompt((*shown, *first.sections)), folder / "prompt.txt")
    task = {"name": "few", "corpus": "corpus.md"} | {n: f"{n}.jsonl" for n in ("train", "validation", "test")}
    search = {"assignments": 2, "width": 1, "operators": ["self_reflection"], "critique": 8}
    return build({"models": SIMULATED, "task": task, "prompt": {"file": "prompt.txt"}, "search": search}, folder)


FIXED = "Message: I was charged twice\nDepartment: billing"


@dataclass
class Listening:
    """Answers nothing, and keeps what it is asked."""

    asked: list[Request]
    name: str = "listening"

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply("")


TURNS = "--- user ---\nMessage: 😀 {no} field\nDepartment:\n--- assistant ---\n付款"
BOTH: tuple[Form, ...] = ("input", "turns", "system")
FORMED: list[tuple[str, tuple[Form, ...]]] = [
    (FIXED, ("system",)),
    ("{examples:3}", ("system",)),
    ("{passages:1}", ("system",)),
    ("{examples:2}\n\n{passages:2} {examples:1}", ("system",)),
    (FIXED, ("input",)),
    (TURNS, ("turns",)),
    ("{examples:4}", ("turns",)),
    ("{examples:4}", BOTH),
]


@pytest.mark.parametrize(("text", "forms"), FORMED)
async def test_a_loaded_prompt_sends_what_the_search_sends(
    tmp_path: Path, text: str, forms: tuple[Form, ...]
) -> None:
    """From a folder that has nothing but the files of the best prompt: on all examples, those that it is filled
    from as well."""
    listening, copied = Listening([]), tmp_path / "copied"
    async with open_run(tickets(tmp_path, text, *forms), {}, tmp_path / "run") as run:
        await run.search()
        best = prompt_file.load(tmp_path / "run" / BEST_PROMPT)
        asked = [*run.task.test, *run.task.train]
        await Forward(listening, run.task, run.slots, Concurrency(1))(best, asked)
    copied.mkdir()
    for file in (tmp_path / "run").glob("best_prompt*"):
        shutil.copy(file, copied)
    loaded = load_prompt(copied)
    assert loaded.prompt == best
    assert [loaded.render(example.inputs) for example in asked] == [request.messages for request in listening.asked]
    sent = [message for request in listening.asked for message in request.messages]
    assert not any("{" in message.text.replace("{no}", "") for message in sent)
    assert any(message.speaker == "assistant" for message in sent) == ("turns" in forms)
    for request in listening.asked:
        speakers = [message.speaker for message in request.messages]
        assert speakers[0] == "system"
        assert speakers[1:] == [*("user", "assistant") * (len(speakers) // 2 - 1), "user"]


WRONG_INPUTS: list[tuple[dict[str, object], str]] = [
    ({}, r"the prompt shows \{text\}, and no such field is given"),
    ({"txt": "x"}, r"the prompt shows \{text\}.*; there is no field txt; txt: did you mean text\?"),
    ({"message": "x"}, r"the prompt shows \{text\}.*; there is no field message"),
    ({"text": "x", "id": "1"}, "there is no field id"),
    ({"text": 3}, "the field text is a int; give a text"),
    ({"text": None}, "the field text is a NoneType; give a text"),
]


@pytest.mark.parametrize(("inputs", "reason"), WRONG_INPUTS)
def test_a_loaded_prompt_refuses_other_fields_than_the_tasks(
    tmp_path: Path, inputs: dict[str, Any], reason: str
) -> None:
    (tmp_path / BEST_PROMPT).write_text("=== task (task) ===\nReply {json}: {text}\n", encoding="utf-8")
    (tmp_path / BEST_FIELDS).write_text('["text"]', encoding="utf-8")
    loaded = load_prompt(tmp_path)
    assert loaded.render({"text": "x"}) == (ChatMessage("user", "Reply {json}: x"),)
    with pytest.raises(PromptError, match=f"^{reason}$"):
        loaded.render(inputs)


@pytest.mark.parametrize("inputs", [{}, {"txt": "x"}, {"message": "x"}, {"text": 3}])
def test_a_prompt_of_an_earlier_release_refuses_what_fills_nothing(tmp_path: Path, inputs: dict[str, Any]) -> None:
    """Its fields are not on record, and {json} may be one."""
    (tmp_path / BEST_PROMPT).write_text("=== task (task) ===\nReply {json}: {text}\n", encoding="utf-8")
    loaded = load_prompt(tmp_path)
    assert loaded.render({"text": "x", "more": "y"}) == (ChatMessage("user", "Reply {json}: x"),)
    with pytest.raises(PromptError):
        loaded.render(inputs)
    if "message" not in inputs:
        with pytest.raises(PromptError):
            loaded.prompt.render(inputs)


def test_a_prompt_that_is_filled_needs_every_field(tmp_path: Path) -> None:
    (tmp_path / BEST_PROMPT).write_text("=== task (task) ===\n{examples:1}\n{question}\n", encoding="utf-8")
    (tmp_path / BEST_FIELDS).write_text('["context", "question"]', encoding="utf-8")
    (tmp_path / BEST_EXAMPLES).write_bytes(b'{"input": {"context": "a", "question": "b"}, "shown": "c"}\n')
    loaded = load_prompt(tmp_path)
    assert loaded.render({"context": "x", "question": "y"}) == (ChatMessage("user", "c\ny"),)
    with pytest.raises(PromptError, match=r"the prompt shows \{context\}"):
        loaded.render({"question": "y"})


@pytest.mark.parametrize(
    "content", [None, b"{", b"[]", b'"x"', b"1", b'{"shown": "x"}', b'{"input": 1, "shown": "x"}']
)
def test_a_file_that_is_missing_or_broken_is_named(tmp_path: Path, content: bytes | None) -> None:
    prompt_file.save(Prompt((Section("shown", "examples", "{examples:2}"), INPUT)), tmp_path / BEST_PROMPT)
    if content is not None:
        (tmp_path / BEST_EXAMPLES).write_bytes(content)
    with pytest.raises(DataError, match=BEST_EXAMPLES):
        load_prompt(tmp_path)


@pytest.mark.parametrize(
    "turns", ["", '"turns": "ab"', '"turns": []', '"turns": [{"role": "user", "content": "a"}]', '"shown": "a"']
)
def test_a_file_without_the_turns_that_a_prompt_needs_is_named(tmp_path: Path, turns: str) -> None:
    shown = Section("shown", "examples", "{examples:2}", form="turns")
    prompt_file.save(Prompt((shown, INPUT)), tmp_path / BEST_PROMPT)
    row = ", ".join(filter(None, ['"input": {"text": "a"}', turns]))
    (tmp_path / BEST_EXAMPLES).write_text(f"{{{row}}}\n", encoding="utf-8")
    with pytest.raises(DataError, match=BEST_EXAMPLES):
        load_prompt(tmp_path)


SCORED: list[tuple[str, tuple[Form, ...]]] = [
    ("{examples:4}\n\n{passages:1}", ()),
    ("{examples:2}", ("input",)),
    ("{examples:3}", ("turns",)),
    (TURNS, ("turns",)),
    ("plain", ()),
]


@pytest.mark.parametrize(("section", "forms"), SCORED)
async def test_an_exported_prompt_scores_what_the_run_reported(
    tmp_path: Path, section: str, forms: tuple[Form, ...]
) -> None:
    configuration, out = tickets(tmp_path, section, *forms), tmp_path / "run"
    async with open_run(configuration, {}, out) as run:
        result = await run.search()
        lengths = [run.slots.tokens(prompt) for prompt in (run.first, prompt_file.load(out / BEST_PROMPT))]
    assert result.length is not None
    assert [result.length.first, result.length.best] == lengths
    assert result.test is not None
    scored = await Scoring(configuration, {}, out / BEST_PROMPT, "test").score()
    assert (scored.value, scored.plain) == (result.test.best, ())
    assert (out / BEST_EXAMPLES).exists() == ("{examples" in section)
    assert (out / BEST_PASSAGES).exists() == ("{passages" in section)
