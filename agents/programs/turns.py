"""The messages of a call: ours, or as OpenAI's or Anthropic's format has them, with calls and results of tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from protocols.data.values.inputs import read_input
from protocols.data.values.pictures import Pictures
from protocols.errors import ProgramFailed
from protocols.model import ChatMessage, ToolCall, spoken
from protocols.program import SPEAKERS, Turn
from protocols.providers.responses.chat_reply import arguments_of
from protocols.turns import parts_of

TEXTS: Final = frozenset({"text", "input_text", "output_text"})
THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
BETWEEN: Final = "\n"
"""Between the texts of a message in several parts."""
FORM: Final = (
    'a message is {"role": "system" | "user" | "assistant" | "tool", "content": "..."}, or what render() gives'
)


def as_messages(turns: Sequence[Turn]) -> tuple[ChatMessage, ...]:
    """The messages of a call. One that holds several results of tools becomes several; an assistant's turns with
    calls become one with the turn of the assistant before.

    :raises ProgramFailed: one cannot be read, or is the result of a call that no message before makes.
    """
    messages: list[ChatMessage] = []
    for turn in turns:
        if isinstance(turn, ChatMessage):
            messages.append(turn)
            continue
        for message in _read(turn):
            if message.calls:
                _add(messages, message)
            else:
                messages.append(message)
    return tuple(messages)


def _add(messages: list[ChatMessage], message: ChatMessage) -> None:
    """Add a message with calls, or with a result, whose call is found by its id."""
    if message.speaker == "tool":
        messages.append(replace(message, calls=(_called(messages, message.calls[0].id),)))
    elif messages and messages[-1].speaker == "assistant":
        text = BETWEEN.join(filter(None, (messages[-1].text, message.text)))
        messages[-1] = ChatMessage("assistant", text, calls=messages[-1].calls + message.calls)
    else:
        messages.append(message)


def _called(messages: Sequence[ChatMessage], identity: str) -> ToolCall:
    """:raises ProgramFailed: there is no such call."""
    for message in reversed(messages):
        for call in message.calls if message.speaker == "assistant" else ():
            if call.id == identity:
                return call
    raise ProgramFailed(f"a message is the result of the tool call {identity!r}, and no message before it makes it")


def _read(turn: Mapping[str, object]) -> Iterator[ChatMessage]:
    """:raises ProgramFailed: see `as_messages`."""
    match turn:
        case {"role": str(role), "content": str(text)} if role in SPEAKERS and not turn.get("tool_calls"):
            yield ChatMessage(SPEAKERS[role], text)
        case {"role": "tool", "tool_call_id": str(identity), **more}:
            yield _result(identity, more.get("content"))
        case {"role": "assistant", "tool_calls": list(calls), **more} if calls:
            yield ChatMessage("assistant", _text(more.get("content") or ""), calls=tuple(map(_call, calls)))
        case {"role": "user", "content": list(content)}:
            yield from _parts(content)
        case {"role": "assistant", "content": list(content)}:
            yield _blocks(content)
        case _:
            raise ProgramFailed(FORM)


def _parts(content: Sequence[object]) -> Iterator[ChatMessage]:
    """The results of tools in a turn of the user, then the rest of it: texts and images.

    :raises ProgramFailed: a part cannot be read.
    """
    rest: list[object] = []
    for part in content:
        match part:
            case {"type": "tool_result", "tool_use_id": str(identity), **more}:
                yield _result(identity, more.get("content") or "")
            case _:
                rest.append(part)
    if not rest and content:
        return
    try:
        yield spoken("user", parts_of(read_input(rest, Pictures(Path()))))
    except ValueError as error:
        raise ProgramFailed(f"a message of the user in parts {error}") from None


def _blocks(content: Sequence[object]) -> ChatMessage:
    """A turn of the assistant in blocks of text, of thought, which is left out, and of calls.

    :raises ProgramFailed: a block is something else.
    """
    texts: list[object] = []
    calls: list[ToolCall] = []
    for block in content:
        match block:
            case {"type": "tool_use", "id": str(identity), "name": str(name), **more}:
                calls.append(ToolCall(name, arguments_of(more.get("input")), identity))
            case {"type": str(kind)} if kind in THOUGHTS:
                pass
            case _:
                texts.append(block)
    return ChatMessage("assistant", _text(texts), calls=tuple(calls))


def _call(entry: object) -> ToolCall:
    """:raises ProgramFailed: it calls no function."""
    match entry:
        case {"function": {"name": str(name), **told}, **more}:
            identity = more.get("id")
            return ToolCall(name, arguments_of(told.get("arguments")), identity if isinstance(identity, str) else "")
    raise ProgramFailed(
        'a call of a tool is {"id": "...", "type": "function", "function": {"name": "...", "arguments": "{...}"}}'
    )


def _result(identity: str, content: object) -> ChatMessage:
    """:raises ProgramFailed: it is no text."""
    return ChatMessage("tool", _text(content), calls=(ToolCall("", id=identity),))


def _text(content: object) -> str:
    """A text, or several parts of text, as one.

    :raises ProgramFailed: it is something else.
    """
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        match part:
            case {"type": str(kind), "text": str(text)} if kind in TEXTS:
                texts.append(text)
            case _:
                raise ProgramFailed("what an assistant or a tool says is a text, or a list of parts of text")
    return BETWEEN.join(texts)
