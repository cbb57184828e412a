"""A first row that is an example is told from one that names the columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest

from protocols.data import Fields, Source, doubt_of_header, load_examples
from protocols.data.values.headers import doubt
from protocols.errors import DataError

TEXTS = (
    "Where is my parcel?",
    "I was charged twice for one order, and nobody answers my mails.",
    "Hello",
    "It broke.",
    "Can I send this back, and who pays for that?",
    "Great product",
    "你们的退款什么时候到账？",
    "The code SAVE10 fails",
)
LABELS = ("shipping", "billing", "other", "returns")


def table(count: int = 40) -> list[list[str]]:
    return [[f"{TEXTS[n % 8]}{' again' * (n // 8)}", LABELS[n % 4]] for n in range(count)]


def numbered(rows: Sequence[list[str]]) -> list[list[str]]:
    return [[str(n), *row] for n, row in enumerate(rows, start=1)]


HEADLESS = {
    "text and label": table(),
    "a label of more than one word in front": [
        ["not spam" if n % 2 else "spam", row[0]] for n, row in enumerate(table())
    ],
    "numbered": numbered(table()),
    "stars": [[row[0], str(n % 5 + 1)] for n, row in enumerate(table())],
    "sums, each answer its own": [[f"What do you get if you add {n} to {7 * n}?", str(8 * n)] for n in range(1, 40)],
    "options": [
        [f"Which of these is number {n} of the list above?", "a pump", "rust", "oxygen", "iron", "ABCD"[n % 4]]
        for n in range(40)
    ],
    "tweets": [
        [str(4 * (n % 2)), str(1467810369 + n), f"Mon Apr 06 22:19:{n}", "NO_QUERY", f"user{n}", row[0]]
        for n, row in enumerate(table())
    ],
    "pairs of texts": [
        [
            f"Write {n} lines on the sea, in the style of a ship's log, and end on a question.",
            f"Day {n}. {row[0]} {row[0]}",
        ]
        for n, row in enumerate(table(), start=3)
    ],
    "few rows": table(9),
    "words": [[f"word{n}", LABELS[n % 4]] for n in range(40)],
}

ORDINARY: dict[str, tuple[list[str], list[list[str]]]] = {
    "usual": (["text", "label"], table()),
    "snake case": (["customer_message", "gold_label"], table()),
    "camel case": (["ticketBody", "goldClass"], table()),
    "capitals and spaces": (["Customer Message", "Team"], table()),
    "unknown words": (["Satz", "Zuordnung"], table()),
    "named as one of its labels": (["Satz", "other"], table()),
    "a known name beside a label's": (["message", "other"], table()),
    "a row says its own name": (["text", "label"], [*table(), ["text", "label"], ["A label", "label"]]),
    "numbered by pandas": (["", "0", "1"], numbered(table())),
    "numbered by pandas, with class numbers": (["0", "1"], [[row[0], str(n % 2)] for n, row in enumerate(table())]),
    "a number of very many digits": (["text", "1" * 5000], [[row[0], "1" * 5000] for row in table()]),
    "years": (["country", "2019", "2020"], [[f"c{n}", str(n), str(2 * n)] for n in range(40)]),
    "years alone": (["2000", "2010", "2020"], [[str(n), str(3 * n), str(2 * n)] for n in range(40)]),
    "a number above": (["0"], [[str(n)] for n in range(40)]),
    "questions of a survey": (
        ["Zeitstempel", "What did you like about our service, and why did you like it?", "What should we do better?"],
        [[f"2026-01-{n % 28 + 1}", f"{row[0]} Because of that.", row[0]] for n, row in enumerate(table())],
    ),
    "a question above answers": (
        ["How satisfied are you with us?", "Why?"],
        [[str(n % 5), row[0]] for n, row in enumerate(table())],
    ),
    "sums": (["Aufgabe", "Ergebnis"], [[f"What is {n} plus {n}?", str(2 * n)] for n in range(40)]),
    "dates": (["Wann", "Was"], [[f"2026-01-{n % 28 + 1}", row[0]] for n, row in enumerate(table())]),
    "options": (
        ["question", "A", "B", "C", "D", "answer"],
        [[row[0], "one", "two", "x", "y", "ABCD"[n % 4]] for n, row in enumerate(table())],
    ),
    "one of each": (
        ["Satz", "toxisch", "beleidigend"],
        [[row[0], str(n % 2), str(n % 3 % 2)] for n, row in enumerate(table())],
    ),
    "chinese": (["内容", "标签"], table()),
    "no rows": (["text", "label"], []),
    "all the same": (["Wort", "Art"], [[f"word{n}", LABELS[n % 4]] for n in range(40)]),
}


@pytest.mark.parametrize("name", HEADLESS)
def test_an_example_in_the_place_of_the_header_is_noticed(name: str) -> None:
    rows = HEADLESS[name]
    assert doubt(rows[0], rows[1:])
    for place, row in enumerate(rows):  # whichever stands first
        assert "Hello" in row[-1] + row[0] or doubt(row, rows[:place] + rows[place + 1 :]), row


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_header_is_none(name: str) -> None:
    header, rows = ORDINARY[name]
    assert not doubt(header, rows)


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_a_file_without_a_header_is_one_line_with_what_to_do(tmp_path: Path, suffix: str, delimiter: str) -> None:
    text = StringIO()
    csv.writer(text, delimiter=delimiter).writerows(table())
    path = tmp_path / f"tickets.{suffix}"
    path.write_text(text.getvalue(), encoding="utf-8")
    said = f"tickets.{suffix}:1: the first row looks like an example and not like a header ('shipping' stands"
    with pytest.raises(DataError) as refused:
        load_examples(Source(str(path)), "train")
    assert said in str(refused.value)
    assert "put a row with the names of the columns above it" in str(refused.value)
    named = Source(str(path), fields=Fields(input={"text": table()[0][0]}, target="shipping"))
    assert said in str(doubt_of_header(named)), "columns that are named after an example"
    assert len(load_examples(named, "train")) == 39
    path.write_text(f"text{delimiter}target\n" + text.getvalue(), encoding="utf-8")
    assert doubt_of_header(Source(str(path))) is None
    assert len(load_examples(Source(str(path)), "train")) == 40
