"""Composes requests to the models of proposers and critics, and reads their replies.

Material goes into tagged blocks (`material.py`); the instruction, whose text is a file beside the code or the user's,
comes last. Texts by people or models are inserted by exact name in one pass. Material that does not fit into the
model's context window is left out, examples first; the instruction never is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Literal

from agents.prompting.blocks import EXAMPLE, Block, Piece, fit
from protocols.answers.framing import unwrapped
from protocols.concurrency.threads import in_thread
from protocols.errors import TooLong, UnreadableReply
from protocols.model import ChatMessage, ChatModel, Finish, Reply, Request
from protocols.prompt import Prompt, Section, fill, placeholders
from protocols.task import Example, Task
from protocols.thought import without_thought
from protocols.turns import dump_turns, place_in, transcribed
from protocols.wrappers.window import spare

REPLY = 2048
"""Tokens of a reply in addition to the text that it writes, since models may think first."""
LISTS = frozenset({"examples", "knowledge"})
"""Kinds of sections whose texts are lists of items, with blank lines between them."""
PLACE = re.compile(r"\{((?:examples|passages):[1-9]\d{0,2})\}")
"""A placeholder that is filled for each input from the training examples or from a corpus."""
Sent = Literal["system", "turns", "nearest turns", "user", "tools"]
HEADINGS: Mapping[Sent, str] = {
    "system": "--- system message ---",
    "turns": "--- turns of the chat, the same for every input ---",
    "nearest turns": "--- turns of the chat, filled for each input ---",
    "user": "--- user message ---",
    "tools": "--- descriptions of tools and of the reply's fields, sent beside the messages ---",
}
"""The headings of the sections in a shown prompt by where they are sent, in the order of the messages."""
PART = re.compile(r"""<part\s+name=["']?([a-z0-9_.-]+)["']?[^<>\n]*>(.*?)</part>""", re.DOTALL)
ROLE = (
    "You write prompts for another language model, which sees nothing but the prompt and one input. It is scored on "
    "inputs that you have not seen. "
    "Write in the language of the prompt."
)
PROGRAM_ROLE = (
    "You write the prompts of a program, which asks language models several times to answer one input. "
    "The model that gets a prompt sees nothing but this prompt and the values that the program puts into it. "
    "The program's answers are scored on inputs that you have not seen. "
    "Write in the language of the prompts."
)
"""For a program with several prompts."""


def compose(
    blocks: Sequence[str | Block],
    instruction: str,
    sample: int,
    longest: int = 0,
    model: object = None,
    role: str = ROLE,
) -> Request:
    """A request of the non-empty blocks with the instruction at the end, after the system message `role`. The reply
    may have `REPLY` tokens plus one and a half times `longest`. Material that does not fit into the context window of
    `model` is left out.

    The request sets no temperature, since several models refuse one.
    """

    def request(material: Sequence[Block]) -> Request:
        body = "\n\n".join([*filter(None, map(str, material)), instruction.strip()])
        messages = (ChatMessage("system", role), ChatMessage("user", body))
        left_out = sum(block.left_out for block in material)
        return Request(messages, max_tokens=REPLY + 3 * longest // 2, sample=sample, left_out=left_out)

    given = [block if isinstance(block, Block) else Block("", [Piece(block)]) for block in blocks]
    return request(fit(given, lambda material: -spare(model, request(material))))


async def complete(model: ChatModel, composed: Callable[[], Request]) -> tuple[Request, Reply]:
    """The request that was sent, and the reply. If the request is too long for the model, it is composed and sent
    once more, since the window is then known. `composed` is called in a thread.

    :raises ModelError, BudgetExhausted: as `ChatModel.complete`.
    """
    request = await in_thread(composed)
    try:
        return request, await model.complete(request)
    except TooLong:
        if (shorter := await in_thread(composed)) == request:
            raise
    return shorter, await model.complete(shorter)


def instruction(package: str, name: str) -> str:
    """The text of the file `name` beside the module `package`."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def filled(text: str, values: Mapping[str, str]) -> str:
    """An instruction with `values` inserted at their names in braces; names with empty values are removed."""
    for name in (name for name, value in values.items() if not value):
        text = re.sub(rf" ?\{{{name}\}}", "", text)
    return fill(text, values).strip()


def show_prompt(prompt: Prompt, fields: Collection[str] = (), marked: str = "") -> Block:
    """All sections with a text, under their names in square brackets, in the order of sending and grouped by message;
    the section `marked` is in `<part>` tags, even if empty. The prompts of a program come one after the other. Worked
    examples and passages may be left out one by one, like other examples. `fields`: the placeholders."""
    pieces: list[Piece] = []
    for name in prompt.names:
        pieces += [Piece(f"=== the prompt {name} ===", gap="\n")] if name else []
        for where, heading in HEADINGS.items():
            sections = [s for s in prompt if s.prompt == name and sent_in(s, fields) == where]
            shown = [piece for section in sections for piece in _pieces(section, section.name == marked)]
            pieces += [Piece(heading, gap="\n"), *shown] if shown else []
    return Block("prompt", pieces)


def _pieces(section: Section, marked: bool) -> Iterator[Piece]:
    if not section.text and not marked:
        return
    listed = section.kind in LISTS
    texts = section.text.split("\n\n") if listed else [section.text]
    if section.turns:
        texts = [dump_turns(pair) for pair in zip(section.turns[::2], section.turns[1::2], strict=True)]
    opening = f'<part name="{section.name}" kind="{section.kind}">' if marked else f"[{section.name}]"
    yield Piece(opening, gap="\n")
    for n, text in enumerate(filter(None, texts)):
        yield Piece(text, EXAMPLE if listed else None, "\n\n" if n else "\n")
    if marked:
        yield Piece("</part>", gap="\n")


def sent_in(section: Section, fields: Collection[str]) -> Sent:
    """The message in which a section is sent, see `Prompt.render`; `tools` if it is in none."""
    if section.kind == "tool":
        return "tools"
    if section.form == "turns":
        return "nearest turns" if place_in(section.text) else "turns"
    varies = placeholders(section.filled, fields) or PLACE.search(section.filled)
    return "user" if varies or section.form == "input" else "system"


def key_of(inputs: Mapping[str, str]) -> str:
    """The retrieval key of an example: its inputs, independent of their order."""
    return show_inputs(dict(sorted(inputs.items())))


def show_inputs(inputs: Mapping[str, str]) -> str:
    """`Input: ...` for one field, `Input (field): ...` for each of several."""
    if len(inputs) == 1:
        return f"Input: {indent(*inputs.values())}"
    return "\n".join(f"Input ({field}): {indent(value)}" for field, value in inputs.items())


def indent(text: str) -> str:
    """The text with continuation lines indented, so that they belong visibly to their record."""
    return text.strip().replace("\n", "\n  ")


def read_tagged(reply: str, tag: str, finish: Finish = "stop", empty: bool = False) -> str:
    """The text between the last `<tag>` and `</tag>` outside of the reply's thought, without line ends next to the
    tags and without a fence or backticks around the whole text. `empty`: the text may be empty.

    :raises UnreadableReply: no such pair of tags, nothing between them, or no valid Unicode.
    """
    found = _between(without_thought(reply, finish, tag), tag)
    if found is None:
        raise UnreadableReply(f"the reply has no text between <{tag}> and </{tag}>")
    return _text(found, tag, empty)


def read_parts(reply: str, names: Collection[str], finish: Finish = "stop") -> dict[str, str]:
    """The texts between `<part name="...">` and `</part>` outside of the reply's thought, by name, for those of
    `names` that occur; the last text of a name counts.

    :raises UnreadableReply: there is no such part, or a text is no valid Unicode.
    """
    told = without_thought(reply, finish, "part")
    parts = {name: _text(text, "part", empty=True) for name, text in PART.findall(told) if name in names}
    if not parts:
        raise UnreadableReply('the reply has no text between <part name="..."> and </part>')
    return parts


def read_drafts(reply: str, finish: Finish = "stop") -> list[str]:
    """The distinct texts of all pairs of `<new>` tags outside of the reply's thought; of those alone that begin a
    line, if any does, for in the middle of one a tag may be spoken of.

    :raises UnreadableReply: there is no text, or one is no valid Unicode.
    """
    told = without_thought(reply, finish, "new")
    begins = r"^[ \t]*(?:(?:[-*•]|\d+[.)])[ \t]+)?<new>"
    found = re.findall(rf"{begins}((?:(?!{begins}).)*?)</new>", told, re.DOTALL | re.MULTILINE)
    found = found or re.findall(r"<new>((?:(?!<new>).)*?)</new>", told, re.DOTALL)
    texts = list(dict.fromkeys(text for draft in found if (text := _text(draft, "new", empty=True)).strip()))
    if not texts:
        raise UnreadableReply("the reply has no text between <new> and </new>")
    return texts


def _text(found: str, tag: str, empty: bool) -> str:
    """The text between tags, cleaned.

    :raises UnreadableReply: see `read_tagged`.
    """
    text = unwrapped(found).strip("\r\n").rstrip()
    if not text.strip() and not empty:
        raise UnreadableReply(f"the reply has nothing between <{tag}> and </{tag}>")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UnreadableReply("the reply is not valid Unicode: it holds half of a surrogate pair")
    return text if text.strip() else ""


def _between(text: str, tag: str) -> str | None:
    """The content of the last pair of tags; None if there is none. Tags inside backticks are only mentions."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    body, closed, rest = text.rpartition(closing)
    if not closed or opening not in body:
        return None
    _, _, last = body.rpartition(closing)
    begun = last if opening in last else body  # else the earlier closing tag is a part of the text
    head, _, inside = begun.partition(opening)
    while inside.startswith("`") and head.endswith("`") and opening in inside:
        head, _, inside = inside.partition(opening)  # `<tag>` is mentioned before it is used
    if inside.startswith("`") and inside.endswith("`") and head.endswith("`") and rest.startswith("`"):
        return inside[1:-1]
    return inside


def show_example(prompt: Prompt, task: Task, example: Example) -> str:
    """A worked example in the prompt's own format: the sections from the line of their first placeholder on, filled,
    then the answer, after the colon that ends the format or else after `Answer:`. Blank lines are removed, since they
    separate examples."""
    inputs = {field: value.strip() for field, value in example.inputs.items()}
    return framed(prompt, inputs, task.kind.show(example.target))


def framed(prompt: Prompt, inputs: Mapping[str, str], answer: str) -> str:
    """As `show_example`, for these values and this answer."""
    frames, separator = [], ""
    for section in prompt:
        lines = section.filled.split("\n")
        first = next((n for n, line in enumerate(lines) if placeholders(line, inputs)), None)
        if first is not None:
            frames.append(fill("\n".join(lines[first:]), inputs).rstrip())
            separator = " " if section.text.rstrip().endswith((":", "：")) else "\nAnswer: "
    return re.sub(r"\n\s*\n", "\n", "\n".join(frames) + separator + answer.strip())


def show_turns(
    prompt: Prompt, task: Task, example: Example, reply: str | None = None
) -> tuple[ChatMessage, ChatMessage]:
    """A worked example as turns: the user message that the prompt sends for it, without worked examples and
    placeholders for them, and with conversations as transcripts; then `reply`, or else a full reply with the right
    answer. Images are in it, but not in what `dump_turns` writes."""
    replied = task.kind.replied(example.target) if reply is None else reply
    return turned(prompt, task, transcribed(example.inputs), replied)


def turned(prompt: Prompt, task: Task, inputs: Mapping[str, str], reply: str) -> tuple[ChatMessage, ChatMessage]:
    """As `show_turns`, for these values."""
    asked = Prompt(tuple(_without_places(section, task) for section in prompt))
    user = [message for message in asked.template(inputs).render(inputs) if message.speaker == "user"]
    question = user[0] if user else ChatMessage("user", show_inputs(inputs))
    return question, ChatMessage("assistant", reply)


def _without_places(section: Section, task: Task) -> Section:
    """The section as a worked example shows it: empty if it holds worked examples or varies only by what is filled in
    at `PLACE`, else without the lines that hold nothing else."""
    if section.kind == "examples":
        return replace(section, text="")
    if not PLACE.search(section.text):
        return section
    if not placeholders(section.text, task.placeholders):
        return replace(section, text="")
    lines = [(line, PLACE.sub("", line)) for line in section.text.split("\n")]
    return replace(section, text="\n".join(bare for line, bare in lines if bare.strip() or bare == line).strip("\n"))
