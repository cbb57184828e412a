"""Files of every format, small and our own, and the one way in which the tests load them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from protocols.data import Fields, Format, Source, load_examples
from protocols.errors import DataError
from protocols.task import Example

NAMES = ("game", "stocks")
"""Class names for the format that has numbers."""
FORMATS: Mapping[Format, Fields] = {
    "jsonl": Fields(),
    "json": Fields(),
    "csv": Fields(),
    "tsv": Fields(),
    "parquet": Fields(),
    "cluener": Fields(),
    "thucnews": Fields(labels=NAMES),
    "squad": Fields(),
}
SQUAD = """\
{"version": "v2.0", "data": [{"title": "Kiln", "paragraphs": [
  {"context": "The kiln burnt from 1901 to 1911.", "qas": [
    {"id": "q1", "question": "Until when?", "is_impossible": false,
     "answers": [{"text": "1911", "answer_start": 28}, {"text": "to 1911", "answer_start": 25},
                 {"text": "1911", "answer_start": 28}]},
    {"id": "q2", "question": "Who lit it?", "is_impossible": true, "answers": [],
     "plausible_answers": [{"text": "1901", "answer_start": 20}]}]}]}]}
"""


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A Parquet file's bytes."""
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


GOOD: Mapping[Format, bytes] = {
    "jsonl": b'{"input": {"text": "a"}, "target": "b"}\n',
    "json": b'{"canary": "no", "examples": [{"input": "a", "target": "b"}]}',
    "csv": b'text,target,id\n"a, ""b""",c,1\n',
    "tsv": b"text\ttarget\na\tb\n",
    "parquet": parquet([{"text": "a", "target": "b"}, {"text": "c", "target": "d"}]),
    "cluener": '{"text": "叶叔与江", "label": {"name": {"叶叔": [[0, 1]]}, "scene": {"江": [[3, 3]]}}}\n'.encode(),
    "thucnews": "一条标题\t1\n又一条\t标题\t0\n".encode(),
    "squad": SQUAD.encode(),
}


def write(path: Path, data: bytes) -> Path:
    """Write a file."""
    path.write_bytes(data)
    return path


def load(path: Path, form: Format | None = None, fields: Fields | None = None) -> tuple[Example, ...]:
    """Load a file as the split `train`."""
    chosen = FORMATS[form] if form and fields is None else fields or Fields()
    return load_examples(Source(str(path), form, chosen), "train")


def attempt(path: Path, form: Format | None = None) -> tuple[Example, ...] | DataError:
    """The examples, or why there are none."""
    try:
        return load(path, form)
    except DataError as error:
        return error
