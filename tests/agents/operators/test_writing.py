"""The requests of the operators that write: what they hold, in which order, and what goes where room is short."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.operators.contract import Contract
from agents.operators.describe import Describe
from agents.operators.operator import WHOLE, Operator
from agents.operators.restart import Restart
from agents.operators.rewriting import ChainOfThought, SelfReflection
from agents.operators.self_consistency import SelfConsistency
from agents.operators.writing import DEFINITIONS, EACH_ANSWER, Writer, most_words
from agents.prompting.material import FURTHER, GROUPS, LINES, TELLING, TRIED, USES
from agents.ring.critic import Critic
from protocols.errors import EditRejected, InapplicableError, UnreadableReply
from protocols.kinds.kinds import TASK_KINDS
from protocols.messages import Assignment, Evaluation, Outcome, Tried
from protocols.model import Request
from protocols.naming import closed
from protocols.prompt import Prompt, Section
from protocols.task import Example, Json, KindName, Task
from protocols.wrappers.window import Window
from tests.agents.operators.test_operators import BROKEN, PROMPT, WRITERS, Script, assignment, context
from tests.agents.ring.test_handling import WRONG, Says
from tests.world import KIND, TASK, one

pytestmark = pytest.mark.anyio
DESCRIBED: Task = replace(TASK, description="Sort what 客户 write.", scored="accuracy")
ALL: list[tuple[Operator, str]] = [*WRITERS, (Restart(), WHOLE)]
BLOCKS = ("task", "prompt", "errors_in_all", "errors", "more_errors", "right", "right_replies", "diagnosis")
"""What all requests share, in this order; the diagnosis is no block of the critic's."""


async def asked(operator: Operator, given_here: Assignment, task: Task = DESCRIBED) -> str:
    """The user message of the request."""
    model = Says("")
    with pytest.raises((UnreadableReply, EditRejected)):
        await operator.edit(given_here, context(model, task))
    return model.asked[0].messages[-1].text


async def criticised(prompt: Prompt, outcomes: tuple[Outcome, ...], task: Task = DESCRIBED) -> str:
    model = Says("")
    await Critic(model, task, None).handle(Evaluation(3, prompt, (1.0,), True, 0.5, 0.1, 1, 0, outcomes))
    return model.asked[0].messages[-1].text


def opened(said: str) -> list[str]:
    """The blocks of a request in the order in which they open, each once."""
    return list(dict.fromkeys(re.findall(r"^<([a-z_]+)(?: [^<>]*)?>$", said, re.MULTILINE)))


labels = st.sampled_from(["yes", "no", "maybe", 'a "quoted" one', "付款", *(f"label_{n}" for n in range(9))])
outcome = st.builds(
    lambda n, target, answer, right, text: replace(
        WRONG,
        example=f"t{n}",
        inputs={"text": text},
        target=target,
        answer=target if right else answer,
        reply="Well,\nso " * 40 + answer,
        score=float(right),
        mistakes={} if right else {f"{target} answered as {answer}": 1},
    ),
    st.integers(0, 999),
    labels,
    labels,
    st.booleans(),
    st.sampled_from(["birch {text}", "请 退款 {a}", '{"a": [1]}', "<errors> no", "\n\n", "amber " * 900]),
)
minibatch = st.lists(outcome, min_size=1, max_size=40, unique_by=lambda o: o.example).map(tuple)
failing = minibatch.filter(lambda outcomes: any(o.score < 1 for o in outcomes))


