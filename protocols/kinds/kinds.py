"""The kinds of task, each with its first prompt and with how its answers are written and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from protocols.answers import parsers
from protocols.answers.labels import FinalLabelParser
from protocols.answers.numbers import is_number
from protocols.data.checks import Splits
from protocols.errors import DataError
from protocols.kinds.labelled import classification, multilabel, ordinal, show_labels
from protocols.metrics.entities import EntityParser, show_entities
from protocols.metrics.parsed import golds
from protocols.metrics.reply_limits import THOUGHT, limit_of
from protocols.naming import Names, closed
from protocols.task import GENEROUS, Example, Json, KindName, TaskKind, show_text
from protocols.text import UNSPACED, normalise

OPTION = re.compile(r"\(?[A-Z]\)?")
MOST = 10
"""Most distinct answers of a reasoning task that count as a closed set, such as Yes and No."""
TIMES = 2
"""An answer may be this many times as long as the longest of the train split; some models break JSON into lines."""
LEAST_ENTITIES, LEAST_SPAN, LEAST_TEXT = 128, 128, 256
"""Lower bounds of a reply's token limit; many models write a sentence where a few words are asked for."""
MARK = {"Answer:": ("Answer:", "answer is", "answer**:", "####", r"\boxed", "答案")}
"""The ways in which a prompt may name the mark before the final answer."""


def ner(splits: Splits, labels: Sequence[str] = ()) -> TaskKind:
    """A target is {type: [entity, ...]}, with the types `labels`, or those of the train split; a reply is the same in
    JSON."""
    _check(splits, _lists_entities, 'an object of lists of texts, such as {"person": ["Ada"]}')
    types = tuple(labels) or tuple(_types(splits["train"]))
    for name, examples in splits.items():
        if strange := sorted(set(_types(examples)) - set(types)):
            where = "task.labels" if labels else "the train split"
            raise DataError(f"the {name} split has types that {where} lacks: {', '.join(strange)}")
    shape = ", ".join(f'"{kind}": ["..."]' for kind in types[:2])
    every: dict[str, Json] = {kind: [] for kind in types}  # some models also list types that do not occur
    found = [example.target for example in splits["train"] if isinstance(example.target, Mapping)]
    read = EntityParser(types)
    return TaskKind(
        "ner",
        instruction="Find the named entities in the text.",
        format=(
            f"Types: {', '.join(types)}\n"
            "Reply with one line of JSON: each type that occurs, with the list of its entities, written as in the "
            f"text, such as {{{shape}}}. Reply {{}} if there is none."
        ),
        cue="Entities:",
        show=show_entities,
        parse=read,
        parse_cut=partial(read, finish="length"),
        metric="entity_f1",
        names=closed(types, optional=("JSON", "{}")),
        labels=types,
        limit=limit_of([show_text({**every, **target}) for target in found], LEAST_ENTITIES, TIMES),
        thought=THOUGHT,
        reads="one object of JSON, each type with the list of its entities, written as in the text; {} for none",
    )


def reading(splits: Splits) -> TaskKind:
    """The answer is a span of a text: a target is a text, a list of accepted texts, or [] if there is no answer."""
    _check(splits, lambda target: isinstance(target, str) or _is_texts(target), "a text or a list of texts")
    train = splits["train"]
    unanswerable = any(example.target == [] for example in train)
    unspaced = sum(bool(re.search(f"[{UNSPACED}]", show_text(example.target))) for example in train)
    refuse = f"\nIf the text does not answer it, reply: {parsers.NO_ANSWER}" if unanswerable else ""
    return TaskKind(
        "reading",
        instruction="Answer the question from the text.",
        format=f"Reply with the shortest part of the text that answers the question, word for word.{refuse}",
        show=lambda target: show_text(target) if target else parsers.NO_ANSWER,
        parse=parsers.span,
        parse_cut=partial(parsers.span, finish="length"),
        metric="token_f1" if 2 * unspaced > len(train) else "squad_f1",
        names=Names({parsers.NO_ANSWER: tuple(parsers.NO_ANSWERS)} if unanswerable else {}),
        limit=limit_of(_golds(train), LEAST_SPAN, TIMES),
        thought=THOUGHT,
        reads="what follows the last cue such as Answer:, or else the last line"
        + (f"; {parsers.NO_ANSWER!r} says that there is none" if refuse else ""),
    )


