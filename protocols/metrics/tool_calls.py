"""Scores calls of tools: their names and their arguments.

A call has as many parts as it has arguments, and one more, its name. The likeness of two calls of the same tool is
the share of the parts of both together that are equal in both: (1 + equal arguments) / (1 + arguments in either); of
different tools it is 0. Each call is matched with at most one expected one, and the score is the F1 of the matches:
2 × likeness of all matches / (calls + expected calls); 1 if there are none and none are expected.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from protocols.answers.calls import as_call, read_calls
from protocols.answers.numbers import equal_numbers, is_number
from protocols.data.checks import Splits
from protocols.errors import DataError
from protocols.metrics.parsed import ParsedMetric
from protocols.task import GENEROUS, Counts, Example, Json, Judgement, TaskKind
from protocols.text import fold

SHOWN: Final = '[{"name": "…", "arguments": {"…": "…"}}]'
QUOTES: Final = " \"'`“”‘’„«»"
CODE: Final = re.compile(r"0\d")
"""The beginning of a number that is a code: 0049 is not 49."""
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that can be compared. `arguments` None: they are no object. One that is null is not given."""

    name: str
    arguments: Mapping[str, Json] | None

    @staticmethod
    def of(value: Json) -> Call | None:
        """The call that a value is; None if it is none."""
        call = as_call(value)
        if not isinstance(call, Mapping):
            return None
        given = call["arguments"]
        known = {key: one for key, one in given.items() if one is not None} if isinstance(given, Mapping) else None
        return Call(str(call["name"]).strip(), known)

    def like(self, other: Call) -> float:
        """The likeness in [0, 1]."""
        if self.name != other.name:
            return 0.0
        if self.arguments is None or other.arguments is None:
            return 1 / (1 + max(1, len(self.arguments or other.arguments or ())))
        equal = sum(alike(value, other.arguments.get(key)) for key, value in self.arguments.items())
        return (1 + equal) / (1 + len(self.arguments.keys() | other.arguments.keys()))


def calls_of(target: Json) -> list[Call] | None:
    """The calls of a target: one, a list of them, or null for none; None if it is something else."""
    listed = target if isinstance(target, list | tuple) else [] if target is None else [target]
    calls = [Call.of(one) for one in listed]
    known = [call for call in calls if call is not None]
    return known if len(known) == len(calls) else None


def alike(one: Json, other: Json) -> bool:
    """Whether two values mean the same: numbers by value, also in texts, but for those that begin with a 0 like a
    code; texts but for case, width, white space, quotes around them and a full stop; true and false also as words;
    lists item by item; objects by their keys."""
    match one, other:
        case bool() | str(), bool() | str():
            return _plain(str(one)) == _plain(str(other)) or _equal_numbers(one, other)
        case bool(), _:
            return False
        case _, bool():
            return False
        case int() | float() | str(), int() | float() | str():
            return one == other or _equal_numbers(one, other)
        case list() | tuple(), list() | tuple():
            return len(one) == len(other) and all(map(alike, one, other))
        case Mapping(), Mapping():
            return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    return one is None and other is None


def _plain(text: str) -> str:
    folded = fold(text).strip()
    return folded.strip(QUOTES).removesuffix(".").strip(QUOTES) or folded


def _equal_numbers(one: Json, other: Json) -> bool:
    texts = [str(one).strip(), str(other).strip()]
    return all(is_number(text) and not CODE.match(text) for text in texts) and equal_numbers(*texts)


def show_calls(target: Json) -> str:
    """One line of JSON: the list of the calls, [] for none."""
    calls = calls_of(target)
    if calls is None:
        return json.dumps(target, ensure_ascii=False)
    return json.dumps([{"name": call.name, "arguments": call.arguments} for call in calls], ensure_ascii=False)


def calling(kind: TaskKind, splits: Splits, offered: Sequence[str]) -> TaskKind:
    """The kind for replies that call tools. `offered`: the names of the tools that the requests offer; without any,
    the prompt asks for calls as JSON.

    :raises DataError: a target is no call, or one of a tool that is not offered.
    """
    for name, examples in splits.items():
        for example in examples:
            calls = calls_of(example.target)
            if calls is None:
                wanted = '{"name": …, "arguments": {…}}, a list of such calls, or [] for no call'
                raise DataError(f"the {name} split has a target that is not {wanted}: id {example.id}")
            if strange := sorted({call.name for call in calls} - set(offered)) if offered else []:
                known = ", ".join(offered)
                raise DataError(f"the target of {example.id} ({name}) calls {strange[0]}; tools has {known}")
    form = "" if offered else f"Reply with the calls as one line of JSON, {SHOWN}, and nothing else; [] for no call."
    return replace(
        kind,
        instruction="Do what is asked, with the tools that it takes.",
        format=form,
        cue="" if offered else "Calls:",
        show=show_calls,
        parse=read_calls,
        parse_cut=partial(read_calls, finish="length"),
        limit=max(kind.limit, GENEROUS),
        reads="the calls of tools, with their names and arguments; a text without one is no call",
    )