@pytest.mark.parametrize("who", ["critic", "self_reflection"])
@given(outcomes=failing)
@settings(max_examples=25, deadline=None)
def test_the_blocks_have_their_order_and_the_groups_all_failures(who: str, outcomes: tuple[Outcome, ...]) -> None:
    """How many there are is said, also of those that are not shown."""
    given_here = replace(assignment("task", outcomes), diagnosis="It is vague.")
    said = (
        anyio.run(criticised, PROMPT, outcomes) if who == "critic" else anyio.run(asked, SelfReflection(), given_here)
    )
    order = [tag for tag in opened(said) if tag in BLOCKS]
    assert order == [tag for tag in BLOCKS if tag in order]
    assert {"task", "prompt", "errors"} <= set(order)
    counts = [
        int(n) for n in re.findall(r'^<errors group="\d+"(?: error="[^"]*")? examples="(\d+)">$', said, re.MULTILINE)
    ]
    lines = said.partition("<more_errors>\n")[2].partition("\n</more_errors>")[0].split("\n")
    lines = [line for line in lines if line]
    ids = {outcome.example for outcome in outcomes}
    assert all(line.startswith("- ") and ", expected " in line for line in lines)
    assert all(line.rpartition(" (")[2].rstrip(")") in ids for line in lines), "which can be referred to"
    failed = sum(o.score < 1 for o in outcomes)
    assert f"<errors_in_all>\n{failed} of {len(outcomes)} examples went wrong.\n" in said
    assert counts == sorted(counts, reverse=True)
    assert len(counts) <= GROUPS
    assert len(lines) <= FURTHER
    assert sum(counts) == failed or lines, "a line of each further group"


@given(minibatch)
@settings(max_examples=25, deadline=None)
def test_every_answer_that_came_out_right_is_shown_while_there_is_room(outcomes: tuple[Outcome, ...]) -> None:
    given_here = assignment("task", (*outcomes, replace(WRONG, example="last")))
    said = anyio.run(asked, SelfReflection(), given_here)
    lines = re.findall(r"^- .* → (.*)$", said.partition("<right>\n")[2].partition("\n</right>")[0], re.MULTILINE)
    right = Counter(o.target for o in outcomes if o.score >= 1)
    assert len(lines) == min(LINES, right.total())
    shown = Counter(lines)
    assert set(shown) == set(right)
    assert all(shown[a] >= min(right[a], shown[b] - 1) for a in right for b in right), "in turn"


@pytest.mark.parametrize(("operator", "section"), ALL)
async def test_a_request_tells_the_task_shows_the_part_in_place_and_ends_with_how_to_reply(
    operator: Operator, section: str
) -> None:
    """The user's description is told, and the prompt that is sent to the task's model is another."""
    given_here = replace(assignment(section), diagnosis="The whole diagnosis.", gradient="", scores=(0.5, 1.0, None))
    said = await asked(operator, given_here)
    assert said.startswith("<task>\nSort what 客户 write.\nA task of the kind classification. Input: text.\n")
    assert "Score: accuracy." in said
    assert "scores 0.75 on 2 examples" in said
    assert "<diagnosis>\nThe whole diagnosis.\n</diagnosis>" in said
    marked = re.findall(r'^<part name="(\w+)" kind="\w+">\n((?:.*\n)*?)</part>$', said, re.MULTILINE)
    assert marked == (
        [] if section == WHOLE else [(section, f"{PROMPT[section].text}\n" if PROMPT[section].text else "")]
    )
    assert isinstance(operator, Writer)
    ending = said.rpartition("\n")[2]
    assert ending.startswith("Think first. Then write")
    assert ("<part name=" if section == WHOLE else "<new>") in ending
    assert not re.findall(r"\{(?:part|use|clause|parts|first|empty|train)\}", said)


@pytest.mark.parametrize(("operator", "section"), ALL)
async def test_an_instruction_of_the_users_stands_in_place_of_ours(operator: Operator, section: str) -> None:
    assert isinstance(operator, Writer)
    own = type(operator)()
    own.asks = "Be bold with {part} {nothing}.\n\nAnd brief."
    said = await asked(own, assignment(section))
    part = "{part}" if section == WHOLE else section
    assert f"\n\nBe bold with {part} {{nothing}}.\n\nAnd brief.\n" in said
    theirs, ours = (text.rpartition("\n")[2] for text in (said, await asked(operator, assignment(section))))
    assert theirs == ours, "how to reply is said in any case"


