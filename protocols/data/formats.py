"""Tells the format of a data file: by its suffix, and by its beginning where the suffix leaves a doubt.

All that read examples, or records of other tools, ask here, so that a file is the same to all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from protocols.data.rows import opened
from protocols.errors import DataError
from protocols.files.text_files import BOM

Format = Literal["jsonl", "json", "csv", "tsv", "parquet", "cluener", "thucnews", "squad"]
PUBLISHED: frozenset[Format] = frozenset({"cluener", "thucnews", "squad"})
"""Formats with fixed fields, which need no `Fields`."""
TABLES: frozenset[Format] = frozenset({"csv", "tsv", "parquet"})
SUFFIXES: Final[Mapping[str, Format]] = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
"""Suffixes that say all."""
OF_JSON: Final[Mapping[str, Format]] = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""Suffixes of files that hold JSON in one of two forms, whatever their suffix promises, and what it promises."""
YAML = frozenset({".yaml", ".yml"})
PACKED = ".gz"
"""The suffix of a compressed file, after the suffix of its format."""
DELIMITERS = (",", ";", "\t", "|")
CLASSES = "class.txt"
"""The names of THUCNews's classes, beside its files."""
BEGINNING = 65_536
"""Bytes by which a file is judged."""
PARQUET = b"PAR1"
HEADLINE = re.compile(r"[^\t]*\S[^\t]*\t\d{1,3}\s*")
"""A line of THUCNews."""


def suffix_of(path: Path) -> str:
    """The suffix of a file's format, in small letters."""
    return (Path(path.stem).suffix if path.suffix.lower() == PACKED else path.suffix).lower()


def is_yaml(path: Path) -> bool:
    """Whether a file is YAML by its name. Only imports read it."""
    return suffix_of(path) in YAML


def format_of(path: Path) -> Format:
    """The format of a file. `.csv`, `.tsv` and `.parquet` say it; any other file is Parquet, JSON, JSON lines,
    THUCNews or a table by what it begins with, and if it begins with none of these, JSON lines.

    :raises DataError: the file cannot be read, or is YAML.
    """
    suffix = suffix_of(path)
    if suffix in YAML:
        raise DataError("YAML holds no examples; give CSV, TSV, JSON, JSON lines or Parquet", file=str(path))
    if known := SUFFIXES.get(suffix):
        return known
    with opened(path) as file:
        head = file.read(BEGINNING)
    if head.startswith(PARQUET):
        return "parquet"
    lines = [line for line in head.decode("utf-8", "ignore").removeprefix(BOM).split("\n") if line.strip()]
    if suffix in OF_JSON or (lines and lines[0].lstrip()[:1] in ("{", "[")):
        return _json(lines, OF_JSON.get(suffix))
    if lines and all(map(HEADLINE.fullmatch, lines[: max(1, len(lines) - 1)])) and (path.parent / CLASSES).is_file():
        return "thucnews"
    if lines and "\t" in lines[0]:
        return "tsv"
    return "csv" if lines and any(delimiter in lines[0] for delimiter in DELIMITERS) else "jsonl"


def published_form(values: Mapping[str, Any]) -> Format | None:
    """The published data set whose form the first row of a JSON file has."""
    if isinstance(values.get("paragraphs"), list):
        return "squad"
    label = values.get("label")
    if isinstance(label, Mapping) and any(isinstance(one, Mapping) for one in label.values()):
        return "cluener"
    return None


def _json(lines: Sequence[str], promised: Format | None) -> Format:
    """Whether JSON is one document or an object a line, by the lines that are not blank."""
    if not lines:
        return promised or "jsonl"
    first = lines[0].strip()
    if first.startswith("["):
        return "jsonl" if lines[1:] and _is_whole(first) else "json"
    if _is_whole(first):
        return "jsonl" if lines[1:] or promised is None else promised
    return "json" if lines[1:] and (first == "{" or promised is None) else promised or "jsonl"


def _is_whole(line: str) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
