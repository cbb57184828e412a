"""The operators: what a reply becomes, and what few_shot shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.config.catalogue import OPERATORS, open_operators
from agents.operators.contract import Contract
from agents.operators.define_sort import DefineSort
from agents.operators.describe import Describe
from agents.operators.differential_evolution import DifferentialEvolution
from agents.operators.few_shot import FewShot
from agents.operators.merge import Merge
from agents.operators.operator import WHOLE, Context, Operator
from agents.operators.rag import Rag
from agents.operators.restart import Restart
from agents.operators.rewriting import ChainOfThought, RepeatInstructions, SelfReflection
from agents.operators.self_consistency import SelfConsistency
from agents.operators.short_instruction import ShortInstruction
from agents.prompting.blocks import ROOM, cut, within
from agents.prompting.records import record_of
from agents.prompting.requests import show_example, show_turns
from agents.prompting.retrieval_slots import open_slots, places
from agents.prompting.shot_policy import COUNTS
from protocols.errors import EditRejected, InapplicableError, UnreadableReply
from protocols.files.named import Named
from protocols.messages import Assignment, Outcome, Partner
from protocols.model import ChatMessage, ChatModel, Reply, Request
from protocols.prompt import Prompt, Section, estimate_tokens, placeholders
from protocols.task import Example, Task
from protocols.turns import dump_turns
from tests.agents.ring.test_handling import WRONG, Says
from tests.strategies import conversations, texts
from tests.world import TASK, one

pytestmark = pytest.mark.anyio

LONG = (
    "Read the message {text} with care and say whether the answer to it is yes or no, and nothing else at all; "
    f"{'look at it once more, ' * 10}and then say it."
)
BROKEN = replace(WRONG, example="t2", answer=None, reply="I cannot tell whether it", finish="length")
PROMPT = Prompt(
    (
        Section("task", "task", LONG),
        Section("definitions", "definitions", "- yes: amber\n- no: birch"),
        Section("reasoning", "reasoning"),
        Section("knowledge", "knowledge"),
        Section("examples", "examples"),
        Section("format", "format", "Reply with yes or no."),
        Section("reminders", "reminders"),
        Section("input", "task", "Text: {text}\nLabel:", frozen=True),
    )
)
OTHERS = tuple(
    Partner(number, Prompt(tuple(replace(s, text=f"{s.text}\n{word}") for s in PROMPT)), (1.0,), {})
    for number, word in ((7, "first"), (8, "second"))
)
WRITERS: list[tuple[Operator, str]] = [
    (RepeatInstructions(), "reminders"),
    (DifferentialEvolution(), "task"),
    (DifferentialEvolution(), "definitions"),
    (SelfReflection(), "task"),
    (ChainOfThought(), "reasoning"),
    (ShortInstruction(), "task"),
    (SelfConsistency(), "task"),
    (SelfConsistency(), "reasoning"),
    (Describe(), "definitions"),
    (Contract(), "format"),
]


def assignment(section: str, outcomes: tuple[Outcome, ...] = (WRONG, BROKEN), prompt: Prompt = PROMPT) -> Assignment:
    return Assignment(5, "x", section, 2, prompt, "say {more} 付款", outcomes, (0.0,), {}, OTHERS)


def context(model: ChatModel, task: Task = TASK, seed: int = 0) -> Context:
    return Context(task, model, (), Random(seed), open_slots(task, ()), 0.0)


@dataclass
class Script:
    """A model that says `texts`, one after the other; keeps what it was asked."""

    texts: Sequence[str]
    name: str = "script"
    asked: list[Request] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply(self.texts[len(self.asked) - 1])


def kept(section: str, text: str) -> str:
    """`text` with the placeholders of the section."""
    return f"{text} {{text}}" if section == "task" else text


@pytest.mark.parametrize(("operator", "section"), WRITERS)
async def test_the_text_between_the_tags_becomes_the_section(operator: Operator, section: str) -> None:
    text = kept(section, '说 {"a": 1} {0} %s 😀\n\n- yes')
    model = Says(f"Sure!\n<new>\n{text}\n</new>\nDone.")
    prompt = one(await operator.edit(assignment(section), context(model)))
    assert prompt == PROMPT.edit(section, text, TASK.fields)
    assert [request.sample for request in model.asked] == [5]
    asked = model.asked[0].messages[-1].text
    for shown in (LONG, "say {more} 付款", "t 1 birch {text}", f'<part name="{section}"'):
        assert shown in asked


@pytest.mark.parametrize(("operator", "section"), WRITERS)
@pytest.mark.parametrize("reply", ["", "no tags {text}", "</new>{text}<new>"])
async def test_a_reply_without_a_text_is_unreadable(operator: Operator, section: str, reply: str) -> None:
    with pytest.raises(UnreadableReply, match="<new>"):
        await operator.edit(assignment(section), context(Says(reply)))


@pytest.mark.parametrize(("operator", "section"), WRITERS)
async def test_a_placeholder_lost_or_invented_is_rejected(operator: Operator, section: str) -> None:
    wrong = ["yes {text} {text}", "yes"] if section == "task" else ["yes {text}"]
    for text in wrong:
        with pytest.raises(EditRejected, match=r"\{text\}"):
            await operator.edit(assignment(section), context(Says(f"<new>{text}</new>")))
    with pytest.raises(EditRejected, match=r"invents \{examples:4\}"):
        await operator.edit(assignment(section), context(Says(f"<new>{kept(section, '{examples:4}')}</new>")))


@pytest.mark.parametrize(("operator", "section"), WRITERS)
@pytest.mark.parametrize("first", ["", "no tags", "<new>{question} {text} {text}</new>"])
async def test_a_reply_that_is_no_edit_is_asked_for_once_more(operator: Operator, section: str, first: str) -> None:
    text = kept(section, "付款 means yes")
    model = Script([first, f"<new>{text}</new>", "never asked"])
    prompt = one(await operator.edit(assignment(section), context(model)))
    assert prompt[section].text == text
    asked, again = model.asked
    assert again.messages[: len(asked.messages)] == asked.messages
    said, reason = again.messages[len(asked.messages) :]
    assert (said.speaker, said.text) == ("assistant", first or "(nothing)")
    assert reason.speaker == "user"
    assert "cannot be used" in reason.text
    assert reason.text.endswith(asked.messages[-1].text.rpartition("\n\n")[2]), "the instruction stands last again"


@pytest.mark.parametrize(("operator", "section"), WRITERS)
async def test_a_second_failure_is_the_end(operator: Operator, section: str) -> None:
    model = Script(["nothing", f"<new>{'{text}' * 3}</new>", f"<new>{kept(section, 'late')}</new>"])
    with pytest.raises(EditRejected):
        await operator.edit(assignment(section), context(model))
    assert len(model.asked) == 2


@pytest.mark.parametrize(("operator", "section"), WRITERS)
async def test_no_part_of_the_request_leaks_into_the_prompt(operator: Operator, section: str) -> None:
    asked = Says("")
    with pytest.raises(UnreadableReply):
        await operator.edit(assignment(section), context(asked))
    question = asked.asked[0].messages[-1].text.rpartition("\n\n")[2]
    lines = [line for line in question.split("\n") if len(line) > 20]
    assert lines
    sentences = [line.partition(". ")[0] + "." for line in lines]
    for leak in [
        *lines,
        *(sentence for sentence in sentences if len(sentence) > 20),
        "<errors>",
        "</prompt>",
        '<part name="task" kind="task">',
        "</part>",
    ]:
        with pytest.raises(UnreadableReply, match="repeats the instruction"):
            await operator.edit(assignment(section), context(Says(f"<new>{kept(section, 'x')}\n{leak}\n</new>")))


async def test_tags_that_the_section_has_already_are_its_own() -> None:
    prompt = PROMPT.edit("reasoning", "Read the <task> first", TASK.fields)
    edited = await ChainOfThought().edit(
        assignment("reasoning", prompt=prompt), context(Says("<new>Read the <task> twice</new>"))
    )
    assert edited["reasoning"].text == "Read the <task> twice"


@pytest.mark.parametrize("text", ["<first name> <last name>", "<best label>", "<right answer>", "<new line>"])
async def test_angle_brackets_that_the_request_does_not_use_are_text(text: str) -> None:
    edited = await ChainOfThought().edit(assignment("reasoning"), context(Says(f"<new>End with {text}</new>")))
    assert edited["reasoning"].text == f"End with {text}"


@given(st.lists(st.integers(1, 4 * ROOM), max_size=9))
@settings(deadline=None)
def test_examples_are_shown_as_far_as_there_is_room_and_one_at_least(lengths: list[int]) -> None:
    outcomes = [replace(WRONG, example=f"{n}", inputs={"text": "x" * length}) for n, length in enumerate(lengths)]
    records = [cut(record_of(outcome), ROOM) for outcome in outcomes]
    shown = within(records)
    assert shown == records[: len(shown)]
    assert len(shown) >= min(1, len(outcomes))
    tokens = [estimate_tokens(record) for record in records]
    assert max(tokens, default=0) <= ROOM
    assert len(shown) <= 1 or sum(tokens[: len(shown)]) <= ROOM
    assert len(shown) == len(outcomes) or sum(tokens[: len(shown) + 1]) > ROOM


async def test_what_loses_a_place_is_rejected_with_its_text() -> None:
    prompt = PROMPT.edit("reasoning", "Think of {passages:2}", TASK.fields)
    for text in ("Think", "Think of {passages:2} {examples:4}"):
        with pytest.raises(EditRejected) as caught:
            await ChainOfThought().edit(assignment("reasoning", prompt=prompt), context(Says(f"<new>{text}</new>")))
        assert caught.value.text == text


async def test_what_is_no_shorter_is_rejected() -> None:
    with pytest.raises(EditRejected, match="no shorter"):
        await ShortInstruction().edit(assignment("task"), context(Says(f"<new>{LONG}</new>")))


@pytest.mark.parametrize("operator", [SelfReflection(), ChainOfThought(), RepeatInstructions(), SelfConsistency()])
async def test_without_a_failure_there_is_nothing_to_learn_from(operator: Operator) -> None:
    model = Says("<new>x</new>")
    with pytest.raises(InapplicableError):
        await operator.edit(assignment("reasoning", ()), context(model))
    assert model.asked == []


@pytest.mark.parametrize(("operator", "section"), WRITERS)
@given(reply=texts)
@settings(max_examples=40, deadline=None)
def test_any_reply_is_an_edit_or_one_of_ours(operator: Operator, section: str, reply: str) -> None:
    async def edit() -> Prompt | None:
        try:
            return one(await operator.edit(assignment(section), context(Says(f"<new>{reply}</new>"))))
        except (EditRejected, UnreadableReply):
            return None

    prompt = anyio.run(edit)
    if prompt is not None:
        assert [s for s in prompt if s.name != section] == [s for s in PROMPT if s.name != section]
        assert placeholders(prompt[section].text, TASK.fields) == placeholders(PROMPT[section].text, TASK.fields)


def test_operators_apply_to_their_kinds() -> None:
    def targets(operator: Operator) -> list[str]:
        return list(operator.targets(PROMPT, TASK))

    assert targets(RepeatInstructions()) == ["reminders"]
    assert targets(DifferentialEvolution()) == ["task", "definitions", "format", "input"]
    assert targets(DefineSort()) == [WHOLE, "definitions"]
    assert targets(Merge()) == [WHOLE]
    assert targets(Rag()) == ["knowledge"]
    assert targets(SelfConsistency()) == ["task", "definitions", "reasoning", "input"]
    assert targets(FewShot()) == ["examples"]
    assert targets(ChainOfThought()) == ["reasoning"]
    assert targets(SelfReflection()) == ["task", "definitions", "input"]
    assert targets(ShortInstruction()) == ["task"]
    assert targets(Describe()) == ["definitions"]
    assert targets(Contract()) == ["format"]
    assert targets(Restart()) == [WHOLE]


small = st.text("abc {}付款\n", min_size=1, max_size=12).filter(str.strip)
trains = st.lists(st.tuples(small, st.sampled_from(["yes", "no", "也许", *"abcdef"])), min_size=1, max_size=40)


@given(trains, st.integers(0, 999), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_few_shot_shows_distinct_training_examples_of_every_target_alike(
    rows: list[tuple[str, str]], seed: int, failed: int
) -> None:
    train = tuple(Example(f"t{n}", {"text": f"{n} {text}"}, target) for n, (text, target) in enumerate(rows))
    task = Task("t", train, TASK.validation, TASK.test, TASK.metric, ("text",))
    asked = assignment("examples", (WRONG,) * failed)

    def edited() -> Prompt:
        return anyio.run(FewShot().edit, asked, context(Says(), task, seed))

    prompt = edited()
    assert prompt == edited(), "a function of the seed"
    section = prompt["examples"]
    if places(section.filled):
        assert section.text in {f"{{examples:{k}}}" for k in COUNTS}
        return
    frames = {example.id: show_example(PROMPT, task, example) for example in train}
    turns = {example.id: show_turns(PROMPT, task, example) for example in train}
    said = set(zip(section.turns[::2], section.turns[1::2], strict=True))
    as_turns = section.form == "turns"
    chosen = [e for e in train if (turns[e.id] in said if as_turns else frames[e.id] in section.text)]
    if not as_turns:
        assert len(section.text) == sum(len(frames[e.id]) for e in chosen) + 2 * (len(chosen) - 1)
    here, there = Counter(e.target for e in chosen), Counter(e.target for e in train)
    assert len(chosen) in {min(count, len(train)) for count in COUNTS}
    for target, count in here.items():
        fewer_only_if_used_up = [other for other in there if here[other] < count - 1]
        assert all(here[other] == there[other] for other in fewer_only_if_used_up), target


ALL: list[tuple[Operator, str]] = [
    *WRITERS,
    (FewShot(), "examples"),
    (Rag(), "knowledge"),
    (DefineSort(), "definitions"),
    (DefineSort(), WHOLE),
    (Merge(), WHOLE),
    (Restart(), WHOLE),
]


@pytest.mark.parametrize(("operator", "section"), ALL)
@given(seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_an_operator_knows_nothing_but_training_examples(operator: Operator, section: str, seed: int) -> None:
    """It does and asks the same where there are no others, and few-shot examples come from training alone."""
    asked: list[list[Request]] = []

    def edited(task: Task) -> Prompt | None:
        model = Says(f"<new>{kept(section, 'say more')}</new>")
        asked.append(model.asked)
        try:
            slots = open_slots(task, ["amber is yes"])
            given = Context(task, model, (), Random(seed), slots, 0.0)
            return one(anyio.run(operator.edit, assignment(section), given))
        except (EditRejected, InapplicableError, UnreadableReply):
            return None

    alone = replace(TASK, validation=(), test=())
    assert edited(TASK) == edited(alone)
    assert asked[0] == asked[1]
    prompt = edited(TASK)
    shown = "" if prompt is None else "\n".join(part.text for part in prompt)
    shown += "\n".join(message.text for request in asked[0] for message in request.messages)
    for example in (*TASK.validation, *TASK.test):
        assert example.inputs["text"] not in shown


@given(conversations.filter(bool))
def test_no_operator_that_writes_may_garble_turns(said: tuple[ChatMessage, ...]) -> None:
    turns = Section("turns", "examples", dump_turns(said), form="turns")
    prompt = Prompt((*PROMPT, turns))
    for name in OPERATORS:
        [operator] = open_operators([Named(name)]).values()
        assert ("turns" in operator.targets(prompt, TASK)) == (name == "few_shot")