async def test_a_critic_may_have_an_instruction_of_the_users() -> None:
    model = Says("<critique>[task] x</critique>")
    critic = Critic(model, DESCRIBED, None, "Find the parts {parts}.")
    await critic.handle(Evaluation(3, PROMPT, (1.0,), True, 0.5, 0.1, 1, 0, (WRONG,)))
    said = model.asked[0].messages[-1].text
    free = [section for section in PROMPT if not section.frozen]
    names = "; ".join(f"{s.name} ({USES[s.kind]}{'' if s.text else '; empty'})" for s in free)
    assert f"\n\nFind the parts {names}.\nThink first. Then write this between <critique>" in said


tries = st.lists(
    st.builds(
        Tried,
        st.just("x"),
        st.sampled_from([PROMPT["task"].text, "a", "b", "c", "d", "e", ""]),
        st.floats(-1, 1),
        st.floats(0, 1),
        st.integers(1, 99),
        st.booleans(),
        st.none() | st.floats(0, 1),
    ),
    max_size=8,
).map(tuple)


@given(tries)
@settings(max_examples=40, deadline=None)
def test_what_was_tried_is_told_as_it_was_measured_and_never_what_stands_there(tried: tuple[Tried, ...]) -> None:
    said = anyio.run(asked, SelfReflection(), replace(assignment("task"), tried=tried))
    block = said.partition("<tried>\n")[2].partition("\n</tried>")[0]
    others = [t for t in tried if t.text != PROMPT["task"].text and (t.survived or t.n >= TELLING)]
    assert PROMPT["task"].text not in block
    told = [told_of(t) for t in others]
    shown = re.split(r"\n\n(?=x \()", block) if block else []
    assert not Counter(shown) - Counter(told)
    assert len(shown) == min(TRIED, len(others))
    if others:
        for end in (max, min):  # of equal gains, any
            gain = end(other.gain for other in others)
            assert any(text in shown for text, other in zip(told, others, strict=True) if other.gain == gain)


def told_of(tried: Tried) -> str:
    than = "" if tried.before is None else f" than a prompt that scored {tried.before:.2f}"
    change = f"{abs(tried.gain):.3f} ± {tried.error:.3f} {'better' if tried.gain > 0 else 'worse'}{than}"
    if tried.gain == 0:
        change = f"no better and no worse{than}"
    chance = ", which may be chance" if abs(tried.gain) < 2 * tried.error else ""
    ending = "won, and stands in another version of the prompt" if tried.survived else "lost"
    return f"x ({change} on {tried.n} examples{chance}, {ending}) wrote:\n{tried.text or '(nothing)'}"


async def test_doubted_errors_come_last_and_are_marked() -> None:
    """A convention of the data may look wrong, so nothing is left out."""
    failed = [outcome.example for outcome in assignment("task").outcomes if outcome.score < 1]
    plain = await asked(SelfReflection(), assignment("task"))
    said = await asked(SelfReflection(), replace(assignment("task"), doubtful=(failed[0],)))
    assert said.count("Doubted: ") == 1
    assert "Doubted: " not in plain
    assert all(f"Example: {name}" in said for name in failed)
    assert said.index(f"Example: {failed[0]}") == max(said.index(f"Example: {name}") for name in failed)


async def test_a_part_of_which_the_diagnosis_asks_nothing_is_not_told_to_repair_what_it_names() -> None:
    named, unnamed = "the diagnosis names for this part", "asks nothing of this part"
    asked_for = replace(assignment("task"), diagnosis="[task] Say more.", gradient="Say more.")
    for told, there in (
        (asked_for, named),
        (replace(asked_for, gradient=""), unnamed),
        (replace(asked_for, gradient="", diagnosis=""), named),  # no critic says where a repair belongs
    ):
        said = await asked(SelfReflection(), told)
        assert [text for text in (named, unnamed) if text in said] == [there]


