"""Imports OpenAI's files: samples of its open-source Evals, data and graders of its Evals API, and fine-tuning data.

https://github.com/openai/evals/blob/main/docs/build-eval.md,
https://developers.openai.com/api/reference/resources/evals, https://developers.openai.com/api/docs/guides/graders,
https://developers.openai.com/api/docs/guides/supervised-fine-tuning
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.imports.draft import FREE, Draft, Row, as_text, conversation, kind_of, split_chats
from agents.imports.reading import Record, Remark, listed, object_of, objects_of, read_all, unpacked
from agents.imports.templates import placeholders, prompt_of_messages
from protocols.prompt import Prompt, Section

ITEM = re.compile(r"item\.([\w.]+)")
REFERENCE = re.compile(r"\{\{\s*item\.([\w.]+)\s*\}\}")
TARGETS = ("label", "correct_label", "ideal", "expected")
"""Fields that hold the right answer, where no grader says which."""
OPERATIONS = {"eq": "exact", "like": "contains", "ilike": "contains"}


def evals(paths: Sequence[Path]) -> Draft:
    """Samples with `input` and `ideal`; or data of the Evals API, `{"item": ...}`, with the definition that has
    `testing_criteria`, in the same file or another one.

    :raises DataError: they are neither, or no grader can be used.
    """
    found = read_all(paths)
    defined = [one for one in found if isinstance(one.value, Mapping) and "testing_criteria" in one.value]
    rows = [one for one in found if one not in defined]
    if defined or any(isinstance(one.value, Mapping) and "item" in one.value for one in rows):
        return _of_api(defined, rows)
    return _samples(rows)


def _samples(found: Sequence[Record]) -> Draft:
    for one in found:
        if not isinstance(one.value, Mapping) or "input" not in one.value or "ideal" not in one.value:
            raise one.wrong("no sample with `input` and `ideal`, and no `item`")
    chats = [_chat(one) for one in found]
    prompt, inputs = split_chats(chats, found)
    ideals = [one.value["ideal"] for one in found]
    targets = [ideal[0] if isinstance(ideal, list) and len(ideal) == 1 else ideal for ideal in ideals]
    kept = [key for key in dict.fromkeys(k for one in found for k in one.value) if key not in ("input", "ideal")]
    remarks = [found[0].say(f"{key} is not carried over") for key in kept]
    remarks.append(
        found[0].say("the eval's class (Match, Includes, ...) is in its registry, not in samples: check task.metric")
    )
    return _drafted(inputs, targets, prompt, remarks)


def _drafted(
    inputs: Sequence[Mapping[str, Any]], targets: Sequence[Any], prompt: Prompt, remarks: list[Remark]
) -> Draft:
    if any(isinstance(target, list) for target in targets):
        targets = [target if isinstance(target, list) else [target] for target in targets]
    kind, metric = kind_of(targets)
    rows = [Row(given, target) for given, target in zip(inputs, targets, strict=True)]
    return Draft(rows, [prompt], kind, metric, remarks=remarks)


def _chat(record: Record) -> list[dict[str, Any]]:
    given = record.value["input"]
    return [{"role": "user", "content": given}] if isinstance(given, str) else conversation(given, record)


def _of_api(defined: Sequence[Record], rows: Sequence[Record]) -> Draft:
    definition = defined[0] if defined else None
    remarks: list[Remark] = []
    if definition and not rows:
        rows = _inside(definition)
    for one in rows:
        if not isinstance(one.value, Mapping) or not isinstance(one.value.get("item"), Mapping):
            raise one.wrong("no row with an `item`")
    items = [one.value["item"] for one in rows]
    metric, target, rubric = _graded(definition, remarks)
    target = target or next((name for name in TARGETS if name in items[0]), "")
    if not target:
        raise (definition or rows[0]).wrong("no grader names the field of the right answer, {{item.NAME}}")
    fields = [name for name in items[0] if name != target]
    for item, one in zip(items, rows, strict=True):
        if target not in item or not fields or any(name not in item for name in fields):
            raise one.wrong(f"an item without {target}, or without the fields of the first")
    if any("sample" in one.value for one in rows):
        remarks.append(rows[0].say("recorded answers (`sample`) are not carried over"))
    chosen = [Row({name: _field(item[name]) for name in fields}, item[target]) for item in items]
    kind, usual = kind_of([row.target for row in chosen])
    prompt = _template(definition, fields, remarks) or _plain(fields)
    if metric in ("", "exact"):
        return Draft(chosen, [prompt], kind, usual, remarks=remarks)
    settings = {"rubric": rubric} if metric == "judge" else {}
    return Draft(chosen, [prompt], "generation", metric, settings, remarks=remarks)


def _inside(definition: Record) -> list[Record]:
    """The rows that a definition holds itself.

    :raises DataError: there are none.
    """
    source = definition.value.get("data_source") or {}
    inner = source.get("source", source) if isinstance(source, Mapping) else {}
    if not isinstance(inner, Mapping) or not inner.get("content"):
        raise definition.wrong("the definition holds no data: name the file with its JSON lines, too")
    return listed(definition.of(inner), "content")


def _field(value: Any) -> Any:
    turns = isinstance(value, list) and value and all(isinstance(one, Mapping) and "role" in one for one in value)
    return value if turns else as_text(value)


def _graded(definition: Record | None, remarks: list[Remark]) -> tuple[str, str, str]:
    """The metric, the field of the target and the rubric of the first grader that we can use; "" if it lacks one."""
    chosen = ("", "", "")
    for grader in objects_of(definition.value["testing_criteria"]) if definition else ():
        kind, name = grader.get("type"), grader.get("name") or grader.get("type")
        reference = REFERENCE.search(as_text(grader.get("reference") or ""))
        found = ("", "", "")
        if kind == "string_check" and reference and (operation := OPERATIONS.get(str(grader.get("operation")))):
            found = operation, reference[1], ""
        elif kind == "text_similarity" and reference:
            found = "token_f1", reference[1], ""
        elif kind in ("score_model", "label_model"):
            said = "\n".join(as_text(one.get("content", "")) for one in objects_of(grader.get("input")))
            reference = REFERENCE.search(said)
            found = "judge", reference[1] if reference else "", _rubric(said, grader)
        if definition and (not found[0] or chosen[0]):
            remarks.append(definition.say(f"the grader {name} is not carried over"))
        elif definition and kind != "string_check":
            remarks.append(definition.say(f"the grader {name} is {found[0]} here: check its wording and scale"))
        chosen = chosen if chosen[0] else found
    return chosen


def _rubric(said: str, grader: Mapping[str, Any]) -> str:
    text = REFERENCE.sub("the reference", said).replace("{{sample.output_text}}", "the answer")
    given = grader.get("range")
    scale = given if isinstance(given, list) and given else [0, 1]
    passing = grader.get("passing_labels")
    labels = ", ".join(map(as_text, passing)) if isinstance(passing, list) else ""
    end = f"Of the labels above these are 10: {labels}; the others are 0." if labels else ""
    return f"{text}\n{end or f'Scale the score from {scale[0]} to {scale[-1]} to 0 to 10.'}"


def _template(definition: Record | None, fields: Sequence[str], remarks: list[Remark]) -> Prompt | None:
    """The prompt of a run's `input_messages`."""
    if definition is None:
        return None
    source = definition.value.get("data_source") or {}
    given = source.get("input_messages") if isinstance(source, Mapping) else None
    messages = given.get("template") if isinstance(given, Mapping) else None
    if not isinstance(messages, list):
        return None

    def name_of(variable: str) -> str | None:
        inner = ITEM.fullmatch(variable)
        return inner[1] if inner and inner[1] in fields else None

    said = [
        (str(one.get("role")), placeholders(_text(one), name_of, definition, remarks)) for one in objects_of(messages)
    ]
    return prompt_of_messages(said, definition)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content", "")
    return as_text([content] if isinstance(content, Mapping) else content)


