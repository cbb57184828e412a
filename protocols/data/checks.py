"""Checks for faults that would make scores meaningless, in one file of examples and across splits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from protocols.answers.ratings import LEVELS, is_number, level_of, levels_of
from protocols.data.cutting import classes
from protocols.data.mapping import NO_ID
from protocols.data.rows import Place
from protocols.errors import DataError
from protocols.task import Example, Json, KindName, labels_of
from protocols.text import toml_string

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


def check_labels(splits: Splits, kind: KindName = "classification", labels: Collection[str] = ()) -> None:
    """Check that `label_problems` finds none.

    :raises DataError: the first problem, with the labels and up to five of the ids at fault.
    """
    for problem in label_problems(splits, kind, labels):
        raise problem


def label_problems(
    splits: Splits, kind: KindName = "classification", labels: Collection[str] = ()
) -> Iterator[DataError]:
    """Errors for targets that are no labels of this kind, and for labels that are none of `labels`, or, if none are
    given, that the train split lacks (see `levels_of` for a scale)."""
    fits, wanted = FITTING[kind]
    for name, examples in splits.items():
        if empty := [example.id for example in examples if _is_blank(example.target)]:
            yield DataError(
                f"the {name} split has no answer for the ids {_some(empty)}; delete these rows or fill them"
            )
        if odd := [e.id for e in examples if not fits(e.target) and not _is_blank(e.target)]:
            yield DataError(f"the {name} split has targets that are {wanted.replace('{ids}', _some(odd))}")
    read = {"ordinal": _level, "multilabel": labels_of}.get(kind, _label)
    there = {label for example in splits["train"] for label in read(example.target)}
    known = {level for label in labels for level in read(label)} or there
    if kind == "ordinal" and not labels:
        known = set(levels_of(there))
        if why := _no_scale(there, known):
            yield DataError(f"{why}; name the levels of the scale, the lowest first: task.labels")
            return
    for name, examples in splits.items():
        strange = {label: example.id for example in examples for label in read(example.target) if label not in known}
        if strange:
            named = f"{_some(sorted(strange))} (ids {_some(list(dict.fromkeys(strange.values())))})"
            if labels:
                yield DataError(f"the {name} split has labels that task.labels lacks: {named}")
            else:
                hint = f"if train lacks it only by chance, name all labels: task.labels{_listed(splits, kind)}"
                yield DataError(f"the {name} split has labels that the train split lacks: {named}; {hint}")


def all_labels(splits: Splits, kind: KindName) -> dict[str, bool]:
    """All labels or types of the targets, those of a scale in order, and whether the train split has an example of
    each; empty if it has one of every label, or the kind has no labels."""
    found: dict[str, bool] = {}
    for name in ("train", *(name for name in splits if name != "train")):
        for label in sorted({label for example in splits[name] for label in classes(example, kind) if label.strip()}):
            found.setdefault(level_of(label) if kind == "ordinal" else label, name == "train")
    if kind == "ordinal":
        between = levels_of(label for label, learnt in found.items() if learnt)
        found |= {level: True for level in between}
        found = {level: found.get(level, False) for level in levels_of(found)} or found
    return {} if all(found.values()) else found


def _listed(splits: Splits, kind: KindName) -> str:
    """The value of `task.labels` that has all labels; "" if that is too long for a line."""
    listed = ", ".join(map(toml_string, all_labels(splits, kind)))
    return f" = [{listed}]" if len(listed) <= 200 else ""


def _label(target: Json) -> list[str]:
    return [str(target)]


def _level(target: Json) -> list[str]:
    return [level_of(target)]


def _no_scale(there: Collection[str], levels: Collection[str]) -> str:
    """The reason why the ratings of the train split are no scale; "" if they are."""
    if not levels:
        odd = sorted(level for level in there if not is_number(level))
        return f"the train split has ratings that are no numbers ({_some(odd)}), so that their order is not known"
    if len(levels) < 2:
        return "all ratings of the train split are the same"
    if len(levels) > LEVELS:
        return f"the train split has {len(levels)} different ratings, and a scale has at most {LEVELS}"
    return ""


def _is_blank(target: Json) -> bool:
    return target is None or (isinstance(target, str) and not target.strip())


def _is_label(target: Json) -> bool:
    return isinstance(target, str | int) and not isinstance(target, bool) and bool(str(target).strip())


FITTING: Mapping[str, tuple[Callable[[Json], bool], str]] = {
    "classification": (
        lambda target: isinstance(target, str | int) and bool(str(target).strip()),
        "no labels (a label is a text that is not empty, or a whole number): ids {ids}; for other targets choose "
        "another task.kind",
    ),
    "ordinal": (
        lambda target: _is_label(target) or isinstance(target, float),
        "no ratings (a rating is a number, or a text that is not empty): ids {ids}",
    ),
    "multilabel": (
        lambda target: isinstance(target, list | tuple) and all(map(_is_label, target)),
        "no lists of labels: ids {ids}; if a cell holds several labels, say what stands between them: "
        'fields.separator = ";" under [task]',
    ),
}


def _overlap(splits: Splits, what: str, key: Callable[[Example], object]) -> Iterator[DataError]:
    seen: dict[object, tuple[str, str]] = {}
    for name, examples in splits.items():
        shared = [(e.id, seen[key(e)]) for e in examples if key(e) in seen and seen[key(e)][0] != name]
        if shared:
            other = shared[0][1][0]
            pairs = [mine if mine == theirs else f"{mine} = {theirs}" for mine, (_, theirs) in shared]
            hint = f"; {IGNORE}" if what == "id" else f"; delete each from one of the two, as the {name} split's"
            yield DataError(f"the {name} and {other} splits share an {what}: ids {_some(pairs)}{hint}")
        seen.update({key(e): (name, e.id) for e in examples})


def _some(items: list[str]) -> str:
    rest = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return ", ".join(map(_cut, items[:5])) + rest


def _cut(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