async def test_what_a_critic_says_of_a_section_beside_its_diagnosis_is_told_too() -> None:
    """Once: the gradients of ours are lines of its diagnosis."""
    given_here = replace(
        assignment("task"), diagnosis="It is vague.\n[task] Say more.", gradient="Say more.\nNever {x}."
    )
    block = (await asked(SelfReflection(), given_here)).partition("<diagnosis>\n")[2].partition("\n</diagnosis>")[0]
    assert block == "It is vague.\n[task] Say more.\nNever {x}."
    block = (await asked(SelfReflection(), assignment("task"))).partition("<diagnosis>\n")[2]
    assert block.startswith("say {more} 付款\n</diagnosis>")


# The window


def fits(window: int) -> Window:
    known = Window()
    known.tell(window)
    return known


class Small(Says):
    """A model of a small window."""

    window = fits(1024)

    def spare(self, request: Request) -> float:
        return self.window.spare(request)


@pytest.mark.parametrize(("operator", "section"), ALL)
@given(outcomes=failing)
@settings(max_examples=10, deadline=None)
def test_in_a_small_window_the_instruction_the_prompt_and_the_errors_that_fit_are_left(
    operator: Operator, section: str, outcomes: tuple[Outcome, ...]
) -> None:
    model = Small("")
    prompt = PROMPT.edit("task", "Say yes or no to {text}.", TASK.fields)
    long = replace(assignment(section, (*outcomes, BROKEN), prompt), diagnosis="why " * 400)

    async def ask() -> None:
        with pytest.raises((UnreadableReply, EditRejected)):
            await operator.edit(long, context(model, DESCRIBED))

    anyio.run(ask)
    request = model.asked[0]
    said = request.messages[-1].text
    assert "Think first. Then write" in said
    assert "Sort what 客户 write." in said
    assert "Say yes or no to {text}." in said
    if model.spare(request) < 0:  # nothing is left that could go
        assert not {"errors", "right", "diagnosis", "tried"} & set(opened(said))


# restart


PARTS = """<part name="task">Sort {text}.</part>
<part name="definitions">
- yes: 付款
</part>
<part name="input">no</part>"""


async def test_a_restart_writes_all_parts_but_examples_knowledge_and_what_is_frozen() -> None:
    model = Says(f"Well.\n{PARTS}\n<part name='examples'>none</part>")
    made = one(await Restart().edit(assignment(WHOLE), context(model)))
    assert made == PROMPT.edit("task", "Sort {text}.", TASK.fields).edit("definitions", "- yes: 付款", TASK.fields)
    said = model.asked[0].messages[-1].text
    for section in PROMPT:
        writable = not section.frozen and section.kind not in ("examples", "knowledge")
        assert (f"{section.name} (" in said.rpartition("\n\n")[2]) == writable
    assert "<data>" in said
    assert Restart().targets(Prompt((PROMPT["definitions"], PROMPT["input"])), TASK) == []


async def test_a_restart_may_move_a_name_and_may_not_lose_one() -> None:
    task = replace(TASK, kind=replace(KIND, names=closed(["yes", "no"])))
    moved = '<part name="format">A label.</part><part name="definitions">yes or no</part>'
    lost = '<part name="format">A label.</part><part name="definitions">yes</part>'
    made = one(await Restart().edit(assignment(WHOLE), context(Says(moved), task)))
    assert made["format"].text == "A label."
    bare = PROMPT.edit("task", "Say it: {text}", TASK.fields)
    with pytest.raises(EditRejected, match="the edit loses no"):
        await Restart().edit(assignment(WHOLE, prompt=bare), context(Script([lost, lost]), task))


@pytest.mark.parametrize(
    "reply", ["", "<part name='nowhere'>x</part>", f'<part name="task">{PROMPT["task"].text}</part>']
)
async def test_a_restart_that_changes_nothing_is_unreadable(reply: str) -> None:
    model = Says(reply)
    with pytest.raises(UnreadableReply):
        await Restart().edit(assignment(WHOLE), context(model))
    assert len(model.asked) == 2


