"""Readers of published data sets in their original files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from protocols.data.formats import CLASSES
from protocols.data.mapping import Fields, class_name
from protocols.data.rows import Place, Row, Rows, json_document, json_lines, text_lines
from protocols.errors import DataError


def read_cluener(path: Path, fields: Fields) -> Rows:
    """CLUENER2020 (arXiv 2001.04351): one `{"text", "label": {type: {entity: [[start, end], ...]}}}` per line; `end`
    is the index of the last character. The target is `{type: [entity, ...]}`.

    :raises DataError: a line is invalid, for example a span's text is not the entity; with file, line and reason.
    """
    for row in json_lines(path):
        text, label = row.values.get("text"), row.values.get("label")
        if not isinstance(text, str):
            raise row.place.error("no text")
        if not isinstance(label, dict):
            raise row.place.error("no label; the published test file has none: it cannot be scored")
        target = {kind: _entities(kind, found, text, row.place) for kind, found in label.items()}
        yield Row(row.place, {"id": row.values.get("id"), "input": {"text": text}, "target": target})


def read_thucnews(path: Path, fields: Fields) -> Rows:
    """THUCNews: a headline, a tab and a class number per line. The names of the classes are `fields.labels`, or the
    lines of a `class.txt` beside the file.

    :raises DataError: a line is invalid, or the names are missing; with file, line and reason.
    """
    labels = fields.labels or _classes(path)
    for number, line in text_lines(path):
        if not line.strip():
            continue
        place = Place(str(path), number)
        text, tab, label = line.strip("\r\n").rpartition("\t")
        if not tab or not text.strip():
            raise place.error("expected a headline, a tab and a class number")
        try:
            target = class_name(label.strip(), labels)
        except ValueError as error:
            raise place.error(str(error)) from None
        yield Row(place, {"input": {"text": text}, "target": target})


def read_squad(path: Path, fields: Fields) -> Rows:
    """SQuAD v1.1 and v2.0 (arXiv 1606.05250, 1806.03822). The target is the list of distinct gold answers, `[]` for
    an impossible question.

    :raises DataError: the file is not SQuAD; with file and reason, and the question if one is at fault.
    """
    document = json_document(path)
    number = 0
    for name, article in _items(document, "data", "the file", path):
        for part, paragraph in _items(article, "paragraphs", name, path):
            context = _text(paragraph, "context", part, path)
            for asked, question in _items(paragraph, "qas", part, path):
                number += 1
                values = {
                    "id": _text(question, "id", asked, path),
                    "input": {"context": context, "question": _text(question, "question", asked, path)},
                    "target": _answers(question, asked, path),
                }
                yield Row(Place(str(path), number, is_line=False), values)


def _entities(kind: str, found: object, text: str, place: Place) -> list[str]:
    if not isinstance(found, dict):
        raise place.error(f"label {kind}: expected an object of entities")
    for entity, spans in found.items():
        if not isinstance(spans, list) or not spans:
            raise place.error(f"label {kind}, entity {entity!r}: expected a list of spans")
        for span in spans:
            match span:
                case [int(start), int(end)] if 0 <= start <= end and text[start : end + 1] == entity:
                    continue
                case [int(start), int(end)] if 0 <= start <= end:
                    raise place.error(f"label {kind}: the span {span} is {text[start : end + 1]!r}, not {entity!r}")
                case _:
                    raise place.error(f"label {kind}, entity {entity!r}: a span is [first, last], from 0 on")
    return list(found)


def _classes(path: Path) -> tuple[str, ...]:
    beside = path.with_name(CLASSES)
    if not beside.is_file():
        raise DataError(
            f"the classes need names: {CLASSES} beside the file, or labels under [task.fields]", file=str(path)
        )
    return tuple(line.strip() for _, line in text_lines(beside) if line.strip())


def _items(holder: object, key: str, name: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of an array, each with its name for error messages."""
    items = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(items, list):
        raise DataError(f"not SQuAD: {name} has no array {key}", file=str(path))
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise DataError(f"not SQuAD: {key}[{number}] of {name} is no object", file=str(path))
        yield f"{key}[{number}]" if name == "the file" else f"{name}.{key}[{number}]", item


def _text(holder: Mapping[str, Any], key: str, name: str, path: Path) -> str:
    text = holder.get(key)
    if not isinstance(text, str):
        raise DataError(f"not SQuAD: {name} has no text {key}", file=str(path))
    return text


def _answers(question: Mapping[str, Any], name: str, path: Path) -> list[str]:
    if question.get("is_impossible") is True:
        return []
    answers = _items(question, "answers", name, path)
    found = list(dict.fromkeys(_text(answer, "text", part, path) for part, answer in answers))
    if not found:
        raise DataError(f"{name} (id {question['id']}) has no answer and is not impossible", file=str(path))
    return found
