"""Imports a configuration of promptfoo: prompts, tests with their variables, and what is asserted of the output.

https://www.promptfoo.dev/docs/configuration/reference/, https://www.promptfoo.dev/docs/configuration/expected-outputs/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from itertools import product
from pathlib import Path
from typing import Any

from agents.imports.draft import Draft, Row, as_text, kind_of
from agents.imports.reading import Record, Remark, is_table, object_of, records
from agents.imports.templates import placeholders, prompt_of_messages
from protocols.data.formats import is_yaml
from protocols.errors import DataError
from protocols.files.text_files import read_text
from protocols.prompt import Prompt

SCHEME = "file://"
RUBRICS = ("llm-rubric", "model-graded-closedqa", "factuality", "g-eval")
CONTAINS = ("contains", "icontains", "contains-any", "icontains-any")
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "openrouter": "openrouter", "groq": "groq"}
ORDER = ("exact", "contains", "judge", "regex", "json")
KNOWN = {"prompts", "tests", "defaultTest", "providers", "targets", "description"}


@dataclass(frozen=True, slots=True)
class Asserted:
    """What is asserted of one output. `how`: exact, contains, judge, regex, json, or "" for nothing that we carry."""

    how: str
    value: Any


def promptfoo(paths: Sequence[Path]) -> Draft:
    """The task of one configuration, in YAML or JSON.

    :raises DataError: it is none, or has no prompt or no test that we can use.
    """
    [path] = paths
    found = records(path)
    whole = found[0]
    if len(found) != 1 or not isinstance(whole.value, Mapping) or "prompts" not in whole.value:
        raise whole.wrong("no configuration of promptfoo: it has no `prompts`")
    remarks = [whole.say(f"{key} is not carried over") for key in whole.value if key not in KNOWN]
    default = whole.of(whole.value.get("defaultTest") or {})
    if isinstance(default.value, str):
        default = _file(default.value, whole)[0]
    tests = list(_tests(whole, remarks))
    rows = [row for test in tests for row in _expanded(test, default, remarks)]
    fields = sorted({name for row, _ in rows for name in row})
    prompts = list(_prompts(whole, fields, remarks))
    if not prompts:
        raise whole.wrong("no prompt that is a text or a chat")
    draft = _judged(rows, remarks, whole)
    draft.prompts, draft.model = prompts, _model(whole)
    if len(prompts) > 1:
        remarks.append(whole.say(f"{len(prompts)} prompts: the first is trained, the others are beside it"))
    return draft


def _file(name: str, record: Record) -> list[Record]:
    """The records of a file, of all in a folder, or of those that a pattern names.

    :raises DataError: the file is not there.
    """
    place = Path(record.file).parent / name.removeprefix(SCHEME)
    pattern = str(place / "*" if place.is_dir() else place)
    names = sorted(glob(pattern)) if glob(pattern) else [pattern]
    return [one for path in names for one in records(Path(path))]


def _prompts(whole: Record, fields: Sequence[str], remarks: list[Remark]) -> Iterator[Prompt]:
    for record in _entries(whole, "prompts"):
        entry = record.value
        raw = (entry.get("raw") or entry.get("id") or entry.get("file")) if isinstance(entry, Mapping) else entry
        if not isinstance(raw, str):
            remarks.append(record.say("a prompt that is no text is left out"))
            continue
        for text, place in _texts(raw, record, remarks):
            yield _prompt(text, fields, place, remarks)


def _entries(whole: Record, key: str) -> list[Record]:
    """The elements of a list of the configuration, which may be in a YAML file of its own; paths in that file begin
    where the configuration is."""
    given = whole.value.get(key) or []
    if isinstance(given, str) and given.startswith(SCHEME) and is_yaml(Path(given)):
        found = _file(given, whole)
        if not any(isinstance(one.value, Mapping) and "role" in one.value for one in found):  # no chat
            return [Record(one.value, whole.line, whole.file) for one in found]
    return [whole.of(entry) for entry in (given if isinstance(given, list) else [given])]


def _texts(raw: str, record: Record, remarks: list[Remark]) -> Iterator[tuple[str, Record]]:
    """The texts of a prompt: itself, or those of a file, which `---` divides."""
    path = Path(record.file).parent / raw.removeprefix(SCHEME)
    if not raw.startswith(SCHEME) and ("\n" in raw or len(raw) > 200 or not path.is_file()):
        yield raw, record
    elif re.search(r"\.(py|js|cjs|mjs|ts)(:\w+)?$", raw):
        remarks.append(record.say(f"{raw} makes its prompt in code, and is left out"))
    elif path.suffix == ".txt":
        for text in re.split(r"^---\s*$", read_text(path, DataError, "the prompt"), flags=re.MULTILINE):
            yield text.strip(), Record(None, 1, str(path))
    elif is_yaml(path):
        yield json.dumps([one.value for one in records(path)]), Record(None, 1, str(path))
    else:
        yield read_text(path, DataError, "the prompt").strip(), Record(None, 1, str(path))


def _prompt(text: str, fields: Sequence[str], record: Record, remarks: list[Remark]) -> Prompt:
    """A prompt of a text, or of a chat in JSON."""

    def ours(said: Any) -> Any:
        known = {name: name for name in fields}
        return placeholders(said, known.get, record, remarks) if isinstance(said, str) else said

    try:
        chat = json.loads(text)
    except json.JSONDecodeError:
        chat = None
    if isinstance(chat, list) and all(isinstance(one, Mapping) and "role" in one for one in chat):
        return prompt_of_messages([(one["role"], ours(one.get("content", ""))) for one in chat], record)
    return prompt_of_messages([("user", ours(text))], record)


def _tests(whole: Record, remarks: list[Remark]) -> Iterator[Record]:
    given = whole.value.get("tests") or []
    for entry in given if isinstance(given, list) else [given]:
        if isinstance(entry, Mapping):
            yield whole.of(entry)
        elif isinstance(entry, str) and not re.match(r"https?://|huggingface://", entry):
            for one in _file(entry, whole):
                yield _of_csv(one) if is_table(Path(one.file)) else one
        else:
            remarks.append(whole.say(f"the tests {str(entry)[:60]!r} are not a file here, and are left out"))


def _of_csv(record: Record) -> Record:
    """A test of a row: its columns are variables, `__expected` and `__expected2` are assertions."""
    asserted = []
    for name, text in record.value.items():
        if re.fullmatch(r"__expected\d*", name) and text:
            kind, colon, value = text.partition(":")
            known = colon and re.fullmatch(r"[a-z-]+", kind)
            kind = {"grade": "llm-rubric"}.get(kind, kind)
            asserted.append({"type": kind, "value": value.strip()} if known else {"type": "equals", "value": text})
    values = {name: value for name, value in record.value.items() if not name.startswith("__")}
    return record.of({"vars": values, "assert": asserted})


Pair = tuple[dict[str, str], list[tuple[Record, Asserted]]]


def _expanded(test: Record, default: Record, remarks: list[Remark]) -> Iterator[Pair]:
    """The inputs of a test, one for each combination of the variables that are lists, and what is asserted."""
    if not isinstance(test.value, Mapping):
        raise test.wrong("a test that is no mapping")
    given = {**_variables(default), **_variables(test)}
    asserted = [
        place.of(one) for place in (default, test) for one in _listed(object_of(place.value).get("assert"), place)
    ]
    found = [(one, _asserted(one, remarks)) for one in asserted]
    if not given:
        remarks.append(test.say("a test without variables is left out"))
        return
    choices = [value if isinstance(value, list) else [value] for value in given.values()]
    for values in product(*choices):
        yield {name: _value(value, test) for name, value in zip(given, values, strict=True)}, found


def _variables(place: Record) -> Mapping[str, Any]:
    """:raises DataError: the variables are no mapping."""
    own = object_of(place.value).get("vars") or {}
    given = _file(own, place)[0].value if isinstance(own, str) else own
    if not isinstance(given, Mapping):
        raise place.wrong("`vars` is no mapping of names to values")
    return given


def _listed(given: Any, place: Record) -> list[Any]:
    """:raises DataError: the assertions are no list."""
    if given is not None and not isinstance(given, list):
        raise place.wrong("`assert` is no list")
    return given or []


def _value(value: Any, test: Record) -> str:
    if isinstance(value, str) and value.startswith(SCHEME):
        return read_text(Path(test.file).parent / value.removeprefix(SCHEME), DataError, "the variable").strip()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _asserted(record: Record, remarks: list[Remark]) -> Asserted:
    one = record.value if isinstance(record.value, Mapping) else {}
    kind, value = one.get("type"), one.get("value")
    if isinstance(value, str) and value.startswith(SCHEME):
        remarks.append(record.say(f"{kind} of {value} is not carried over"))
    elif isinstance(value, str) and "{{" in value:
        remarks.append(record.say(f"{kind} with variables in its value is not carried over"))
    elif kind == "equals":
        return Asserted("exact", value)
    elif kind in CONTAINS and value:
        return Asserted("contains", value)
    elif kind in RUBRICS:
        return Asserted("judge", value)
    elif kind == "regex":
        return Asserted("regex", value)
    elif kind == "is-json":
        return Asserted("json", value or {})
    else:
        remarks.append(record.say(f"the assertion {kind} is not carried over"))
    return Asserted("", None)


def _judged(rows: Sequence[Pair], remarks: list[Remark], whole: Record) -> Draft:
    """The examples, and the one metric that is asserted of most of them, in a tie the first of `ORDER`."""
    ways = {how: sum(any(one.how == how for _, one in found) for _, found in rows) for how in ORDER}
    metric = max(ORDER, key=lambda how: ways[how])
    if not ways[metric]:
        raise whole.wrong("no test asserts what can be carried over: equals, contains, llm-rubric, regex or is-json")
    fits = {metric}
    if ways["exact"] and ways["contains"] and metric in ("exact", "contains"):
        metric, fits = "contains", {"exact", "contains"}
    made: list[Row] = []
    for inputs, found in rows:
        chosen = next(((record, one) for record, one in found if one.how in fits), None)
        remarks += [
            record.say(f"{one.how} is not carried over: {metric} decides")
            for record, one in found
            if one.how and (record, one) != chosen
        ]
        if chosen is None:
            place = found[-1][0] if found else whole
            shown = json.dumps(inputs, ensure_ascii=False)[:60]
            remarks.append(place.say(f"a test without {metric} is left out: {shown}"))
            continue
        record, one = chosen
        if metric in ("regex", "json") and made and one.value != made[0].target:
            raise record.wrong(f"{metric} of another value than before: ours is one for all examples")
        made.append(Row(inputs, one.value))
    return _with_metric(metric, made, remarks)


def _with_metric(metric: str, rows: list[Row], remarks: list[Remark]) -> Draft:
    remarks[:] = dict.fromkeys(remarks)
    shared = rows[0].target
    if metric == "exact":
        for row in rows:
            row.target = as_text(row.target)
        kind, name = kind_of([row.target for row in rows])
        return Draft(rows, [], kind, "exact" if kind == "generation" else name, remarks=remarks)
    draft = Draft(rows, [], "generation", metric, remarks=remarks)
    if metric == "judge":
        same = all(row.target == shared for row in rows)
        draft.settings["rubric"] = str(shared) if same else EACH
    elif metric == "regex":
        draft.settings["pattern"] = str(shared)
    elif metric == "json":
        draft.metric, draft.settings["json_schema"] = "json_schema", "schema.json"
        draft.beside["schema.json"] = json.dumps(shared, ensure_ascii=False, indent=2).encode() + b"\n"
    return draft


EACH = "10: the answer is all that the reference asks for. 5: it is in part. 0: it is not."
"""The rubric where each test has one of its own, which is then the target."""


def _model(whole: Record) -> str:
    """The first provider as a model of ours; "" if it is none that we know."""
    given = _entries(whole, "providers" if "providers" in whole.value else "targets")
    first = given[0].value if given else ""
    name = (first.get("provider") or first.get("id")) if isinstance(first, Mapping) else first
    parts = name.split(":") if isinstance(name, str) else []
    if len(parts) >= 2 and parts[0] in PROVIDERS:
        return f"{PROVIDERS[parts[0]]}/{parts[-1]}"
    return ""