# What each is for


async def test_a_contract_is_written_where_a_reply_broke_the_form() -> None:
    model = Says("<new>End with the label.</new>")
    with pytest.raises(InapplicableError):
        await Contract().edit(assignment("format", (WRONG,)), context(model))
    assert model.asked == []
    assert one(await Contract().edit(assignment("format", (BROKEN,)), context(model)))["format"].text


async def test_describe_is_shown_training_examples_of_every_answer_even_if_nothing_failed() -> None:
    right = tuple(replace(WRONG, example=e.id, score=1.0) for e in TASK.train)
    said = await asked(Describe(), assignment("definitions", right))
    block = said.partition("<data>\n")[2].partition("\n</data>")[0].split("\n")
    assert block == [*dict.fromkeys(block)]
    answers = [line.rpartition(" → ")[2] for line in block]
    assert sorted(answers, reverse=answers[0] == "yes") == answers, "those of one answer stand together"
    assert set(answers) == {"yes", "no"}
    assert {line[2:].partition(" → ")[0] for line in block} == {e.inputs["text"] for e in TASK.train}


def test_describe_writes_definitions_or_else_the_task_and_nothing_frozen() -> None:
    def targets(*sections: Section) -> Sequence[str]:
        return Describe().targets(Prompt(sections), TASK)

    task, frame = Section("task", "task", "Sort."), Section("input", "task", "{text}", frozen=True)
    definitions = Section("notes", "definitions")
    assert targets(task, definitions, frame) == ["notes"]
    assert targets(task, replace(definitions, frozen=True), frame) == ["task"]
    assert targets(task, frame) == ["task"]
    assert targets(frame) == []


@pytest.mark.parametrize("count", [2, 24, 77])
def test_what_explains_the_answers_has_room_for_each(count: int) -> None:
    """Also where there are more labels than examples of them; a longer text may grow by a fifth."""
    train = tuple(Example(f"t{n}", {"text": f"{n}"}, f"intent_{n}") for n in range(count))
    task = replace(TASK, train=train)
    words = DEFINITIONS + EACH_ANSWER * count
    assert most_words(PROMPT["definitions"], PROMPT, task) == words
    long = PROMPT.edit("definitions", "word " * 5000, ())
    assert most_words(long["definitions"], long, task) == 6000
    bare = Prompt((PROMPT["task"], PROMPT["input"]))
    assert most_words(bare["task"], bare, task) >= words


@pytest.mark.parametrize(
    ("prompt", "unit"),
    [
        ("Sort it. Labels: 付款, 包裹, 登录", "words"),
        ("请选择一个标签：{answers}。", "characters"),
        ("", "characters"),
    ],
)
@pytest.mark.parametrize("operator", [Describe(), Restart()], ids=["describe", "restart"])
async def test_limits_are_in_the_unit_of_the_prompts_language_and_not_of_the_inputs(
    operator: Operator, prompt: str, unit: str
) -> None:
    train = tuple(replace(example, inputs={"text": "我想付款" * 9}) for example in TASK.train)
    frame = Section("input", "task", "{text}", frozen=True)
    made = Prompt(
        (*(Section(s.name, s.kind, prompt if s.name == "task" else "") for s in PROMPT if s.name != "input"), frame)
    )
    section = WHOLE if isinstance(operator, Restart) else "definitions"
    said = await asked(operator, replace(assignment(section, prompt=made), partners=()), replace(TASK, train=train))
    assert {*re.findall(r"at most \d+ (words|characters)", said.lower())} == {unit}