def generation(splits: Splits) -> TaskKind:
    """A free text: a target is any JSON. If all targets are objects, a reply must be one with their common keys."""
    train = splits.get("train", ())
    free = TaskKind(
        "generation",
        parse=parsers.whole,
        parse_cut=partial(parsers.whole, finish="length"),
        limit=limit_of(_golds(train), LEAST_TEXT, TIMES),
        thought=THOUGHT,
        reads="all of the reply",
    )
    targets = [example.target for example in train]
    objects = [target for target in targets if isinstance(target, Mapping)]
    if not objects or len(objects) < len(targets):
        return free
    keys = [key for key in objects[0] if all(key in target for target in objects)]
    shape = f" with the keys {', '.join(keys)}" if keys else ""
    form = f"Reply with one object of JSON{shape}, and nothing else."
    return replace(free, format=form, names=closed(keys, optional=("JSON",)))


def reasoning(splits: Splits) -> TaskKind:
    """A final answer at the end of a reply that may reason first: a target is an answer, or a list of accepted ones.

    If all answers are numbers, options such as (A), or a few recurring texts, replies are read and compared as such.
    """
    _check(splits, _is_answer, "a text, a number, or a list of them")
    answers = [gold for examples in splits.values() for example in examples for gold in golds(example.target)]
    parse, metric, few = _final_answers(answers)
    form = "End with a line of the form\nAnswer: <the final answer>"
    return TaskKind(
        "reasoning",
        instruction="Solve the problem.",
        format=f"{form}\nThe final answer is one of these.\n{show_labels(few, 'Answers')}" if few else form,
        cue="",
        show=_first_answer,
        parse=parse,
        parse_cut=partial(parse, finish="length"),
        metric=metric,
        names=Names({**{answer: (answer,) for answer in few}, **MARK}, optional=MARK, loose=True),
        reply=lambda target: f"Answer: {_first_answer(target)}",
        limit=limit_of(_golds(splits["train"]), GENEROUS, TIMES),
        reads="what follows the last cue such as Answer:, or else the last line; a reply may reason before it",
    )


TASK_KINDS: Mapping[KindName, Callable[[Splits], TaskKind]] = {
    "classification": classification,
    "multilabel": multilabel,
    "ordinal": ordinal,
    "ner": ner,
    "reading": reading,
    "generation": generation,
    "reasoning": reasoning,
}
"""Functions from a task's splits to its kind; they raise DataError for targets that do not fit."""
LABELLED: Mapping[KindName, Callable[[Splits, Sequence[str]], TaskKind]] = {
    "classification": classification,
    "multilabel": multilabel,
    "ordinal": ordinal,
    "ner": ner,
}
"""The kinds whose labels or types may be given; they then refuse targets that are none of these."""


def _final_answers(answers: list[str]) -> tuple[Callable[..., Json], str, tuple[str, ...]]:
    """The parser, the metric's name, and the distinct answers if they are few and recur, else ()."""
    distinct = sorted(set(answers))
    if all(is_number(answer) for answer in distinct):
        return parsers.number, "numeric", ()
    if all(OPTION.fullmatch(answer) for answer in distinct):
        return parsers.option, "exact", ()
    told_apart = len({normalise(answer) for answer in distinct} - {""}) == len(distinct)
    if told_apart and len(distinct) <= MOST and 4 * len(distinct) <= len(answers):
        return FinalLabelParser(tuple(distinct)), "accuracy", tuple(distinct)
    return parsers.final_answer, "exact", ()


def _first_answer(target: Json) -> str:
    return next(iter(golds(target)), "")


def _types(examples: tuple[Example, ...]) -> list[str]:
    targets = (example.target for example in examples)
    return sorted({kind for target in targets if isinstance(target, Mapping) for kind in target})


def _lists_entities(target: Json) -> bool:
    if not isinstance(target, Mapping):
        return False
    return all(_is_texts(texts) and all(text.strip() for text in golds(texts)) for texts in target.values())


def _is_texts(target: Json) -> bool:
    return isinstance(target, list | tuple) and all(isinstance(text, str) for text in target)


def _golds(examples: Iterable[Example]) -> Iterator[str]:
    return (gold for example in examples for gold in golds(example.target))


def _is_answer(target: Json) -> bool:
    answers = target if isinstance(target, list | tuple) else [target]
    single = all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in answers)
    return single and any(gold.strip() for gold in golds(target))


def _check(splits: Splits, fits: Callable[[Json], bool], wanted: str) -> None:
    for name, examples in splits.items():
        if odd := [example.id for example in examples if not fits(example.target)]:
            ids = ", ".join(odd[:5]) + (", ..." if len(odd) > 5 else "")
            raise DataError(f"the {name} split has targets that are not {wanted}: ids {ids}")
