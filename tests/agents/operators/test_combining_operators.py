"""The operators that choose, order and combine: nothing is lost, and what decides is what should."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.archive import best_parent
from agents.operators.define_sort import WORTH, DefineSort
from agents.operators.differential_evolution import MOST, DifferentialEvolution
from agents.operators.merge import Merge
from agents.operators.operator import WHOLE, Context, part
from agents.operators.rag import Rag
from agents.operators.self_consistency import SelfConsistency
from agents.prompting.requests import HEADINGS, sent_in
from agents.prompting.retrieval_slots import open_slots, places
from memory.experience import Experience, Recalled
from memory.judgement import Judged
from protocols.errors import EditRejected, InapplicableError
from protocols.messages import Assignment, Credit, Partner, Scores
from protocols.prompt import Prompt, Section, placeholders
from tests.agents.operators.test_operators import PROMPT, Script, assignment, context, kept
from tests.agents.ring.test_handling import WRONG, Says
from tests.strategies import sections
from tests.world import TASK

pytestmark = pytest.mark.anyio
SEEDS = st.integers(0, 999)
FULL = Prompt(
    tuple(
        replace(s, text=s.text or f"What to do about {s.name}.")
        for s in PROMPT
        if s.name not in ("knowledge", "examples")
    )
    + tuple(PROMPT[name] for name in ("knowledge", "examples"))
)


# merge

free = [s.name for s in PROMPT if not s.frozen and not placeholders(s.text, TASK.fields)]
edits = st.sets(st.sampled_from(free))


def edited(by: str, names: Iterable[str]) -> Prompt:
    """PROMPT with a text of `by` in these sections."""
    return Prompt(tuple(replace(s, text=f"{s.text} by {by}") if s.name in names else s for s in PROMPT))


def merged(parent: Prompt, scores: Scores, partners: Sequence[Partner], seed: int = 0) -> Prompt | None:
    asked = Assignment(5, "merge", WHOLE, 0, parent, "", (), scores, partners=tuple(partners))
    try:
        return anyio.run(Merge().edit, asked, context(Says(), seed=seed))
    except InapplicableError:
        return None


@given(edits, edits, st.booleans())
def test_merge_takes_each_section_from_who_has_edited_it_and_from_the_better_where_both_have(
    one: set[str], other: set[str], ahead: bool
) -> None:
    mine, theirs = edited("one", one), edited("other", other)
    scores, others = ((1.0, 0.0, 0.0), (0.0, 1.0, float(ahead)))
    partner = Partner(1, theirs, others, {}, PROMPT)
    prompt = merged(mine, scores, [partner])
    assert Merge().combines(mine, WHOLE, [partner]) == bool(one - other and other - one) == (prompt is not None)
    if prompt is not None:
        both = {True: theirs, False: mine}[ahead]
        for section in prompt:
            source = both if section.name in one & other else mine if section.name in one else theirs
            assert section == source[section.name]


@given(st.lists(edits, min_size=1, max_size=4), edits, SEEDS)
@settings(deadline=None)
def test_merge_is_a_new_prompt_of_two_and_a_function_of_the_seed(
    drawn: list[set[str]], own: set[str], seed: int
) -> None:
    parent = edited("parent", own)
    partners = [Partner(n, edited(f"{n}", names), (0.0, 1.0), {}, PROMPT) for n, names in enumerate(drawn, 1)]
    prompt = merged(parent, (1.0, 0.0), partners, seed)
    assert prompt == merged(parent, (1.0, 0.0), partners, seed)
    if prompt is not None:
        assert prompt not in [parent, *(partner.prompt for partner in partners)]
        authors = {s.text.rpartition(" by ")[2] for s in prompt if " by " in s.text}
        assert len(authors) == 2


def test_merge_wants_a_partner_who_is_ahead_somewhere_and_touches_nothing_frozen() -> None:
    mine, theirs = edited("one", ["definitions"]), edited("other", ["reasoning"])
    never = Partner(1, theirs, (0.0, 0.0), {}, PROMPT)
    assert merged(mine, (1.0, 0.0), [never]) is None, "nothing is to be won from a member that is better nowhere"
    assert merged(mine, (1.0, 0.0), [replace(never, scores=(0.0, 1.0), ancestor=None)]) is None
    unanswered = merged(mine, (1.0, None), [replace(never, scores=(0.0, 1.0))])
    assert unanswered is None, "nobody knows who is ahead where one gave no answer"
    frozen = mine.freeze(("reasoning",))
    assert not Merge().combines(frozen, WHOLE, [replace(never, scores=(0.0, 1.0))])


async def test_merge_needs_another_member() -> None:
    with pytest.raises(InapplicableError):
        await Merge().edit(replace(assignment(WHOLE), partners=()), context(Says()))


def pair(extract: str = "-", decide: str = "-", more: str = "") -> Prompt:
    """A program of two prompts, the first of two sections."""
    texts = {"extract.task": extract, "extract.format": more, "decide.task": decide}
    return Prompt(tuple(Section(name, "task", text) for name, text in texts.items()))


def test_merge_crosses_prompts_that_both_have_edited_and_believes_a_swap() -> None:
    mine, theirs = pair("one", "one", "one"), pair("other", "other")
    partner = Partner(1, theirs, (1.0, 0.0, 1.0), {}, pair())
    assert Merge().combines(mine, WHOLE, [partner])
    crosses = {pair("one", "other", "one"), pair("other", "one")}
    scores = (0.0, 1.0, 0.0)
    assert {merged(mine, scores, [partner], seed) for seed in range(30)} == crosses
    for worth, wanted in ((-0.5, pair("one", "other", "one")), (0.5, pair("other", "one"))):
        known = replace(partner, swapped={"extract": Credit(worth, 0.1), "decide": Credit(-worth, 0.1)})
        assert {merged(mine, scores, [known], seed) for seed in range(10)} == {wanted}


def test_merge_joins_two_prompts_that_two_members_have_changed_and_puts_none_back() -> None:
    mine, theirs = pair(extract="writes json"), pair(decide="reads json")
    partner = Partner(1, theirs, (1.0, 0.0), {}, pair())
    joined = {merged(mine, (0.0, 1.0), [partner], seed) for seed in range(10)}
    assert joined == {pair(extract="writes json", decide="reads json")}
    assert not Merge().combines(mine, WHOLE, [replace(partner, prompt=pair("writes xml"))]), "one prompt differs"


# define_sort

items = st.lists(st.text("ab:- {}付", min_size=1, max_size=6).map(str.strip), min_size=2, unique=True)
HEADS = st.sampled_from(["", "Labels:", "What they mean,\nwrapped by hand:\n"])


@given(HEADS, st.sampled_from(["- ", "* ", "{}. "]), items, SEEDS)
@settings(deadline=None)
def test_items_are_permuted_and_none_is_lost(head: str, mark: str, lines: list[str], seed: int) -> None:
    marks = [mark.replace("{}", f"{number}") for number in range(1, len(lines) + 1)]
    listed = "\n".join(f"{mark}{line}\n  more of {line}\n" for mark, line in zip(marks, lines, strict=True))
    prompt = PROMPT.edit("definitions", f"{head}\n{listed}" if head else listed, TASK.fields)
    edited = anyio.run(DefineSort().edit, assignment("definitions", prompt=prompt), context(Says(), seed=seed))
    after = edited["definitions"].text
    assert after.startswith(head)
    rest = after[len(head) :].lstrip("\n").split("\n")
    assert [line[: len(mark)] for line, mark in zip(rest[::3], marks, strict=True)] == marks, (
        "a list keeps its numbers"
    )
    said = [line[len(mark) :] for line, mark in zip(rest[::3], marks, strict=True)]
    assert Counter(said) == Counter(lines)
    assert said != lines
    assert [line.strip() for line in rest[1::3]] == [f"more of {line}".strip() for line in said]
    assert [s for s in edited if s.name != "definitions"] == [s for s in prompt if s.name != "definitions"]


@pytest.mark.parametrize(
    "text", ["Yes or no, depending on\nwhat is meant by\nthe words that are given.", "- one item\n  of two lines", ""]
)
def test_what_is_no_list_is_left_alone(text: str) -> None:
    assert DefineSort().targets(PROMPT.edit("definitions", text, TASK.fields), TASK) == [WHOLE]


async def test_an_item_is_that_answers_which_it_names_first_as_a_word() -> None:
    text = "yes: unlike no, amber\nno: birch\n- other: another matter"
    prompt = PROMPT.edit("definitions", text, TASK.fields)
    missed = (replace(WRONG, target="no", answer=None),) * 3
    edited = await DefineSort().edit(assignment("definitions", missed, prompt=prompt), context(Says()))
    assert edited["definitions"].text.splitlines()[-1] == "- no: birch", "an unreadable reply names no answer"
    known = replace(WRONG, target="other", answer="no")
    edited = await DefineSort().edit(assignment("definitions", (known,), prompt=prompt), context(Says()))
    assert [line[:5] for line in edited["definitions"].text.splitlines()] == ["no: b", "yes: ", "- oth"]


async def test_what_was_missed_comes_last_and_what_was_wrongly_given_first() -> None:
    prompt = PROMPT.edit("definitions", "- yes: amber\n- maybe: clay\n- no: birch", TASK.fields)
    for target, chosen in itertools.permutations(("yes", "no", "maybe"), 2):
        outcome = replace(WRONG, target=target, answer=chosen)
        edited = await DefineSort().edit(assignment("definitions", (outcome,), prompt=prompt), context(Says()))
        order = [line.split(":")[0] for line in edited["definitions"].text.splitlines()]
        [other] = {"yes", "no", "maybe"} - {target, chosen}
        if (chosen, other, target) != ("yes", "maybe", "no"):
            assert order == [f"- {name}" for name in (chosen, other, target)]
        else:
            assert sorted(order) == ["- maybe", "- no", "- yes"], "they stand so already: any order"


@given(SEEDS, st.permutations([s.name for s in FULL]), st.sampled_from(["", "{examples:2}"]))
def test_one_section_that_is_not_frozen_moves_so_that_the_prompt_reads_differently(
    seed: int, order: list[str], shown: str
) -> None:
    prompt = FULL.edit("examples", shown, TASK.fields).reorder(order)
    edited = anyio.run(DefineSort().edit, assignment(WHOLE, prompt=prompt), context(Says(), seed=seed))
    inputs = {"text": "x", "examples:2": "two of them"}
    assert edited.render(inputs) != prompt.render(inputs)
    assert set(edited) == set(prompt)
    moved = [s for s in prompt if [t for t in edited if t != s] == [t for t in prompt if t != s]]
    assert any(s.text and not s.frozen for s in moved), "the others keep their order"


WORTHS = st.dictionaries(st.sampled_from([s.name for s in FULL]), st.integers(-9, 9))


def distant(prompt: Prompt, worths: Mapping[str, int]) -> float:
    """Credit times characters that are read between a section and what shows the input."""
    read = [s for s in prompt if s.text and not placeholders(s.text, TASK.fields)]
    behind = [sum(len(s.text) for s in read[place + 1 :]) for place in range(len(read))]
    return sum((WORTH + worths.get(s.name, 0)) * way for s, way in zip(read, behind, strict=True))


@given(SEEDS, st.permutations([s.name for s in FULL]), WORTHS)
def test_the_move_is_taken_that_brings_most_credit_nearest(
    seed: int, order: list[str], worths: dict[str, int]
) -> None:
    prompt = FULL.reorder(order)
    credit = {name: Credit(worth, 0.1) for name, worth in worths.items()}
    asked = replace(assignment(WHOLE, prompt=prompt), credit=credit)
    edited = anyio.run(DefineSort().edit, asked, context(Says(), seed=seed))
    forward = []
    for first, last in itertools.combinations(range(len(order)), 2):
        if not prompt[order[last]].frozen:
            moved = [order[last], *order[first:last]]
            forward.append(distant(prompt.reorder([*order[:first], *moved, *order[last + 1 :]]), worths))
    if min(forward) < distant(prompt, worths) - 1e-6:
        assert distant(edited, worths) == pytest.approx(min(forward))


def lost(section: str, before: str, after: str) -> Judged:
    past = Experience("t", section, "definitions", "define_sort", before, after, "", -0.1, 9, 0, "lost", 0.0)
    return Judged(Recalled(past, 1.0), -0.1, 1.0, 1)


@pytest.mark.parametrize("section", [WHOLE, "definitions"])
async def test_an_order_that_was_tried_is_not_proposed_again(section: str) -> None:
    prompt = FULL.edit("definitions", "- yes: amber\n- maybe: clay\n- no: birch", TASK.fields)
    credit = {"reminders": Credit(-1.0, 0.0)}
    asked = replace(assignment(section, prompt=prompt), credit=credit)
    tried = [await DefineSort().edit(asked, context(Says()))]
    for _ in range(3):
        recalled = [lost(section, part(prompt, section).text, part(edit, section).text) for edit in tried]
        tried.append(await DefineSort().edit(asked, replace(context(Says()), recalled=recalled)))
    assert len(set(tried)) == 4


async def test_a_prompt_of_one_order_cannot_be_ordered() -> None:
    alone = Prompt((FULL["definitions"], Section("empty", "reasoning"), FULL["input"]))
    assert DefineSort().targets(alone, TASK) == ["definitions"]
    with pytest.raises(InapplicableError):
        await DefineSort().edit(assignment(WHOLE, prompt=alone), context(Says()))


# self_consistency


def drafts(*written: str) -> str:
    return "\n".join(f"<new>{text}</new>" for text in written)


async def test_all_drafts_that_are_edits_are_made_each_once() -> None:
    good = [kept("task", text) for text in ("amber {}", "付款")]
    said = drafts(good[0], "lost the placeholder", good[1], good[0], "")
    model = Says(f"I write them between <new> and </new>.\n{said}")
    made = await SelfConsistency().edit(assignment("task"), context(model))
    assert list(made) == [PROMPT.edit("task", text, TASK.fields) for text in good]
    assert len(model.asked) == 1


async def test_where_no_draft_is_an_edit_the_model_is_told_why_once() -> None:
    model = Script([drafts("lost", "lost too"), drafts("lost", kept("task", "amber"))])
    [made] = await SelfConsistency().edit(assignment("task"), context(model))
    assert made["task"].text == kept("task", "amber")
    assert "loses {text}" in model.asked[1].messages[-1].text
    with pytest.raises(EditRejected, match="loses"):
        await SelfConsistency().edit(assignment("task"), context(Script([drafts("lost")] * 2)))


# differential_evolution


async def test_differential_evolution_needs_two_texts() -> None:
    model = Says("<new>x {text}</new>")
    alone = replace(assignment("task"), partners=())
    same = replace(alone, partners=(Partner(1, PROMPT, (), {}),))
    empty = replace(assignment("reasoning"), partners=(Partner(1, PROMPT, (), {}),))
    for asked in (alone, same, empty):
        assert not DifferentialEvolution().combines(asked.prompt, asked.section, asked.partners)
        with pytest.raises(InapplicableError):
            await DifferentialEvolution().edit(asked, context(model))
    assert model.asked == []


RUN = st.dictionaries(st.sampled_from([e.id for e in TASK.train]), st.sampled_from([0.0, 0.5, 1.0]))


@given(RUN, RUN)
@settings(max_examples=40, deadline=None)
def test_differential_evolution_shows_on_which_shared_examples_the_two_versions_differ(
    first: dict[str, float], second: dict[str, float]
) -> None:
    """None that only one of them was run on; and neither text is anybody else's."""
    model = Says("<new>x {text}</new>")
    outcomes = tuple(replace(WRONG, example=name, score=score) for name, score in second.items())
    partner = Partner(1, PROMPT.edit("task", "Decide: {text}", TASK.fields), (), {}, trained=first)
    anyio.run(
        DifferentialEvolution().edit, replace(assignment("task", outcomes), partners=(partner,)), context(model)
    )
    said = model.asked[0].messages[-1].text
    assert f"<first>\nDecide: {{text}}\n</first>\n\n<second>\n{PROMPT['task'].text}\n</second>" in said
    both = first.keys() & second.keys()
    groups = {
        "only_first_right": {name for name in both if first[name] > second[name]},
        "only_second_right": {name for name in both if second[name] > first[name]},
        "both_wrong": {name for name in both if first[name] == second[name] < 1},
    }
    for tag, names in groups.items():
        if names:
            assert f'<{tag} examples="{len(names)} of {len(both)}">' in said
            block = said.partition(f"<{tag} ")[2].partition(f"</{tag}>")[0]
            shown = {e.id for e in TASK.train if f"- {e.inputs['text']} → {e.target}\n" in block}
            assert shown <= names
            assert len(shown) == min(MOST, len(names))
        else:
            assert f"<{tag}" not in said