async def test_only_what_explains_the_answers_is_told_to_cover_them_and_how() -> None:
    """A task of forty words beside definitions has no room for a line on each."""
    targets: Sequence[Json] = [{"person": ["Ada"], "place": ["Rome"]}, {}]
    train = tuple(Example(f"t{n}", {"text": f"amber {n}"}, targets[n % 2]) for n in range(8))
    kind = TASK_KINDS["ner"](dict.fromkeys(("train", "validation", "test"), train))
    task = replace(TASK, train=train, kind=kind)
    failed = tuple(Outcome(e.id, e.inputs, kind.show(e.target), "{}", None, 0.0, "missed") for e in train)
    bare = Prompt(tuple(section for section in PROMPT if section.kind != "definitions"))
    for operator, section, prompt, told in (
        (SelfReflection(), "task", PROMPT, False),
        (SelfReflection(), "task", bare, True),
        (SelfReflection(), "definitions", PROMPT, True),
        (ChainOfThought(), "reasoning", PROMPT, False),
    ):
        said = await asked(operator, replace(assignment(section, failed, prompt), partners=()), task)
        assert ("A list must cover every answer" in said) == told
        assert ("For each type say" in said) == told


@pytest.mark.parametrize("twins", [None, 0, 1, 3])
async def test_a_request_that_is_being_answered_asks_for_another_approach(twins: int | None) -> None:
    said = await asked(SelfReflection(), replace(assignment("definitions"), partners=(), twins=twins))
    assert ("take another approach" in said) == bool(twins)


OPTIONS = "Who is the oldest? {story} Options: (A) Ann (B) Ben (C) Cid"


def puzzles(answer: Callable[[int], str], listed: bool = True) -> Task:
    """Puzzles of reasoning, too long for a line of data of another kind."""
    text = OPTIONS if listed else "Who is the oldest? {story}"
    story = "Ann is older than Ben, who is older than Cid. " * 10
    train = tuple(Example(f"t{n}", {"text": text.replace("{story}", f"{n} {story}")}, answer(n)) for n in range(12))
    kind = TASK_KINDS["reasoning"](dict.fromkeys(("train", "validation", "test"), train))
    return replace(TASK, kind=kind, train=train)


async def test_options_that_inputs_list_are_not_explained_and_other_answers_are() -> None:
    """What (A) means is another thing in each input."""
    listed = await asked(Describe(), assignment("definitions"), puzzles(lambda n: f"({'ABC'[n % 3]})"))
    assert "Explain every answer" not in listed
    assert "lines on single answers" not in listed
    named = await asked(Describe(), assignment("definitions"), puzzles(lambda n: ("Ann", "Dan")[n % 2], listed=False))
    assert "Explain every answer" in named
    assert "lines on single answers" in named


async def test_what_is_reasoned_about_is_shown_whole() -> None:
    """Its end holds what is asked, and its answer may stand anywhere in it by chance."""
    task = puzzles(lambda n: f"({'ABC'[n % 3]})")
    data = (await asked(Describe(), assignment("definitions"), task)).partition("<data>")[2]
    lines = [line for line in data.partition("</data>")[0].splitlines() if line.startswith("- ")]
    assert len(lines) == len(task.train)
    assert all(line.startswith("- Who is") and "(C) Cid → " in line for line in lines)


async def test_what_all_inputs_begin_with_is_said_once_and_the_rest_is_kept() -> None:
    stories = [" ".join(f"{n}{word}" for word in "abcdefgh") for n in range(12)]
    opening = "The following lines each tell of five objects in a fixed order."
    train = tuple(Example(f"t{n}", {"text": f"{opening} {text}"}, "yno"[n % 2 :]) for n, text in enumerate(stories))
    said = await asked(Describe(), assignment("definitions"), replace(TASK, train=train))
    data = said.partition("<data>")[2].partition("</data>")[0]
    assert data.count(opening) == 1
    assert all(f"- […] {story} → " in data for story in stories)


