"""The columns of a data file, and what their values look like."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import orjson

from protocols.answers.numbers import is_number
from protocols.data import raw_rows
from protocols.data.values.names import words_in
from protocols.errors import DataError

HEAD = 2_000
"""Most rows by which a file is judged."""
INPUT = frozenset({"input", "inputs"})
Row = Mapping[str, Any]
Form = Literal["text", "number", "list", "object", "turns", "mixed", "empty"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column or key (`answers.text` of the object `answers`), and its values in the head of the file, None where
    a row has none. `form`: of all its values; a text that is a JSON list or object counts as such, and `packed` says
    so."""

    name: str
    values: tuple[Any, ...]
    form: Form
    packed: bool = False

    @property
    def there(self) -> list[Any]:
        """The values of the rows that have one."""
        return [value for value in self.values if value is not None]

    @property
    def texts(self) -> list[str]:
        """The same as texts."""
        return list(map(as_text, self.there))

    @property
    def distinct(self) -> Counter[str]:
        """How often each value occurs, the most frequent first."""
        return Counter(dict(Counter(self.texts).most_common()))

    @property
    def length(self) -> float:
        """The median number of characters."""
        return statistics.median(map(len, self.texts)) if self.there else 0.0

    @property
    def words(self) -> frozenset[str]:
        """The words of the name, see `words_in`."""
        return words_in(self.name)


def head(path: Path) -> list[Row]:
    """The first `HEAD` rows, see `flat`.

    :raises DataError: they cannot be read, or there are none.
    """
    with closing(raw_rows(path)) as rows:
        found: list[Row] = [flat(row.values) for row in islice(rows, HEAD)]
    if not found:
        raise DataError("the file holds no example", file=str(path))
    return found


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """The columns of rows, in the order in which they first occur."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [_column(name, tuple(present(row.get(name)) for row in rows)) for name in names]


def as_text(value: Any) -> str:
    """A text unchanged, JSON as JSON; a date, or another value of a Parquet file, as Python writes it."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return str(value)


def present(value: Any) -> Any:
    """The value, None if it is an empty text."""
    return None if isinstance(value, str) and not value.strip() else value


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the keys of an object as keys of their own, too, joined by a dot; not of one whose values are all
    lists, such as entities by type. An object of inputs, or of the answers of SQuAD, is its parts alone."""
    return dict(_flat(values))


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        parts = isinstance(value, Mapping) and value and not before and not _holds_lists(value)
        if parts:
            yield from _flat(value, f"{name}.")
        if not parts or not (name in INPUT or "answer_start" in value):
            yield before + name, value


def _holds_lists(value: Mapping[str, Any]) -> bool:
    """Whether an object may be the entities of a text; `{"text": [...], "answer_start": [...]}` is SQuAD's answer."""
    return all(isinstance(one, list | Mapping) for one in value.values()) and "answer_start" not in value


def _column(name: str, values: tuple[Any, ...]) -> Column:
    opened = tuple(map(unpacked, values))
    forms = {form_of(value) for value in opened if value is not None}
    packed = bool(forms) and forms <= {"list", "object", "turns"} and any(isinstance(value, str) for value in values)
    if not packed:
        opened = values
        forms = {form_of(value) for value in values if value is not None}
    if forms == {"text"} and all(isinstance(v, str) and is_number(v) for v in values if v is not None):
        forms = {"number"}
    [form] = forms if len(forms) == 1 else {"mixed" if forms else "empty"}
    return Column(name, opened, form, packed)  # type: ignore[arg-type]  # `form_of` gives no other words


def unpacked(value: Any) -> Any:
    """The list or the object that a text holds as JSON; any other value unchanged."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def form_of(value: Any) -> Form:
    """The form of one value."""
    match value:
        case bool() | str():
            return "text"
        case int() | float():
            return "number"
        case [{"role": _}, *_]:
            return "turns"
        case list():
            return "list"
        case dict():
            return "object"
        case _:
            return "text"
