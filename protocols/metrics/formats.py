"""Metrics of an answer's format: a regular expression, a JSON Schema, the values of its fields."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping

import orjson
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import validator_for
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from protocols.answers.framing import fenced
from protocols.answers.json_objects import compare_json, f1, structure, structure_like
from protocols.errors import ConfigError
from protocols.metrics.parsed import ParsedMetric
from protocols.task import Example, Json, Judgement, TaskKind
from protocols.text import one_line


class Pattern(ParsedMetric):
    """1.0 if a regular expression (Python's `re`) matches anywhere in the answer; the target is ignored."""

    def __init__(self, kind: TaskKind, pattern: str) -> None:
        """:raises ConfigError: `pattern` is not a regular expression."""
        super().__init__(kind)
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"task.pattern is no regular expression: {error}") from None

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer."""
        shown = self._kind.show(answer)
        if self._pattern.search(shown):
            return Judgement(1.0, shown)
        feedback = f"the answer does not match {self._pattern.pattern}"
        return Judgement(0.0, shown, feedback, mistakes={"does not match": 1})


class JsonSchema(ParsedMetric):
    """1.0 if the answer is JSON, alone or in a code fence, and valid under a JSON Schema; the target is ignored.

    The draft is the one named by the schema's `$schema`, else the latest. References to other documents are not
    fetched.
    """

    def __init__(self, kind: TaskKind, schema: dict[str, object], file: str) -> None:
        """:raises ConfigError: `schema` is not a valid JSON Schema."""
        super().__init__(kind)
        validator = validator_for(schema)
        try:
            validator.check_schema(schema)
        except SchemaError as error:
            raise ConfigError(f"no JSON Schema: {error.json_path}: {error.message}", file=file) from None
        self._validator = validator(schema, registry=EMPTY_REGISTRY)
        self._file = file

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer; a text is read as JSON.

        :raises ConfigError: the schema refers to something outside it.
        """
        shown = self._kind.show(answer)
        if isinstance(answer, str):
            try:
                answer = read_json(answer)
            except orjson.JSONDecodeError as broken:
                return Judgement(0.0, shown, f"the answer is not JSON: {broken}", mistakes={"not JSON": 1})
        try:
            error = best_match(self._validator.iter_errors(answer))
        except Unresolvable as lost:
            raise ConfigError(f"the schema refers to {lost.ref}, which is not in it", file=self._file) from None
        except RecursionError:
            return Judgement(0.0, shown, "the answer is nested too deeply", mistakes={"nested too deeply": 1})
        if error is None:
            return Judgement(1.0, shown)
        feedback = f"the answer breaks the schema at {error.json_path}: {error.message}"
        return Judgement(0.0, shown, feedback, mistakes={f"breaks {error.validator}": 1})


def read_json(text: str) -> Json:
    """Parse a text as JSON, alone or in its first code fence.

    :raises orjson.JSONDecodeError: it is not JSON.
    """
    blocks = fenced(text)
    value: Json = orjson.loads(blocks[0] if blocks and not text.lstrip().startswith(("{", "[", '"')) else text)
    return value


LONGEST = 80
"""Most characters of a field in the name of a mistake."""


class JsonF1(ParsedMetric):
    """F1 over the leaves of an answer and of the target, each a path and a value (see `json_objects`); over a corpus,
    the mean. An answer without JSON is unreadable where the target is an object or a list."""

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer."""
        wanted = structure(example.target)
        if wanted is None:
            wanted = example.target
            said = _plain(answer, wanted)
        elif (said := structure_like(wanted, answer)) is None:
            named = "object" if isinstance(wanted, Mapping) else "list"
            return self.unreadable(example, f"the reply holds no complete {named} of JSON")
        shown = self._kind.show(answer)
        try:
            compared = compare_json(said, wanted)
            score = f1(said, wanted, compared)
        except RecursionError:
            return Judgement(0.0, shown, "the answer is nested too deeply", mistakes={"nested too deeply": 1})
        counted = Counter(one_line(f"{one.kind} {one.path or 'answer'}", LONGEST) for one in compared.differences)
        return Judgement(score, shown, "; ".join(map(str, compared.differences)), {}, dict(counted))


def _plain(answer: Json, wanted: Json) -> Json:
    """An answer where the target is no object or list: as it is, or the value that its text is in JSON."""
    if not isinstance(answer, str):
        return answer
    try:
        value: Json = json.loads(answer)
    except (ValueError, RecursionError):
        return answer
    return answer if isinstance(wanted, str) and not isinstance(value, str) else value