@pytest.mark.parametrize(("right", "chance"), [(("a", "a"), True), (("a", "b"), False), ((), False)])
async def test_right_answers_that_are_given_to_everything_are_said_to_show_no_rule(
    right: tuple[str, ...], chance: bool
) -> None:
    wrong = [replace(WRONG, example=f"w{n}", target="c", answer="a", reply="a") for n in range(6)]
    well = [replace(WRONG, example=f"r{n}", target=t, answer=t, reply=t, score=1.0) for n, t in enumerate(right)]
    said = await criticised(PROMPT, (*wrong, *well))
    assert "Wrongly answered most often: 'a' (6)." in said
    assert ("All that came out right expect 'a', too" in said) is chance


@pytest.mark.parametrize(("kinds", "shown"), [(1, 9), (3, 9), (5, 15)])
async def test_few_groups_of_errors_are_shown_by_more_examples(kinds: int, shown: int) -> None:
    wrong = [
        replace(WRONG, example=f"w{n}", inputs={"text": f"{n} birch"}, mistakes={f"kind {n % kinds}": 1})
        for n in range(20)
    ]
    assert (await criticised(PROMPT, tuple(wrong))).count("\nExpected: ") == shown


async def test_a_long_reply_keeps_its_end_and_one_without_an_answer_is_told_once() -> None:
    words = " ".join(f"word{n}" for n in range(900))
    long = replace(WRONG, reply=f"First {words} so it is no.", answer=None)
    said = await criticised(PROMPT, (long,))
    assert "Answered: nothing that could be read\nReplied: First word0 " in said
    assert "word899 so it is no.\n" in said
    assert said.count("word899") == 1


async def test_a_reply_has_room_for_the_text_that_it_may_write() -> None:
    train = tuple(Example(f"t{n}", {"text": f"{n}"}, f"intent_{n}") for n in range(77))
    rooms = []
    for operator in (SelfReflection(), SelfConsistency()):
        model = Says("")
        with pytest.raises(UnreadableReply):
            await operator.edit(assignment("definitions"), context(model, replace(TASK, train=train)))
        rooms.append(model.asked[0].max_tokens)
    words = DEFINITIONS + 77 * EACH_ANSWER
    assert rooms[0] > 4 / 3 * words
    assert rooms[1] > 3 * 4 / 3 * words


TARGETS: Mapping[KindName, Sequence[Json]] = {
    "classification": ["yes", "no"],
    "ner": [{"person": ["Ada"]}, {}],
    "reading": ["Ada", []],
    "generation": ["A poem", "付款"],
    "reasoning": [12, 7],
}


@pytest.mark.parametrize("kind", TARGETS)
async def test_tasks_of_every_kind_with_several_inputs_are_told_and_have_their_clause(kind: KindName) -> None:
    examples = tuple(
        Example(f"t{n}", {"context": f"amber {n}\n付款", "question": "{text}?"}, TARGETS[kind][n % 2])
        for n in range(8)
    )
    made = TASK_KINDS[kind](dict.fromkeys(("train", "validation", "test"), examples))
    task = replace(TASK, train=examples, kind=made, fields=("context", "question"))
    frame = Section("input", "task", "{context}\n{question}", frozen=True)
    prompt = Prompt((*(s for s in PROMPT.edit("task", "Say {text}", TASK.fields) if s.name != "input"), frame))
    failed = tuple(Outcome(e.id, e.inputs, made.show(e.target), "none", None, 0.0, "no answer") for e in examples)
    for said in (
        await asked(Describe(), replace(assignment("definitions", failed, prompt), partners=()), task),
        await asked(ChainOfThought(), replace(assignment("reasoning", failed, prompt), partners=()), task),
        await criticised(prompt, failed, task),
    ):
        assert f"A task of the kind {kind}. Input: context, question." in said
        assert made.reads in said
        assert re.search(r"Input \(context\): amber \d\n  付款\nInput \(question\): \{text\}\?\n", said)
        assert "{empty}" not in said
        if kind == "ner":
            assert "Types, with their numbers among 8 training examples: person (4)." in said
