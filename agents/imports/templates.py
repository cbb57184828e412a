"""Prompts in the notation `{{name}}`, as sections of ours, whose placeholders are `{name}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from agents.imports.draft import FREE, SYSTEM, as_text
from agents.imports.reading import Record, Remark
from protocols.errors import DataError, PromptError
from protocols.model import ChatMessage
from protocols.prompt import NAMED, Prompt, Section
from protocols.turns import dump_turns

TAG = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
WORD = re.compile(r"[^\W\d][\w.]*")


def placeholders(text: str, name_of: Callable[[str], str | None], record: Record, remarks: list[Remark]) -> str:
    """The text with variables as placeholders. `name_of` gives a variable's field, or None for none that we know.
    What is no plain variable is left as it stands, and said in `remarks`."""

    def replaced(found: re.Match[str]) -> str:
        inner = found[1] or ""
        field = name_of(inner) if WORD.fullmatch(inner) else None
        if field is None:
            remarks.append(record.say(f"{found[0]!r} is more than a variable, and was left as text"))
            return found[0]
        return f"{{{field}}}"

    plain = {name for name in NAMED.findall(TAG.sub("", text)) if name_of(name) is not None}
    remarks += [
        record.say(f"{{{name}}} was plain text, and is a placeholder now: write it in another way")
        for name in sorted(plain)
    ]
    return TAG.sub(replaced, text)


def prompt_of_messages(messages: Sequence[tuple[str, Any]], record: Record) -> Prompt:
    """A prompt of a chat's roles and contents, with placeholders in them. Its last message of the user has a section
    of its own; turns before it are worked examples.

    :raises DataError: the roles are no such chat.
    """
    said = [(role, as_text(content)) for role, content in messages]
    systems = [text for role, text in said if role in SYSTEM]
    turns = [(role, text) for role, text in said if role not in SYSTEM]
    if not turns or turns[-1][0] != "user":
        raise record.wrong("a prompt whose last message is not the user's")
    *before, (_, last) = turns
    spoken = [ChatMessage("user" if role == "user" else "assistant", text) for role, text in before]
    try:
        shown = Section("examples", "examples", dump_turns(spoken), form="turns") if spoken else FREE[1]
        task = Section("task", "task", "\n\n".join(systems))
        return Prompt((task, FREE[0], shown, FREE[2], Section("input", "task", last, form="input")))
    except PromptError as error:
        raise DataError(error.reason, file=record.file, line=record.line) from None