# rag

PASSAGES = [
    "amber is a resin",
    "birch is a tree, says {text}",
    "birch bark is white",
    "付款 是 钱",
    "with {examples:4} birch",
]


def with_corpus(seed: int, corpus: list[str] = PASSAGES) -> Context:
    return replace(context(Says(), seed=seed), slots=open_slots(TASK, corpus))


@given(SEEDS)
@settings(deadline=None)
def test_rag_fixes_passages_or_leaves_a_place_for_them(seed: int) -> None:
    edited = anyio.run(Rag().edit, assignment("knowledge"), with_corpus(seed))
    text = edited["knowledge"].text
    if places(text):
        assert text in {"{passages:1}", "{passages:2}", "{passages:4}"}
    else:
        shown = text.split("\n\n")
        assert set(shown) <= {p for p in PASSAGES if "{" not in p}
        assert shown[-1] == "birch bark is white", "the nearest to what failed, last"


async def test_rag_needs_a_corpus_and_failures() -> None:
    with pytest.raises(InapplicableError, match=r"task\.corpus"):
        await Rag().edit(assignment("knowledge"), with_corpus(0, []))
    fixed = next(seed for seed in range(99) if Random(seed).random() >= 0.5)
    with pytest.raises(InapplicableError, match="nothing failed"):
        await Rag().edit(assignment("knowledge", ()), with_corpus(fixed))