def _plain(fields: Sequence[str]) -> Prompt:
    shown = "\n".join(f"{name}: {{{name}}}" for name in fields) if len(fields) > 1 else f"{{{fields[0]}}}"
    return Prompt((Section("task", "task"), *FREE, Section("input", "task", shown)))


def finetune(paths: Sequence[Path]) -> Draft:
    """Conversations whose last message is the right answer; of preference data, the preferred one.

    :raises DataError: a line is no such conversation.
    """
    found = unpacked(read_all(paths), "data")
    chats, targets, kept, remarks = [], list[Any](), list[Record](), list[Remark]()
    for one in found:
        messages, answer = _conversation(one, remarks)
        if answer is None:
            remarks.append(one.say("a conversation that does not end with the assistant's message is left out"))
            continue
        chats.append(messages)
        targets.append(answer)
        kept.append(one)
    if not kept:
        raise found[0].wrong("no conversation ends with the assistant's message")
    prompt, inputs = split_chats(chats, kept)
    return _drafted(inputs, targets, prompt, list(dict.fromkeys(remarks)))


def _conversation(record: Record, remarks: list[Remark]) -> tuple[list[dict[str, Any]], str | None]:
    value = record.value
    if not isinstance(value, Mapping):
        raise record.wrong("no object")
    if "preferred_output" in value:
        remarks.append(record.say("the output that was not preferred is not carried over"))
        given = conversation(object_of(value.get("input")).get("messages"), record)
        return given, _answer(conversation(value["preferred_output"], record), record)
    if "prompt" in value and "completion" in value:
        return [{"role": "user", "content": str(value["prompt"])}], str(value["completion"])
    if "messages" not in value:
        raise record.wrong("no `messages`, no `preferred_output`, and no `prompt` with its `completion`")
    remarks += [record.say(f"{key} is not carried over") for key in value if key != "messages"]
    messages = conversation(value["messages"], record)
    messages = [one if one["role"] != "tool" else {**one, "role": "user"} for one in messages]
    return (messages[:-1], _answer(messages[-1:], record)) if messages[1:] else (messages, None)


def _answer(messages: Sequence[Mapping[str, Any]], record: Record) -> str | None:
    last = messages[-1] if messages else {"role": ""}
    return as_text(last["content"]) if last["role"] == "assistant" else None
