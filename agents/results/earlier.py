"""Reads results of this and of earlier releases as this release writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

import orjson
from pydantic import TypeAdapter, ValidationError

from agents.results.comparison import Held, Score
from agents.results.result import Result
from protocols.errors import StorageFailed

NOT_RUN: Final[Mapping[str, Any]] = {"value": 0.0, "n": 0}
ADDED: Final[Mapping[str, Any]] = {
    "train": {"first": NOT_RUN, "best": NOT_RUN},
    "saved": {"calls": 0, "tokens": 0, "dollars": None},
    "estimated": 0,
    "unreadable": 0,
    "quoted": "",
    "unremembered": 0,
}
"""Defaults of fields that earlier releases did not write. Other such fields are None if they may be, and collections
are empty."""
SCORES: Final = ("first_score", "best_score")
"""The fields of the held-out comparison that are of type `Score`."""
PAIRS: Final = frozenset({"train", "test", "length", "answers"})
"""Tables of a result that compare the first prompt with the best."""
ALWAYS: Final = frozenset({"roles", "calls", "tokens", "test"})
"""Fields that every release wrote. They get no default, since an empty one would claim that a run cost nothing."""


def as_result(document: object, path: Path) -> Mapping[str, Any]:
    """The result in a file's `document`, with defaults for fields that earlier releases did not write.

    :raises StorageFailed: this release cannot read it.
    """
    if isinstance(document, dict):
        document = _completed(_renamed(document), Result)
        if isinstance(test := document.get("test"), dict):
            scores = {name: _completed(test[name], Score) for name in SCORES if isinstance(test.get(name), dict)}
            document["test"] = _completed(test, Held) | scores
    try:
        result = TypeAdapter(Result).validate_python(document)
        assert isinstance(document, dict)
    except ValidationError as error:
        [first, *_] = error.errors()
        where = ".".join(map(str, first["loc"])) or "it"
        raise StorageFailed(
            f"no result that this release can read ({where}: {first['msg'].lower()}); use the release that wrote it, "
            "or move it away, and the same command makes it anew",
            file=str(path),
        ) from error
    return {**document, **orjson.loads(orjson.dumps(result))}


def _renamed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The result with the names of this release: earlier ones called the first prompt `seed`, and the scores of the
    held-out comparison `first` and `winner`."""
    renamed = {
        name: _renamed(table) if name in PAIRS and isinstance(table, dict) else table
        for name, table in document.items()
    }
    if "seed" in renamed:
        if "winner" in renamed:
            renamed |= {"first_score": renamed.pop("first", None), "best_score": renamed.pop("winner")}
        renamed["first"] = renamed.pop("seed")
    return renamed


def _completed(document: Mapping[str, Any], kind: type[object]) -> dict[str, Any]:
    missing = {name: hint for name, hint in get_type_hints(kind).items() if name not in {*document, *ALWAYS}}
    known = {name: ADDED[name] if name in ADDED else _nothing(hint) for name, hint in missing.items()}
    return {**document, **{name: value for name, value in known.items() if value is not ...}}


def _nothing(hint: Any) -> Any:
    """The JSON value of this type for "not known": None or an empty collection; `...` if the type has neither."""
    if NoneType in get_args(hint):
        return None
    origin = get_origin(hint)
    if origin is tuple and ... in get_args(hint):
        return []
    return {} if isinstance(origin, type) and issubclass(origin, Mapping) else ...
