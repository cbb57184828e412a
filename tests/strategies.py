"""Hypothesis strategies for our own types, with the text that breaks other people's prompts."""

from __future__ import annotations

from hypothesis import strategies as st

from protocols.model import ChatMessage
from protocols.prompt import KINDS, Prompt, Section
from protocols.turns import dump_turns

FIELDS = ("text", "question")

BRACES = ["{text}", "{question}", "{other}", "{{text}}", "{", "}", "{}", "{0}", "%s", "$x", '{"a": 1}', "</new>"]
LINES = ["\\", "===", "\\===", "=== task (task) ===", "\n", "\r\n", "\r", "\t", " ", "\x00", "\u2028", "\ufeff"]
HEADERS = ["--- user ---", "\n--- assistant ---\n", "\\--- user ---", "---System---", "- user -\r", "--- user"]
SCRIPTS = ["付款", "😀", "é", "\u202e"]
hostile = st.sampled_from([*BRACES, *LINES, *HEADERS, *SCRIPTS])
texts = st.lists(hostile | st.text(max_size=8), max_size=8).map("".join)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)
spoken = texts.filter(str.strip)
pairs = st.tuples(spoken, spoken).map(lambda said: (ChatMessage("user", said[0]), ChatMessage("assistant", said[1])))
conversations = st.lists(pairs, max_size=3).map(lambda said: tuple(turn for pair in said for turn in pair))
texts_of_sections = st.builds(
    Section,
    name=names,
    kind=st.sampled_from([kind for kind in KINDS if kind != "tool"]),
    text=texts,
    frozen=st.booleans(),
    form=st.sampled_from(["system", "input"]),
)
sections_of_turns = st.builds(
    Section,
    name=names,
    kind=st.just("examples"),
    text=conversations.map(dump_turns) | st.sampled_from(["{examples:1}", "{examples:12}", " {examples:3}\n"]),
    frozen=st.booleans(),
    form=st.just("turns"),
)
sections = texts_of_sections | sections_of_turns
prompts = st.lists(sections, min_size=1, max_size=6, unique_by=lambda s: s.name).map(lambda s: Prompt(tuple(s)))


class Near(dict[str, str]):
    """Inputs that know one pair of turns for every place."""

    def turns(self, place: str) -> tuple[ChatMessage, ...]:
        return ChatMessage("user", f"near {place}"), ChatMessage("assistant", "{text}")
