"""What every request to a critic's or a writer's model tells of the task, of the prompt and of how it did.

The order of the blocks is that in which they are read: what is wanted, what is sent, what went wrong, what went well,
why, and what was tried. Each is left out where there is nothing to tell.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from statistics import median
from typing import TypeVar

from agents.prompting.asking import reply_limit
from agents.prompting.blocks import EXAMPLE, REMARK, Block, Piece, cut, examples, within
from agents.prompting.groups import Embed, Group, grouped
from agents.prompting.records import answered_with, once, record_of, shortened
from agents.prompting.wording import count_words
from protocols.answers.numbers import is_number
from protocols.messages import Assignment, Outcome, Scores, Tried, mean
from protocols.prompt import Kind, Prompt, estimate_tokens
from protocols.task import Example, Task

Item = TypeVar("Item")
GROUPS, MEMBERS, ALL, FURTHER = 5, 3, 9, 12
"""Groups of errors that are shown, and examples of each; of few groups more, that many in all. Of further groups one
example has a line."""
LINES = 24
"""Right examples that are shown, a line each."""
REASONED = 2
"""Whole replies that were right, where replies say more than their answer."""
MEASURED = 200
"""Training examples whose answers are measured."""
SOME = 2000
"""Training examples that are looked at to find those of every answer, evenly over the file: more would take long."""
LINE, RECORD = 60, 200
"""Tokens of each input of an example on one line, and of the inputs and of the reply of a whole one, at most."""
OFTEN, SHARE = 3, 0.2
"""Times that a wrong answer is given, and share of the failures, from which on it may be given too often."""
OPENING = 40
"""Characters with which all inputs begin, from which on they are said once."""
DATA = 2500
"""Tokens of the training examples that are shown as data."""
ANSWERS = 60
"""Answers that are listed with their numbers, the most frequent first."""
TRIED = 4
"""Edits that were tried and are shown: as many of the best as of the worst."""
TELLING = 8
"""Examples on which an edit that was dropped must have been measured to be shown."""
TEXT = 150
"""Tokens of a text that was tried."""
USES: dict[Kind, str] = {
    "task": "what comes in and what is wanted",
    "definitions": "what each answer means, and what decides between two of them",
    "reasoning": "how to think before answering",
    "examples": "worked examples",
    "knowledge": "facts that answers rest on",
    "format": "what the reply must look like",
    "reminders": "what is most often forgotten; the last thing that is read before the input",
}
"""What a section of each kind is for."""


def task_block(
    task: Task,
    prompt: Prompt,
    scores: Scores = (),
    best: float | None = None,
    room: float = math.inf,
) -> Block:
    """The task in the user's words; its kind, inputs, answers and metric; who answers, and in how many tokens; where
    the search stands. `scores`: of the prompt at hand; `best`: the highest mean so far, None where that is not known;
    `room`: tokens that may be added, infinite if nothing bounds them."""
    lines = [
        task.description,
        f"A task of the kind {task.kind.name}. Input: {', '.join(task.fields)}.",
        _answered(task),
        f"The model that answers{' is ' * bool(task.model)}{task.model}; "
        f"its reply may have {reply_limit(task.kind, prompt)} tokens.",
        task.kind.reads and f"Read from a reply: {task.kind.reads}.",
        task.scored and f"Score: {task.scored}.",
        _standing(scores, best),
        "" if room == math.inf else f"The prompt may grow by {max(0, round(room)):,} tokens.",
    ]
    return Block("task", [Piece("\n".join(line for line in lines if line))])


def _answered(task: Task) -> str:
    """The answers that there are, where they are a closed set; of others how many there are, and how long."""
    count = len(task.train)
    if task.answers:
        called = "Types" if task.kind.name == "ner" else "Answers"
        listed = ", ".join(f"{answer} ({times})" for answer, times in islice(task.answers.items(), ANSWERS))
        more = f" and {len(task.answers) - ANSWERS} more" if len(task.answers) > ANSWERS else ""
        return f"{called}, with their numbers among {count} training examples: {listed}{more}."
    empty = sum(example.target == [] for example in task.train)
    said = [task.kind.show(example.target) for example in task.train[:MEASURED] if example.target != []]
    words = f"{median(map(count_words, said)):.0f} word" if said else ""
    usual = f"Expected answers have {words}{'s' * (words != '1 word')}, as a rule" if said else ""
    if said and all(map(is_number, said)) and words == "1 word":
        usual = "Expected answers are numbers"
    none = f"in {empty} of {count} training examples there is none" if empty else ""
    return "; ".join(filter(None, (usual, none))) + "." if usual or none else ""


def _standing(scores: Scores, best: float | None) -> str:
    """Where the search stands, as far as it is known."""
    answered = sum(score is not None for score in scores)
    if not answered:
        return ""
    now = mean(scores)
    if best is None:
        return f"This prompt scores {now:.2f} on {answered} examples that you do not see."
    ahead = f"; the best prompt so far scores {best:.2f}" if best > now else ", which is the best so far"
    return f"This prompt scores {now:.2f} on {answered} examples that you do not see{ahead}."


def error_blocks(outcomes: Sequence[Outcome], embed: Embed) -> list[Block]:
    """Groups of errors, the largest first, each with some of its examples, whole replies included, and with one that
    came out right though it looks alike; before them what went wrong in all, and after them one of each further group
    on a line."""
    groups = grouped(outcomes, embed)
    if not groups:
        return []
    members = max(MEMBERS, ALL // len(groups))
    shown = [_group(number, group, members) for number, group in enumerate(groups[:GROUPS], start=1)]
    lines = [_failed(group.members[0]) for group in groups[GROUPS : GROUPS + FURTHER]]
    return [
        _summary(outcomes),
        *shown,
        Block("more_errors", [Piece(line, EXAMPLE, "\n") for line in lines]),
    ]


def _summary(outcomes: Sequence[Outcome]) -> Block:
    """How many went wrong, in what, what was answered too often, and whether that made all that came out right."""
    failed = [outcome for outcome in outcomes if outcome.score < 1.0]
    mistakes = Counter[str]()
    for outcome in failed:
        mistakes.update({name: int(times) for name, times in outcome.mistakes.items()})
    given = Counter(outcome.answer for outcome in failed if outcome.answer)
    least = max(OFTEN, SHARE * len(failed))
    often = [f"{answer!r} ({times})" for answer, times in given.most_common(3) if times >= least]
    right = {outcome.target for outcome in outcomes if outcome.score >= 1.0}
    chance = often and right == {given.most_common(1)[0][0]}
    lines = [
        f"{len(failed)} of {len(outcomes)} examples went wrong.",
        mistakes and f"Mistakes: {', '.join(f'{name} ({n})' for name, n in mistakes.most_common(FURTHER))}.",
        often and f"Wrongly answered most often: {', '.join(often)}.",
        chance and f"All that came out right expect {min(right)!r}, too: they show no rule that works.",
    ]
    return Block("errors_in_all", [Piece("\n".join(line for line in lines if line), REMARK)])


def _group(number: int, group: Group, members: int) -> Block:
    records = [record_of(outcome, RECORD) for outcome in group.members[:members]]
    pieces = [Piece(record, EXAMPLE) for record in records]
    if group.right is not None:
        pieces.append(Piece(f"Right, and alike: {line_of(group.right)}", EXAMPLE))
    label = {"error": " ".join(group.mistake.replace('"', "'").split())} if group.mistake else {}
    return Block("errors", pieces, {"group": str(number), **label, "examples": str(len(group.members))})


def right_blocks(outcomes: Sequence[Outcome]) -> list[Block]:
    """What came out right: of every answer in turn one, a line each, and whole replies where these say more."""
    right = [outcome for outcome in outcomes if outcome.score >= 1.0]
    shown = in_turn(right, lambda outcome: outcome.target)[:LINES]
    opening, lines = _listed([(outcome.inputs, answered_with(outcome), outcome.target) for outcome in shown])
    long = [o for o in right if estimate_tokens(o.reply) > LINE + estimate_tokens(o.target)]
    whole = [record_of(outcome, RECORD) for outcome in long[:REASONED]]
    pieces = [*opening, *(Piece(line, EXAMPLE, "\n") for line in lines)]
    return [Block("right", pieces), examples("right_replies", whole)]


def data_block(task: Task, shown: Collection[str] = ()) -> Block:
    """Training examples of every answer, a line each, those of one answer together, as they are and without what a
    model made of them; `shown`: ids of those that the request has elsewhere, which come last. What has to be reasoned
    about is shown whole, and so fewer of them."""

    def answer(example: Example) -> str:
        return str(example.target == []) if task.kind.name == "reading" else task.kind.show(example.target)

    some = sorted(task.train[:: 1 + len(task.train) // SOME], key=lambda example: example.id in shown)
    drawn = in_turn(some, answer)[: 2 * LINES]
    answers = [task.kind.show(example.target) for example in drawn]
    rows = [(example.inputs, said, said) for example, said in zip(drawn, answers, strict=True)]
    opening, lines = _listed(rows, RECORD if task.kind.name == "reasoning" else LINE)
    kept = within(lines, DATA)
    order = {name: place for place, name in enumerate(dict.fromkeys(map(answer, drawn)))}
    together = sorted(range(len(kept)), key=lambda place: order[answer(drawn[place])])
    return Block("data", [*opening, *(Piece(lines[place], EXAMPLE, "\n") for place in together)])


def in_turn(items: Iterable[Item], answer: Callable[[Item], str]) -> list[Item]:
    """The first of every answer, then the second of each that has one, and so on."""
    by_answer: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_answer[answer(item)].append(item)
    turns = max(map(len, by_answer.values()), default=0)
    return [among[turn] for turn in range(turns) for among in by_answer.values() if turn < len(among)]


def tried_block(assignment: Assignment, now: str) -> Block:
    """Edits of this part that were measured in this search, none of the text that stands there now: what came of
    the best and of the worst of them. One that a race was over for after a few examples tells nothing."""
    told = [t for t in assignment.tried if t.text != now and (t.survived or t.n >= TELLING)]
    measured = sorted(told, key=lambda tried: -tried.gain)
    half = TRIED // 2
    shown = measured if len(measured) <= TRIED else [*measured[:half], *measured[-half:]]
    return Block("tried", [Piece(_tried(tried), REMARK) for tried in shown])


def _tried(tried: Tried) -> str:
    ending = "kept" if tried.survived else "dropped"
    measured = f"{tried.gain:+.3f} ± {tried.error:.3f} on {tried.n} examples, {ending}"
    return f"{tried.operator} ({measured}) wrote:\n{cut(tried.text, TEXT) or '(nothing)'}"


def line_of(outcome: Outcome) -> str:
    """An example that was run, and what was answered."""
    return _line(outcome.inputs, answered_with(outcome), outcome.target)


def _failed(outcome: Outcome) -> str:
    """A failure on one line."""
    answered = cut(once(answered_with(outcome)), LINE // 2)
    return f"{_line(outcome.inputs, f'{answered}, expected {outcome.target}', outcome.target)} ({outcome.example})"


def example_line(example: Example, task: Task) -> str:
    """An example, and its expected answer."""
    answer = task.kind.show(example.target)
    return _line(example.inputs, answer, answer)


def _listed(rows: Sequence[tuple[Mapping[str, str], str, str]], tokens: int = LINE) -> tuple[list[Piece], list[str]]:
    """A line of each row, which has inputs, an answer and the expected one, with so many tokens of each input; before
    the lines, what all inputs begin with where they are of one field."""
    texts = [" ".join(next(iter(inputs.values())).split()) for inputs, _, _ in rows if len(inputs) == 1]
    begun = _shared(texts) if len(texts) == len(rows) > 1 else ""
    opening = begun[: begun.rfind(" ") + 1]
    if len(opening) < OPENING:
        return [], [_line(*row, tokens) for row in rows]
    lines = [
        _line(dict.fromkeys(inputs, f"[…] {text[len(opening) :]}"), answer, expected, tokens)
        for (inputs, answer, expected), text in zip(rows, texts, strict=True)
    ]
    return [Piece(f"All inputs begin: {opening.strip()}", REMARK, "\n")], lines


def _shared(texts: Sequence[str]) -> str:
    """The beginning that all have in common."""
    first, last = min(texts), max(texts)
    most = min(len(first), len(last))
    return first[: next((n for n in range(most) if first[n] != last[n]), most)]


def _line(inputs: Mapping[str, str], answer: str, expected: str, tokens: int = LINE) -> str:
    plain = {name: " ".join(value.split()) for name, value in inputs.items()}
    kept = shortened(plain, tokens * len(plain), expected)
    texts = [*kept.values()] if len(kept) == 1 else [f"{name}: {value}" for name, value in kept.items()]
    return f"- {' | '.join(texts)} → {cut(' '.join(answer.split()), LINE)}"
