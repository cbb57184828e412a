"""A task made from other tools' files, before it is written: its examples, prompt and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.beginning.columns import columns_of
from agents.beginning.guess import LABEL, is_closed
from agents.imports.reading import Record, Remark
from protocols.answers.numbers import is_number
from protocols.errors import DataError, PromptError
from protocols.model import ChatMessage
from protocols.prompt import Prompt, Section, names_in
from protocols.task import KindName
from protocols.turns import dump_turns

SYSTEM = ("system", "developer")
FREE = (Section("reasoning", "reasoning"), Section("examples", "examples"), Section("format", "format"))
"""Empty sections that a search may fill."""
RUBRIC = (
    "10: the answer says what the reference says, as helpfully. 5: it misses or adds something that matters. "
    "0: it is wrong, or does not help."
)
"""For recorded answers, which are good examples, and not the only right ones."""


@dataclass(slots=True)
class Row:
    """An example."""

    input: Mapping[str, Any]
    target: Any


@dataclass(slots=True)
class Draft:
    """A task. `prompts`: the first is the one to train. `kind`, `metric`: "" where the targets decide. `settings`:
    more keys of `[task]`. `model`: "" if the files name none that we know. `remarks`: what could not be carried over,
    by line. `beside`: more files by their names."""

    rows: list[Row]
    prompts: list[Prompt]
    kind: KindName | Literal[""] = ""
    metric: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    model: str = ""
    remarks: list[Remark] = field(default_factory=list)
    beside: dict[str, bytes] = field(default_factory=dict)


def kind_of(targets: Sequence[Any]) -> tuple[KindName, str]:
    """The kind and the metric for targets of which nothing else is known. A list is one of accepted texts, as in
    these tools' files."""
    if all(isinstance(target, str) for target in targets):
        if all(map(str.strip, targets)) and is_closed(columns_of([{"target": target} for target in targets])[0]):
            return "classification", "accuracy"
        if all(map(is_number, targets)):
            return "reasoning", "numeric"
        return "generation", "exact" if all(len(target) <= LABEL for target in targets) else "token_f1"
    if all(isinstance(target, list) and all(isinstance(one, str) for one in target) for target in targets):
        return "reading", "exact"
    return "generation", "exact"


def conversation(value: Any, record: Record) -> list[dict[str, Any]]:
    """The messages of a list of them, as they can be the value of an input field.

    :raises DataError: it is none.
    """
    if not isinstance(value, list) or not all(isinstance(one, Mapping) and "role" in one for one in value):
        raise record.wrong('no list of messages, {"role": ..., "content": ...}')
    return [{"role": _role(one), "content": _content(one, record)} for one in value]


def _role(message: Mapping[str, Any]) -> str:
    """The role; `name` marks worked examples in system messages (OpenAI's cookbook, `example_user`)."""
    named = str(message.get("name") or "")
    return {"example_user": "user", "example_assistant": "assistant"}.get(named, str(message["role"]))


def _content(message: Mapping[str, Any], record: Record) -> Any:
    """The content, with what a message has called or been answered by tools as text."""
    said = message.get("content")
    if calls := message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else []):
        return f"{said or ''}\n{calls_of(calls, record)}".strip()
    if isinstance(said, list) and len(said) == 1 and isinstance(said[0], Mapping) and "text" in said[0]:
        return said[0]["text"]
    return "" if said is None else said


def calls_of(calls: Any, record: Record) -> str:
    """Calls of tools in one line, as `show_calls` writes them.

    :raises DataError: they are none.
    """
    try:
        made = [call.get("function", call) for call in calls]
        listed = [{"name": call["name"], "arguments": _arguments(call.get("arguments"))} for call in made]
    except (AttributeError, KeyError, TypeError):
        raise record.wrong("calls of tools that cannot be read") from None
    return json.dumps(listed, ensure_ascii=False)


def _arguments(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text or {}
    except json.JSONDecodeError:
        return text


def common_start(chats: Sequence[list[dict[str, Any]]]) -> int:
    """How many messages at the beginning are the same in all conversations: system messages, then, if there are
    several conversations, whole pairs of turns; the last message of a conversation is none of them."""
    first, most = chats[0], min(map(len, chats)) - 1
    same = next((n for n in range(most) if any(chat[n] != first[n] for chat in chats)), most)
    roles = [message["role"] for message in first[:same]]
    start = next((n for n, role in enumerate(roles) if role not in SYSTEM), same)
    while len(chats) > 1 and roles[start : start + 2] == ["user", "assistant"]:
        start += 2
    return start


def split_chats(
    chats: Sequence[list[dict[str, Any]]], records: Sequence[Record]
) -> tuple[Prompt, list[Mapping[str, Any]]]:
    """A prompt of what all conversations begin with, and the inputs that differ: a text, where all end with one
    message of the user, or else the rest of the conversation.

    :raises DataError: a conversation has no message.
    """
    for chat, record in zip(chats, records, strict=True):
        if not chat:
            raise record.wrong("a conversation without messages")
    start = common_start(chats)
    rests = [chat[start:] for chat in chats]
    one = all(len(rest) == 1 and rest[0]["role"] == "user" and isinstance(rest[0]["content"], str) for rest in rests)
    before = prompt_of(chats[0][:start], "")
    name = free_name(before, "text" if one else "chat")
    inputs: list[Mapping[str, Any]] = [{name: rest[0]["content"] if one else rest} for rest in rests]
    return prompt_of(chats[0][:start], f"{{{name}}}"), inputs


def free_name(prompt: Prompt, wanted: str) -> str:
    """A name for a field that no text in braces of the prompt has."""
    return wanted if wanted not in names_in(prompt) else free_name(prompt, f"{wanted}_")


def prompt_of(messages: Sequence[Mapping[str, Any]], shown: str) -> Prompt:
    """A prompt of fixed messages, with a section for the input; `shown` is its text.

    :raises DataError: a fixed message is no text, or the messages are no pairs of turns.
    """
    systems = [as_text(m["content"]) for m in messages if m["role"] in SYSTEM]
    turns = [ChatMessage(m["role"], as_text(m["content"])) for m in messages if m["role"] not in SYSTEM]
    sections = [Section("task", "task", "\n\n".join(systems)), FREE[0]]
    try:
        sections.append(Section("examples", "examples", dump_turns(turns), form="turns") if turns else FREE[1])
        return Prompt((*sections, FREE[2], Section("input", "task", shown)))
    except PromptError as error:
        raise DataError(error.reason) from None


def as_text(value: Any) -> str:
    """A text unchanged, the texts of parts below each other, anything else as JSON."""
    if isinstance(value, list) and all(
        isinstance(one, Mapping) and isinstance(one.get("text"), str) for one in value
    ):
        return "\n".join(one["text"] for one in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
