"""Whatever a model replies to an operator: an edit that keeps the prompt whole, or a failure of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.operators.operator import Operator
from agents.prompting.retrieval_slots import places
from protocols.errors import EditRejected, UnreadableReply
from protocols.model import Reply, Request
from protocols.prompt import Prompt, placeholders
from tests.agents.operators.test_operators import PROMPT, WRITERS, assignment, context
from tests.strategies import texts
from tests.world import TASK, one

AT_MOST = 2
"""Calls of one edit, its repair included."""

FOREIGN = ("Немає відповіді", "这个部分应该更短。", "لا أعرف", "わかりません {text}", "😀" * 5)
parts = st.one_of(
    texts,
    st.sampled_from(
        [*FOREIGN, "{text}", "{text}{text}", "{examples:4}", "{passages:2}", "{field}", "\ud83d", "\x00\x1b[31m"]
    ),
    st.sampled_from(
        ["<new>", "</new>", "\n<new>", "<NEW>", "</ new>", "<new", "<errors>", "</part>", '<part name="task">', "```"]
    ),
    st.integers(0, 7),  # a sentence of the instruction, by its number
    st.builds(lambda size: "huge {a} " * size, st.sampled_from([1_000, 10_000])),
)
replies = st.lists(st.lists(parts, max_size=5), min_size=1, max_size=AT_MOST)
tagged = st.booleans()


@dataclass
class Malformed:
    """Replies in turn, made of `parts`; a number stands for a sentence of the instruction."""

    replies: list[list[str | int]]
    tagged: bool
    name: str = "malformed"
    asked: list[Request] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        said = self.replies[len(self.asked) % len(self.replies)]
        self.asked.append(request)
        sentences = re.split(r"(?<=[.:])\s", request.messages[-1].text.rpartition("\n\n")[2])
        text = "".join(part if isinstance(part, str) else sentences[part % len(sentences)] for part in said)
        return Reply(f"<new>{text}</new>" if self.tagged else text)


@pytest.mark.parametrize(("operator", "section"), WRITERS)
@given(said=replies, tagged=tagged)
@settings(max_examples=20, deadline=None)
def test_a_malformed_reply_is_an_edit_that_keeps_the_prompt_whole_or_a_failure(
    operator: Operator, section: str, said: list[list[str | int]], tagged: bool
) -> None:
    model = Malformed(said, tagged)

    async def edit() -> Prompt | None:
        try:
            return one(await operator.edit(assignment(section), context(model)))
        except (EditRejected, UnreadableReply):
            return None

    prompt = anyio.run(edit)
    assert 1 <= len(model.asked) <= AT_MOST
    if prompt is None:
        return
    assert [s for s in prompt if s.name != section] == [s for s in PROMPT if s.name != section]
    before, after = PROMPT[section].text, prompt[section].text
    after.encode("utf-8")
    assert after or getattr(operator, "may_be_empty", False)
    assert placeholders(after, TASK.fields) == placeholders(before, TASK.fields)
    assert places(after) == places(before)
    for leak in ("Then write the whole new text", "write each of the three versions", "<errors>", "<new>", "</new>"):
        assert leak not in after


@pytest.mark.parametrize(("operator", "section"), WRITERS)
@pytest.mark.parametrize("text", FOREIGN)
def test_another_language_is_an_edit_like_any(operator: Operator, section: str, text: str) -> None:
    """Which language serves a task is for the race to say."""
    plain = text.replace("{text}", "")
    said = f"{plain} {{text}}" if section == "task" else plain
    prompt = one(anyio.run(operator.edit, assignment(section), context(Malformed([[said]], tagged=True))))
    assert prompt[section].text == said.rstrip()


@pytest.mark.parametrize(("operator", "section"), WRITERS)
def test_a_reply_that_was_cut_off_is_no_edit(operator: Operator, section: str) -> None:
    """Its text would be half of one: the closing tag is missing."""
    cut = Malformed([["<new>", "all is said {text} " * 2000]], tagged=False)
    with pytest.raises(UnreadableReply):
        anyio.run(operator.edit, assignment(section), context(cut))


@pytest.mark.parametrize(("operator", "section"), WRITERS)
def test_a_long_section_has_room_in_the_reply_and_in_the_bound(operator: Operator, section: str) -> None:
    words = " ".join(f"w{number}" for number in range(3000))
    prompt = PROMPT.edit(section, f"{words} {{text}}" if section == "task" else words, TASK.fields)
    model = Malformed([["no tags"]], tagged=False)
    with pytest.raises(UnreadableReply):
        anyio.run(operator.edit, assignment(section, prompt=prompt), context(model))
    request = model.asked[0]
    assert request.max_tokens > prompt[section].text.count(" ") * 2
    assert words in request.messages[-1].text, "nothing is cut where it is edited"
