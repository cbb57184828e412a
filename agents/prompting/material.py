"""The blocks on the task, the prompt and its results in requests to the models of critics and proposers.

Their order is that in which they are read: the task, the prompt, errors, right answers, reasons, and earlier tries.
Empty blocks are left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import TypeVar

from agents.programs.calls import Calls
from agents.prompting.asking import reply_limit
from agents.prompting.blocks import EXAMPLE, REMARK, Block, Piece, cut, examples, within
from agents.prompting.groups import Embed, Group, grouped
from agents.prompting.inside import in_short, inside, is_long, told_program
from agents.prompting.records import answered_with, once, record_of, shortened
from agents.prompting.wording import count_words
from protocols.answers.numbers import is_number
from protocols.messages import Assignment, Outcome, Scores, Tried, mean
from protocols.metrics.weighted import OverModels
from protocols.prompt import Kind, Prompt, estimate_tokens
from protocols.task import Example, KindName, Task

Item = TypeVar("Item")
Row = tuple[Mapping[str, str], str, str, str]
"""The inputs of an example, the answer, the expected answer, and what comes between: "" or short inner replies."""
GROUPS, MEMBERS, ALL, FURTHER = 5, 3, 9, 12
"""Most groups of errors shown with examples; examples of each group; examples in all if there are fewer groups; and
further groups with an example on one line."""
LINES = 24
"""Most right examples shown, a line each."""
REASONED = 2
"""Most full correct replies shown, if replies say more than their answer."""
MEASURED = 200
"""Training examples whose answers are measured."""
SOME = 2000
"""Training examples searched for examples of each answer, evenly over the file: more would take long."""
LINE, RECORD = 60, 200
"""Most tokens of each input of an example on one line, and of the inputs and of the reply of a full record."""
OFTEN, SHARE = 3, 0.2
"""A wrong answer is reported as too frequent if it is given this often and makes up this share of the failures."""
OPENING = 40
"""A beginning that all inputs share is shown once if it has at least this many characters."""
DATA = 2500
"""Most tokens of training examples shown as data."""
CALLED: Mapping[KindName, str] = {"ner": "Types", "multilabel": "Labels", "ordinal": "Ratings"}
"""What the members of a closed set of answers are called, if not answers."""
ANSWERS = 60
"""Most answers listed with their frequencies, the most frequent first."""
TRIED = 4
"""Most earlier edits shown: half of them the best, half the worst."""
TELLING = 8
"""A dropped edit is shown only if it was measured on at least this many examples."""
CHANCE = 2.0
"""A difference of fewer standard errors than this may be chance."""
TEXT = 250
"""Most tokens shown of an earlier edit's text."""
USES: dict[Kind, str] = {
    "task": "what comes in and what is wanted",
    "definitions": "what each answer means, and what decides between two of them",
    "reasoning": "how to think before answering",
    "examples": "worked examples",
    "knowledge": "facts that answers rest on",
    "format": "what the reply must look like",
    "reminders": "what is most often forgotten; the last thing that is read before the input",
    "tool": (
        "what a tool does and when to call it, or what a reply is; then a line `name: what it is` for each parameter "
        "or field, whose names cannot change"
    ),
}
"""The purpose of a section of each kind."""


def task_block(
    task: Task,
    prompt: Prompt,
    scores: Scores = (),
    best: float | None = None,
    room: float = math.inf,
    calls: Calls | None = None,
) -> Block:
    """The task in the user's words; its kind, inputs, answers and metric; who answers, and in how many tokens; where
    the search stands. `scores`: of the prompt at hand; `best`: the highest mean so far, None where that is not known;
    `room`: tokens that may be added, infinite if nothing bounds them; `calls`: of a program with several prompts."""
    lines = [
        task.description,
        f"A task of the kind {task.kind.name}. Input: {', '.join(task.fields)}.",
        _answered(task),
        _answering(task, prompt) if calls is None else told_program(task, prompt, calls),
        task.kind.reads and f"Read from {'a reply' if calls is None else 'its answer'}: {task.kind.reads}.",
        task.scored and f"Score: {task.scored}.",
        _standing(scores, best),
        "" if room == math.inf else f"The prompt may grow by {max(0, round(room)):,} tokens.",
    ]
    return Block("task", [Piece("\n".join(line for line in lines if line))])


def _answered(task: Task) -> str:
    """A sentence on the answers: their list if they are a closed set, else their typical length and how many examples
    have none."""
    count = len(task.train)
    if not task.has_targets:
        return "There are no expected answers: the score says how good an answer is."
    if task.answers:
        called = CALLED.get(task.kind.name, "Answers")
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


