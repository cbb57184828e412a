"""Separates the answer in a reply from the model's reasoning ("thought") around it.

Only this module knows how models mark their reasoning. Every reader of a reply (a task's parser, a judge's grade, a
critique, a proposal) calls it first.
"""

from __future__ import annotations

import re

from protocols.errors import UnreadableReply
from protocols.model import Finish

INCOMPLETE: frozenset[Finish] = frozenset({"length", "refusal"})
"""Ends of an incomplete reply, in which the last name need not be the answer."""
_NAMES = r"(?:[a-z]{1,12}:)?(?:think|thinking|thoughts?|reasoning|reflection|scratch_?pad|antthinking)"
_OPENS = (
    rf"<\s*{_NAMES}(?:\s[^<>\n]*)?>|\[\s*think\s*\]|◁\s*think\s*▷"
    r"|<\|start_thinking\|>|<\|begin_of_thought\|>|<\|?channel\|?>\s*(?:analysis|commentary|thought)\b"
    r"|<\|thinking\|>|\A\s*analysis(?=[A-Z])"  # the last: harmony whose special tokens a server has dropped
)
_CLOSES = (
    rf"<\s*/\s*{_NAMES}\s*>|\[\s*/\s*think\s*\]|◁\s*/\s*think\s*▷"
    r"|<\|end_thinking\|>|<\|end_of_thought\|>|<\|channel\|>\s*final\b[^<\n]*(?:<\|message\|>)?|<channel\|>"
    r"|<\|/thinking\|>|assistantfinal"
)
_TAGS = re.compile(rf"(?P<open>(?i:{_OPENS}))|(?P<close>(?i:{_CLOSES}))".replace("(?=[A-Z])", "(?-i:(?=[A-Z]))"))
_END = re.compile(r"(?:<\|[a-z_]{2,24}\|>|</s>|<(?:eos|end_of_turn)>)\Z")
_LONGEST = 32
_TURN = re.compile(r"<\|start\|>\s*assistant\s*\Z")
_HEAD = re.compile(r"\A\s*(?:<\|(?:begin_of_solution|start_response|message|start|assistant)\|>\s*)+")


def without_thought(reply: str, finish: Finish = "stop", tag: str = "") -> str:
    """The answer in a reply: the text after the last closed thought, without a later thought that is not closed. The
    opening tag may be missing, because some chat templates write it themselves.

    A thought tag in backticks is a mention and does not count. With `tag`, neither does a thought tag between `<tag>`
    and `</tag>`: a proposed prompt may ask for `<think>`.

    If nothing follows the last thought, the answer is the text before it: some models give their reasons last.

    :raises UnreadableReply: the reply ended inside its thought, or is nothing but thought.
    """
    begin, opened, earlier = _bounds(reply, tag)
    if opened is not None and (finish in INCOMPLETE or _begins_line(reply, opened)):
        if finish in INCOMPLETE or not reply[begin:opened].strip():
            raise UnreadableReply("the reply ended inside its thought, before any answer")
        return _trimmed(reply[begin:opened])
    if begin and not _trimmed(reply[begin:]).strip():
        if not earlier.strip() or finish in INCOMPLETE:
            raise UnreadableReply("the reply is all thought, and holds no answer")
        return earlier
    return _trimmed(reply[begin:])


def _bounds(reply: str, tag: str) -> tuple[int, int | None, str]:
    """The end of the last closed thought (0: none), the start of a later unclosed one (None: none), and the last text
    before a thought that is opened and closed ("": none)."""
    begin, depth, inner, earlier = 0, 0, 0, ""
    opened: int | None = None
    closed: int | None = None  # end of the last closing tag at depth > 0: the thought may quote an opening tag
    answering = False
    for mark in _marks(reply, tag):
        kind = mark.lastgroup
        if kind == "begin":
            answering = answering or not depth
        elif kind == "end":
            answering, inner = False, 0
        elif answering and kind == "open":
            inner += 1
        elif answering and inner:
            inner -= 1
        elif kind == "open":
            opened = mark.start() if not depth else opened
            depth += 1
        else:
            depth, closed = max(0, depth - 1), mark.end()
            if not depth:
                earlier = _before(reply, begin, opened, earlier)
                begin, opened, closed, answering, inner = mark.end(), None, None, False, 0
    if closed is None:
        return begin, opened, earlier
    return closed, None, _before(reply, begin, opened, earlier)


def _before(reply: str, begin: int, opened: int | None, earlier: str) -> str:
    """The answer before a closed thought: `earlier` if there is no text between this thought and the previous one; ""
    if no tag opened it, because then everything before it is thought."""
    if opened is None:
        return ""
    return _trimmed(_TURN.sub("", reply[begin:opened])).strip() or earlier


def _marks(reply: str, tag: str) -> list[re.Match[str]]:
    """The thought tags outside backticks, and the opening and closing `tag`, in order."""
    marks = [mark for mark in _TAGS.finditer(reply) if not _quoted(reply, mark)]
    if tag and marks:
        name = re.escape(tag)
        marks += re.compile(rf"(?P<begin><{name}>)|(?P<end></{name}>)").finditer(reply)
        marks.sort(key=re.Match.start)
    return marks


def _quoted(reply: str, mark: re.Match[str]) -> bool:
    return reply[mark.start() - 1 : mark.start()] == "`" and reply[mark.end() : mark.end() + 1] == "`"


def _begins_line(reply: str, place: int) -> bool:
    return not reply[reply.rfind("\n", 0, place) + 1 : place].strip()


def _trimmed(answer: str) -> str:
    """The answer without special tokens that a server left around it, and the white space beside them."""
    while mark := _END.search(answer, max(0, len(answer.rstrip()) - _LONGEST), len(answer.rstrip())):
        answer = answer[: mark.start()].rstrip()
    return _HEAD.sub("", answer)
