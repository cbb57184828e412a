"""Checks for faults that would make scores meaningless, in one file of examples and across splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from protocols.data.mapping import NO_ID
from protocols.data.rows import Place
from protocols.errors import DataError
from protocols.task import Example

Splits = Mapping[str, tuple[Example, ...]]
IGNORE = f'if ids mean nothing, ignore them: fields.id = "{NO_ID}" under [task]'


def check_file(examples: Sequence[Example], places: Sequence[Place]) -> None:
    """Refuse duplicate ids, and examples that differ in their fields.

    :raises DataError: at the first example at fault, with up to five of the ids at fault.
    """
    seen: dict[str, Place] = {}
    twice: dict[str, Place] = {}
    for one, place in zip(examples, places, strict=True):
        if one.id in seen:
            twice.setdefault(one.id, place)
        seen.setdefault(one.id, place)
    for identity, place in twice.items():
        first = f"{'line' if place.is_line else 'row'} {seen[identity].number}"
        raise place.error(f"duplicate ids: {_some(list(twice))}; {_cut(identity)} is that of {first}, too; {IGNORE}")
    odd = [n for n, one in enumerate(examples) if one.inputs.keys() != examples[0].inputs.keys()]
    if odd:
        fields, ids = ", ".join(sorted(examples[0].inputs)), _some([examples[n].id for n in odd])
        raise places[odd[0]].error(f"the first example has the fields {fields}; others do not: ids {ids}")


def told_apart(splits: Splits) -> Splits:
    """The splits with each split's name put before its ids, if all ids shared between splits are whole numbers: then
    each split numbers its examples anew. Other shared ids stay, and `split_problems` reports them."""
    ids = [{example.id for example in examples} for examples in splits.values()]
    shared = {one for n, mine in enumerate(ids) for others in ids[:n] for one in mine & others}
    if not shared or not all(one.isdecimal() for one in shared):
        return splits
    return {name: tuple(replace(one, id=f"{name}-{one.id}") for one in of) for name, of in splits.items()}


def check_splits(splits: Splits) -> None:
    """Check that `split_problems` finds none.

    :raises DataError: the first problem, with up to five of the ids at fault.
    """
    for problem in split_problems(splits):
        raise problem


def split_problems(splits: Splits) -> Iterator[DataError]:
    """Errors for empty splits, fields other than the first split's, and ids or inputs that two splits share."""
    for name, examples in splits.items():
        if not examples:
            yield DataError(f"the {name} split is empty")
    fields = {name: ", ".join(sorted(examples[0].inputs)) for name, examples in splits.items() if examples}
    first = next(iter(fields), "")
    for name, there in fields.items():
        if there != fields[first]:
            yield DataError(f"the {name} split has the fields {there}, {first} {fields[first]}")
    yield from _overlap(splits, "id", lambda example: example.id)
    yield from _overlap(splits, "input", lambda example: tuple(sorted(example.inputs.items())))


def check_labels(splits: Splits) -> None:
    """Check that `label_problems` finds none.

    :raises DataError: the first problem, with the labels and up to five of the ids at fault.
    """
    for problem in label_problems(splits):
        raise problem


def label_problems(splits: Splits) -> Iterator[DataError]:
    """Errors for targets that are no labels, and for labels that the train split lacks."""
    for name, examples in splits.items():
        odd = [e.id for e in examples if not isinstance(e.target, str | int) or not str(e.target).strip()]
        if odd:
            yield DataError(
                f"the {name} split has targets that are no labels (a label is a text that is not empty, or a whole "
                f"number): ids {_some(odd)}; for other targets choose another task.kind"
            )
    known = {str(example.target) for example in splits["train"]}
    for name, examples in splits.items():
        strange = [example for example in examples if str(example.target) not in known]
        if strange:
            labels = _some(sorted({str(example.target) for example in strange}))
            ids = _some([example.id for example in strange])
            yield DataError(f"the {name} split has labels that the train split lacks: {labels} (ids {ids})")


def _overlap(splits: Splits, what: str, key: Callable[[Example], object]) -> Iterator[DataError]:
    seen: dict[object, tuple[str, str]] = {}
    for name, examples in splits.items():
        shared = [(e.id, seen[key(e)]) for e in examples if key(e) in seen and seen[key(e)][0] != name]
        if shared:
            other = shared[0][1][0]
            pairs = [mine if mine == theirs else f"{mine} = {theirs}" for mine, (_, theirs) in shared]
            hint = f"; {IGNORE}" if what == "id" else ""
            yield DataError(f"the {name} and {other} splits share an {what}: ids {_some(pairs)}{hint}")
        seen.update({key(e): (name, e.id) for e in examples})


def _some(items: list[str]) -> str:
    rest = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return ", ".join(map(_cut, items[:5])) + rest


def _cut(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