class ToolCalls(ParsedMetric):
    """See the module. `ordered`: matched calls must be in the expected order."""

    ordered = False

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge the calls of one reply."""
        said, wanted = calls_of(answer) or [], calls_of(example.target) or []
        pairs = in_order(said, wanted) if self.ordered else in_any_order(said, wanted)
        likeness = sum(said[a].like(wanted[b]) for a, b in pairs)
        score = 2 * likeness / (len(said) + len(wanted)) if said or wanted else 1.0
        mistakes = [*_mistakes(said, wanted, pairs)]
        counted = Counter(kind for kind, _ in mistakes)
        return Judgement(score, self._kind.show(answer), "; ".join(words for _, words in mistakes), {}, dict(counted))

    def missed(self, target: Json) -> Counts:
        """Nothing is counted: the corpus metric is the mean score."""
        return {}


class OrderedToolCalls(ToolCalls):
    """The same for calls whose order counts."""

    ordered = True


def in_any_order(said: Sequence[Call], wanted: Sequence[Call]) -> list[Pair]:
    """Pairs of calls, the most alike first; of equals the earlier ones."""
    likeness = {(a, b): one.like(other) for a, one in enumerate(said) for b, other in enumerate(wanted)}
    pairs: list[Pair] = []
    for a, b in sorted(likeness, key=lambda pair: -likeness[pair]):
        if likeness[a, b] and all(a != x and b != y for x, y in pairs):
            pairs.append((a, b))
    return sorted(pairs)


def in_order(said: Sequence[Call], wanted: Sequence[Call]) -> list[Pair]:
    """The pairs of calls in the same order in both with the highest likeness in all."""
    best: list[list[tuple[float, list[Pair]]]] = [[(0.0, [])] * (len(wanted) + 1) for _ in range(len(said) + 1)]
    for a, one in enumerate(said):
        for b, other in enumerate(wanted):
            like = one.like(other)
            worth, pairs = best[a][b]
            taken = (worth + like, [*pairs, (a, b)]) if like else (worth, pairs)
            best[a + 1][b + 1] = max(best[a][b + 1], best[a + 1][b], taken, key=lambda found: found[0])
    return best[-1][-1][1]


def _mistakes(said: Sequence[Call], wanted: Sequence[Call], pairs: Sequence[Pair]) -> Iterator[tuple[str, str]]:
    """Each mistake as its kind and in words."""
    for a, b in pairs:
        yield from _in_arguments(said[a], wanted[b])
    unneeded = [call for a, call in enumerate(said) if all(a != x for x, _ in pairs)]
    missing = [call for b, call in enumerate(wanted) if all(b != y for _, y in pairs)]
    for call, instead in zip(unneeded, missing, strict=False):
        if call.name == instead.name:
            yield f"{call.name} at the wrong place", f"{call.name} was called at the wrong place in the order"
        else:
            yield f"{call.name} called for {instead.name}", f"called {call.name}, expected {instead.name}"
    for call in unneeded[len(missing) :]:
        yield f"unneeded call of {call.name}", f"called {call.name}, which was not needed"
    for call in missing[len(unneeded) :]:
        yield f"no call of {call.name}", f"did not call {call.name}"


def _in_arguments(said: Call, wanted: Call) -> Iterator[tuple[str, str]]:
    name = said.name
    if said.arguments is None:
        yield f"{name}: unreadable arguments", f"the arguments of {name} are no JSON object"
        return
    expected = wanted.arguments or {}
    for key, value in expected.items():
        if key not in said.arguments:
            yield f"{name}: {key} missing", f"{name} was called without {key}, expected {_shown(value)}"
        elif not alike(said.arguments[key], value):
            words = f"{name} was called with {key} {_shown(said.arguments[key])}, expected {_shown(value)}"
            yield f"{name}: wrong {key}", words
    for key, value in said.arguments.items():
        if key not in expected:
            yield f"{name}: unneeded {key}", f"{name} was called with {key} {_shown(value)}, which was not needed"


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
