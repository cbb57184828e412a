"""Reads data sets of the Hugging Face hub with the library `datasets` (the extra `huggingface`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from protocols.data.mapping import Fields
from protocols.data.rows import Place, Row, Rows, extra
from protocols.errors import DataError

SCHEME = "hf:"


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed `hf:owner/name?config=...&split=...&revision=...`; `revision`: a commit, a tag or a branch."""

    name: str
    config: str | None
    split: str
    revision: str | None


def parse(location: str, split: str) -> Reference:
    """Parse a location; `split` is the default for its split.

    :raises DataError: the location names no data set, or has an unknown or empty part.
    """
    name, _, query = location.removeprefix(SCHEME).partition("?")
    parts = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(parts.keys() - {"config", "split", "revision"})
    if not name or unknown or not all(parts.values()):
        raise DataError("write hf:owner/name?config=...&split=...&revision=..., each part optional", file=location)
    return Reference(name, parts.get("config"), parts.get("split", split), parts.get("revision"))


def read_huggingface(location: str, fields: Fields, split: str) -> Rows:
    """The rows of one split. Class numbers of a column with class names become these names, in lists, too.

    :raises DataError: the library is missing or cannot load the data, or a row is at fault.
    """
    wanted = parse(location, split)
    library = extra("datasets", "huggingface", "data sets of the Hugging Face hub", location)
    try:
        loaded = library.load_dataset(wanted.name, wanted.config, split=wanted.split, revision=wanted.revision)
        for column in _pictures(loaded.features):
            loaded = loaded.cast_column(column, library.Image(decode=False))  # as bytes, not as pixels
        names = {} if fields.labels else _class_names(loaded.features)
        for number, values in enumerate(loaded, start=1):
            yield Row(Place(location, number, is_line=False), values | _named(values, names))
    except (OSError, ValueError, RuntimeError, library.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"cannot be loaded: {reason or type(error).__name__}", file=location) from None


def _pictures(features: Any) -> list[str]:
    return [column for column, feature in features.items() if type(feature).__name__ == "Image"]


def _class_names(features: Any) -> dict[str, list[str]]:
    """The names of the classes of each column of classes, or of lists of classes."""
    each = {column: getattr(feature, "feature", feature) for column, feature in features.items()}
    return {column: list(feature.names) for column, feature in each.items() if hasattr(feature, "names")}


def _named(values: dict[str, Any], names: dict[str, list[str]]) -> dict[str, Any]:
    """The values of the class columns as names; None for -1, which means no label in published test splits."""

    def named(value: Any, among: list[str]) -> Any:
        if isinstance(value, list):
            return [named(one, among) for one in value]
        return None if value is None or value < 0 else among[value]

    return {column: named(values[column], among) for column, among in names.items()}