def _answering(task: Task, prompt: Prompt) -> str:
    room = f"reply may have {reply_limit(task.kind, prompt)} tokens."
    if isinstance(task.metric, OverModels):
        models = " and ".join(task.metric.models)
        return f"All of {models} answer each example, with the same prompt; each {room}"
    return f"The model that answers{' is ' * bool(task.model)}{task.model}; its {room}"


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


def error_blocks(
    outcomes: Sequence[Outcome], embed: Embed, calls: Calls | None = None, doubtful: Collection[str] = ()
) -> list[Block]:
    """A summary of the errors; the largest groups of errors with examples, full replies, and a similar example with a
    right answer; then one example of each further group on a line. `calls`: of a program with several prompts; then
    the examples show them. `doubtful`: ids of examples whose expected answers the Critic doubts; they come last, and
    are marked."""
    groups = [_believed_first(group, doubtful) for group in grouped(outcomes, embed)]
    groups.sort(key=lambda group: group.members[0].example in doubtful)
    if not groups:
        return []
    members = max(MEMBERS, ALL // len(groups))
    shown = [_group(number, group, members, calls, doubtful) for number, group in enumerate(groups[:GROUPS], start=1)]
    lines = [_failed(group.members[0]) for group in groups[GROUPS : GROUPS + FURTHER]]
    return [
        _summary(outcomes, calls),
        *shown,
        Block("more_errors", [Piece(line, EXAMPLE, "\n") for line in lines]),
    ]


def _believed_first(group: Group, doubtful: Collection[str]) -> Group:
    return replace(group, members=tuple(sorted(group.members, key=lambda outcome: outcome.example in doubtful)))


def _summary(outcomes: Sequence[Outcome], calls: Calls | None) -> Block:
    """The number of errors, also of each of several models, the mistakes, answers given too often, whether the most
    frequent of them explains all right answers, and the calls that failed."""
    failed = [outcome for outcome in outcomes if outcome.score < 1.0]
    mistakes = Counter[str]()
    for outcome in failed:
        mistakes.update({name: int(times) for name, times in outcome.mistakes.items()})
    given = Counter(outcome.answer for outcome in failed if outcome.answer)
    least = max(OFTEN, SHARE * len(failed))
    often = [f"{answer!r} ({times})" for answer, times in given.most_common(3) if times >= least]
    right = {outcome.target for outcome in outcomes if outcome.score >= 1.0}
    chance = often and right == {given.most_common(1)[0][0]}
    failing = [f"{one.prompt} ({one.failed} of {one.times})" for one in calls.called if one.failed] if calls else []
    by_model = Counter(name for outcome in failed for name, of in outcome.models.items() if of.value < 1.0)
    lines = [
        f"{len(failed)} of {len(outcomes)} examples went wrong.",
        by_model and f"Wrong by model: {', '.join(f'{name} on {n}' for name, n in sorted(by_model.items()))}.",
        mistakes and f"Mistakes: {', '.join(f'{name} ({n})' for name, n in mistakes.most_common(FURTHER))}.",
        often and f"Wrongly answered most often: {', '.join(often)}.",
        chance and f"All that came out right expect {min(right)!r}, too: they show no rule that works.",
        failing and f"Calls that failed: {', '.join(failing)}.",
    ]
    return Block("errors_in_all", [Piece("\n".join(line for line in lines if line), REMARK)])


def _record(outcome: Outcome, calls: Calls | None, doubtful: Collection[str] = ()) -> str:
    return record_of(outcome, RECORD, inside(outcome, RECORD) if calls else (), outcome.example in doubtful)


def _group(number: int, group: Group, members: int, calls: Calls | None, doubtful: Collection[str]) -> Block:
    records = [_record(outcome, calls, doubtful) for outcome in group.members[:members]]
    pieces = [Piece(record, EXAMPLE) for record in records]
    if group.right is not None:
        pieces.append(Piece(f"Right, and alike: {line_of(group.right, calls)}", EXAMPLE))
    label = {"error": " ".join(group.mistake.replace('"', "'").split())} if group.mistake else {}
    return Block("errors", pieces, {"group": str(number), **label, "examples": str(len(group.members))})


def right_blocks(outcomes: Sequence[Outcome], calls: Calls | None = None) -> list[Block]:
    """Right examples: one of each answer in turn, a line each, and full replies if these say more than the answer.
    `calls`: of a program with several prompts; then a line has the short replies before the answer, too, and some
    examples show all calls if there are long ones."""
    right = [outcome for outcome in outcomes if outcome.score >= 1.0]
    shown = in_turn(right, lambda outcome: outcome.target)[:LINES]
    opening, lines = _listed([(o.inputs, answered_with(o), o.target, _short(o, calls)) for o in shown])
    long = [o for o in right if estimate_tokens(o.reply) > LINE + estimate_tokens(o.target) or (calls and is_long(o))]
    whole = [_record(outcome, calls) for outcome in long[:REASONED]]
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
    rows = [(example.inputs, said, said, "") for example, said in zip(drawn, answers, strict=True)]
    opening, lines = _listed(rows, RECORD if task.kind.name == "reasoning" else LINE)
    kept = within(lines, DATA)
    order = {name: place for place, name in enumerate(dict.fromkeys(map(answer, drawn)))}
    together = sorted(range(len(kept)), key=lambda place: order[answer(drawn[place])])
    return Block("data", [*opening, *(Piece(lines[place], EXAMPLE, "\n") for place in together)])


def in_turn(items: Iterable[Item], answer: Callable[[Item], str]) -> list[Item]:
    """The items in rounds: the first of every answer, then the second of each, and so on."""
    by_answer: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_answer[answer(item)].append(item)
    turns = max(map(len, by_answer.values()), default=0)
    return [among[turn] for turn in range(turns) for among in by_answer.values() if turn < len(among)]


def tried_block(assignment: Assignment, now: str) -> Block:
    """The best and the worst edits of this section in this search, with their results, without the current text.
    Edits that were dropped after a few examples tell nothing and are left out."""
    told = [t for t in assignment.tried if t.text != now and (t.survived or t.n >= TELLING)]
    measured = sorted(told, key=lambda tried: -tried.gain)
    half = TRIED // 2
    shown = measured if len(measured) <= TRIED else [*measured[:half], *measured[-half:]]
    return Block("tried", [Piece(_tried(tried), REMARK) for tried in shown])


def _tried(tried: Tried) -> str:
    ending = "won, and stands in another version of the prompt" if tried.survived else "lost"
    than = "" if tried.before is None else f" than a prompt that scored {tried.before:.2f}"
    change = f"{abs(tried.gain):.3f} ± {tried.error:.3f} {'better' if tried.gain > 0 else 'worse'}{than}"
    chance = ", which may be chance" if abs(tried.gain) < CHANCE * tried.error else ""
    measured = f"{change if tried.gain else f'no better and no worse{than}'} on {tried.n} examples{chance}, {ending}"
    return f"{tried.operator} ({measured}) wrote:\n{cut(tried.text, TEXT) or '(nothing)'}"


def line_of(outcome: Outcome, calls: Calls | None = None) -> str:
    """An example with its answer, on one line."""
    return _line(outcome.inputs, answered_with(outcome), outcome.target, _short(outcome, calls))


def _short(outcome: Outcome, calls: Calls | None) -> str:
    return in_short(outcome) if calls else ""


def _failed(outcome: Outcome) -> str:
    """A failure with its answer and the expected one, if there is one, on one line."""
    answered = cut(once(answered_with(outcome)), LINE // 2)
    answered += f", expected {outcome.target}" if outcome.target else ""
    return f"{_line(outcome.inputs, answered, outcome.target)} ({outcome.example})"


def example_line(example: Example, task: Task) -> str:
    """An example with its expected answer, on one line."""
    answer = task.kind.show(example.target)
    return _line(example.inputs, answer, answer)


def _listed(rows: Sequence[Row], tokens: int = LINE) -> tuple[list[Piece], list[str]]:
    """A line for each row, with at most `tokens` of each input. If there is one field only, a beginning that all
    inputs share comes first and is left out of the lines."""
    texts = [" ".join(next(iter(inputs.values())).split()) for inputs, *_ in rows if len(inputs) == 1]
    begun = _shared(texts) if len(texts) == len(rows) > 1 else ""
    opening = begun[: begun.rfind(" ") + 1]
    if len(opening) < OPENING:
        return [], [_line(*row, tokens) for row in rows]
    lines = [
        _line(dict.fromkeys(inputs, f"[…] {text[len(opening) :]}"), answer, expected, inner, tokens)
        for (inputs, answer, expected, inner), text in zip(rows, texts, strict=True)
    ]
    return [Piece(f"All inputs begin: {opening.strip()}", REMARK, "\n")], lines


def _shared(texts: Sequence[str]) -> str:
    """The longest common prefix."""
    first, last = min(texts), max(texts)
    most = min(len(first), len(last))
    return first[: next((n for n in range(most) if first[n] != last[n]), most)]


def _line(inputs: Mapping[str, str], answer: str, expected: str, inner: str = "", tokens: int = LINE) -> str:
    plain = {name: " ".join(value.split()) for name, value in inputs.items()}
    kept = shortened(plain, tokens * len(plain), expected)
    texts = [*kept.values()] if len(kept) == 1 else [f"{name}: {value}" for name, value in kept.items()]
    arrow = f" → {cut(' '.join(answer.split()), LINE)}" if answer else ""
    return f"- {' | '.join(texts + [inner] * bool(inner))}{arrow}"
