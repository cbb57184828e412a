"""Hypothesis strategies for our own types, with the text that breaks other people's prompts."""

from __future__ import annotations

from hypothesis import strategies as st

from protocols.prompt import KINDS, Prompt, Section

FIELDS = ("text", "question")

BRACES = ["{text}", "{question}", "{other}", "{{text}}", "{", "}", "{}", "{0}", "%s", "$x", '{"a": 1}', "</new>"]
LINES = ["\\", "===", "\\===", "=== task (task) ===", "\n", "\r\n", "\r", "\t", " ", "\x00", "\u2028", "\ufeff"]
SCRIPTS = ["付款", "😀", "é", "\u202e"]
hostile = st.sampled_from([*BRACES, *LINES, *SCRIPTS])
texts = st.lists(hostile | st.text(max_size=8), max_size=8).map("".join)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)
sections = st.builds(Section, name=names, kind=st.sampled_from(KINDS), text=texts, frozen=st.booleans())
prompts = st.lists(sections, min_size=1, max_size=6, unique_by=lambda s: s.name).map(lambda s: Prompt(tuple(s)))
