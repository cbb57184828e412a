"""Loads answers with the grades that people gave them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from protocols.data.loading import Source, rows_of
from protocols.data.mapping import example
from protocols.data.rows import Row
from protocols.data.values.pictures import Pictures
from protocols.errors import DataError
from protocols.task import Example, show_text

ANSWER, GRADE = "answer", "grade"
YES: Final = frozenset({"yes", "true", "good", "right", "correct", "pass", "up", "👍"})
NO: Final = frozenset({"no", "false", "bad", "wrong", "incorrect", "fail", "down", "👎"})


@dataclass(frozen=True, slots=True)
class Graded:
    """An answer to an example, with a person's `grade`: a number of any scale, or 1 and 0 for yes and no."""

    example: Example
    answer: str
    grade: float


def load_grades(source: Source) -> tuple[Graded, ...]:
    """The graded answers of a file with the keys of examples, `answer` and `grade`, in its order.

    :raises DataError: the file cannot be used; with the line or row, and the reason.
    """
    rows, fields = rows_of(source, GRADE)
    pictures = Pictures(Path(source.location).parent)
    with closing(rows):
        graded = []
        for row in rows:
            given = {name: _given(row, name) for name in (ANSWER, GRADE)}
            rest: Mapping[str, Any] = {name: value for name, value in row.values.items() if name not in given}
            shown = example(replace(row, values=rest), fields, "row", pictures)
            graded.append(Graded(shown, show_text(given[ANSWER]), _grade(row, given[GRADE])))
    return tuple(graded)


def _given(row: Row, name: str) -> Any:
    """:raises DataError: the row has no such key."""
    if row.values.get(name) is None:
        raise row.place.error(f"no {name}; a row has the keys of an example, and besides them answer and grade")
    return row.values[name]


def _grade(row: Row, value: Any) -> float:
    """:raises DataError: it is no grade."""
    if isinstance(value, bool | int | float):
        return float(value)
    text = str(value).strip().casefold()
    if text in YES | NO:
        return float(text in YES)
    try:
        return float(text)
    except ValueError:
        raise _odd(row, value) from None


def _odd(row: Row, value: Any) -> DataError:
    return row.place.error(f"the grade is {str(value)[:40]!r}; a grade is a number, or yes or no")