def test_a_child_that_takes_a_section_of_a_better_member_races_that_one() -> None:
    base = assignment("reasoning")
    better = Prompt(tuple(replace(s, text=f"{s.text} better") if not s.frozen else s for s in PROMPT))
    asked = replace(
        base,
        scores=(0.0, 1.0),
        partners=(Partner(1, better, (1.0, 1.0), {}), Partner(2, PROMPT, (1.0, 1.0), {})),
    )
    child = asked.prompt.edit("reasoning", better["reasoning"].text, TASK.fields)
    own = asked.prompt.edit("reasoning", "something new", TASK.fields)
    assert best_parent(child, asked) == asked.partners[0]
    parent = best_parent(own, asked)
    assert (parent.candidate, parent.prompt, parent.scores) == (asked.parent, asked.prompt, (0.0, 1.0))


# Forms


def test_merge_takes_a_form_as_it_takes_a_text() -> None:
    mine = PROMPT.edit("definitions", PROMPT["definitions"].text, (), "input")
    theirs = PROMPT.edit("examples", "{examples:2}", (), "turns")
    child = merged(mine, (1.0, 0.0), [Partner(1, theirs, (0.0, 1.0), {}, PROMPT)])
    assert child == mine.edit("examples", "{examples:2}", (), "turns")


@given(st.lists(sections, min_size=2, max_size=6, unique_by=lambda section: section.name), SEEDS)
def test_an_order_is_one_that_is_sent_otherwise(drawn: list[Section], seed: int) -> None:
    prompt = Prompt(tuple(drawn))
    asked = replace(assignment(WHOLE), prompt=prompt)
    if WHOLE in DefineSort().targets(prompt, TASK):
        child = anyio.run(DefineSort().edit, asked, context(Says(), seed=seed))
        assert sorted(child, key=lambda s: s.name) == sorted(prompt, key=lambda s: s.name)
        before, after = (
            [[s.name for s in p if s.text and sent_in(s, TASK.fields) == where] for where in HEADINGS]
            for p in (prompt, child)
        )
        assert before != after
