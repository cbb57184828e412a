"""Imports traces and datasets of Langfuse and MLflow.

https://langfuse.com/docs/evaluation/experiments/datasets,
https://langfuse.com/docs/api-and-data-platform/features/export-from-ui,
https://mlflow.org/docs/latest/genai/datasets/, https://mlflow.org/docs/latest/genai/tracing/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.imports.draft import (
    FREE,
    RUBRIC,
    Draft,
    Row,
    as_text,
    conversation,
    free_name,
    kind_of,
    prompt_of,
    split_chats,
)
from agents.imports.reading import Record, Remark, object_of, objects_of, read_all, unpacked
from protocols.prompt import Prompt, Section

EXPECTED = ("expectedOutput", "expected_output", "expectations", "expected", "reference", "ideal", "target")
OF_DATASETS = ("expected_response", "expected_output", "expected_answer", "answer")


def langfuse(paths: Sequence[Path]) -> Draft:
    """Items of a dataset, `input` and `expectedOutput`, or traces, whose `output` is then the target.

    :raises DataError: a record has no input and output.
    """
    remarks: list[Remark] = []
    found = [_whole(one) for one in unpacked(read_all(paths), "data", "items", "traces")]
    inner = [one for one in found if object_of(one.value).get("parentObservationId")]
    if inner and len(inner) < len(found):
        remarks.append(inner[0].say("observations inside others are left out: the outermost is the example"))
        found = [one for one in found if not object_of(one.value).get("parentObservationId")]
    taken = [(one, *_of_langfuse(one)) for one in found]
    return _recorded([(r, i, t) for r, i, t, _ in taken], any(traced for *_, traced in taken), remarks)


def _whole(record: Record) -> Record:
    """The trace of a file that holds one with its observations, or the outermost of these where it has no input."""
    if not (trace := object_of(object_of(record.value).get("trace"))):
        return record
    roots = [one for one in objects_of(record.value.get("observations")) if not one.get("parentObservationId")]
    return record.of(trace if trace.get("input") is not None or not roots else roots[0])


def _of_langfuse(record: Record) -> tuple[Any, Any, bool]:
    value = record.value
    if not isinstance(value, Mapping) or "input" not in value:
        raise record.wrong("no item of a dataset and no trace: it has no `input`")
    expected = next((_parsed(value[name]) for name in EXPECTED if value.get(name) not in (None, "")), None)
    given, output = _parsed(value["input"]), _parsed(value.get("output"))
    return given, output if expected is None else expected, expected is None


def _parsed(value: Any, begins: str = "{[") -> Any:
    """JSON in a text, as in exports to CSV, as what it is, if it is an object or a list."""
    if isinstance(value, str) and value.strip() and value.lstrip()[0] in begins:
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def mlflow(paths: Sequence[Path]) -> Draft:
    """Records of a dataset, `inputs` and `expectations`, or traces, whose response is then the target.

    :raises DataError: a record has no inputs.
    """
    found = unpacked(read_all(paths), "records", "traces", "data")
    remarks: list[Remark] = []
    taken = [(one, *_of_mlflow(one, remarks)) for one in found]
    return _recorded([(r, i, t) for r, i, t, _ in taken], any(traced for *_, traced in taken), remarks)


def _of_mlflow(record: Record, remarks: list[Remark]) -> tuple[Any, Any, bool]:
    value = record.value
    if isinstance(value, Mapping) and "inputs" in value:
        wanted = _parsed(value.get("expectations") or {})
        return _parsed(value["inputs"]), *_expectation(wanted, _parsed(value.get("outputs")), record, remarks)
    if not isinstance(value, Mapping) or not ({"info", "request"} & value.keys()):
        raise record.wrong("no record of a dataset and no trace: it has neither `inputs` nor `info` nor `request`")
    given, output = _parsed(value.get("request")), _parsed(value.get("response"))
    for span in objects_of(object_of(value.get("data")).get("spans")):
        if not (span.get("parent_id") or span.get("parent_span_id")):
            attributes = object_of(span.get("attributes"))
            given = _parsed(span.get("inputs") or attributes.get("mlflow.spanInputs"), '{["') or given
            output = _parsed(span.get("outputs") or attributes.get("mlflow.spanOutputs"), '{["') or output
    wanted = {
        str(one.get("assessment_name") or one.get("name")): _value_of(one["expectation"])
        for one in objects_of(value.get("assessments") or object_of(value.get("info")).get("assessments"))
        if isinstance(one.get("expectation"), Mapping)
    }
    if given is None:
        raise record.wrong("a trace without its request")
    return given, *_expectation(wanted, output, record, remarks)


def _value_of(expectation: Mapping[str, Any]) -> Any:
    """The value of an expectation, which MLflow writes as JSON where it is a list or an object."""
    packed = object_of(expectation.get("serialized_value")).get("value")
    return expectation.get("value") if packed is None else _parsed(packed, '{["')


def _expectation(wanted: Any, output: Any, record: Record, remarks: list[Remark]) -> tuple[Any, bool]:
    """The target, and whether it is only what was answered."""
    if isinstance(wanted, Mapping):
        name = next((one for one in OF_DATASETS if wanted.get(one) is not None), None)
        name = name or (next(iter(wanted)) if len(wanted) == 1 else None)
        remarks += [
            record.say(f"the expectation {one} is not carried over") for one in wanted if one != name and name
        ]
        if name:
            return wanted[name], False
        if wanted:
            return wanted, False
    return output, True


def _recorded(found: Sequence[tuple[Record, Any, Any]], traced: bool, remarks: list[Remark]) -> Draft:
    """A task of recorded inputs and targets."""
    kept = [(one, given, target) for one, given, target in found if target not in (None, "")]
    remarks += [one.say("a record without an output is left out") for one, _, target in found if target in (None, "")]
    if not kept:
        raise found[0][0].wrong("no record has an output")
    records = [one for one, _, _ in kept]
    chats = [_messages(given) for _, given, _ in kept]
    if all(chat is not None for chat in chats):
        prompt, inputs = split_chats(
            [conversation(chat, one) for chat, one in zip(chats, records, strict=True)], records
        )
    else:
        prompt, inputs = _fields([(one, given) for one, given, _ in kept])
    targets = _plainly([_answer(target) for *_, target in kept])
    rows = [Row(given, target) for given, target in zip(inputs, targets, strict=True)]
    kind, metric = kind_of(targets)
    draft = Draft(rows, [prompt], kind, metric, remarks=remarks)
    if traced:
        remarks.append(records[0].say("targets are recorded outputs where none was expected: check them"))
        if kind == "generation":
            draft.metric, draft.settings["rubric"] = "judge", RUBRIC
    return draft


def _plainly(targets: Sequence[Any]) -> Sequence[Any]:
    """The targets; of objects that all have one text under the same name, these texts."""
    names = {tuple(target) if isinstance(target, Mapping) else () for target in targets}
    if len(names) == 1 and len(name := names.pop()) == 1 and all(isinstance(t[name[0]], str) for t in targets):
        return [target[name[0]] for target in targets]
    return targets


def _messages(given: Any) -> list[Any] | None:
    turns = given.get("messages") if isinstance(given, Mapping) else given
    return (
        turns
        if isinstance(turns, list) and turns and all(isinstance(t, Mapping) and "role" in t for t in turns)
        else None
    )


def _answer(target: Any) -> Any:
    """The text of an answer in the form of a provider's reply, or of a message; anything else unchanged."""
    if isinstance(target, Mapping):
        for inner in (*objects_of(target.get("choices"))[:1], target):
            message = inner.get("message", inner)
            if isinstance(message, Mapping) and isinstance(message.get("content"), str) and message.keys() <= MESSAGE:
                return message["content"]
    return _answer(target[-1]) if isinstance(target, list) and target and isinstance(target[-1], Mapping) else target


MESSAGE = frozenset({"role", "content", "refusal", "tool_calls", "function_call", "annotations", "audio", "name"})


def _fields(found: Sequence[tuple[Record, Any]]) -> tuple[Prompt, list[Mapping[str, Any]]]:
    """A prompt that shows the fields of all inputs, which are objects with the same names, or texts."""
    objects = all(isinstance(given, Mapping) and given for _, given in found)
    if not objects:
        name = free_name(prompt_of([], ""), "text")
        return prompt_of([], f"{{{name}}}"), [{name: as_text(given)} for _, given in found]
    names = list(found[0][1])
    for one, given in found:
        if set(given) != set(names):
            raise one.wrong(f"other inputs ({', '.join(given)}) than the first record has ({', '.join(names)})")
    shown = "\n".join(f"{name}: {{{name}}}" for name in names) if len(names) > 1 else f"{{{names[0]}}}"
    prompt = Prompt((Section("task", "task"), *FREE, Section("input", "task", shown)))
    return prompt, [dict(_values(given)) for _, given in found]


def _values(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        yield name, value if _messages(value) else as_text(value)
