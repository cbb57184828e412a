"""Every instruction is prose for a language model: no template, and nothing in braces that nobody fills."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import agents

FILLED = {"part", "use", "clause", "cover", "explain", "beside", "unharmed", "causes", "parts", "first", "measured"}
"""The names that the critic and the operators fill."""
FILES = sorted(path for path in Path(agents.__file__).parent.rglob("*.txt"))
TEMPLATE = re.compile(r"<[^<>]*>|^\s*(?:[-*]|\d+\.)\s|\[[^\]{]+\]|\.\.\.|…", re.MULTILINE)
"""What only a program that was made for it would follow: a form to be filled in, line by line."""
TAGS = {"<first>", "<second>"}
"""Blocks of a request that an instruction speaks of."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_instruction_holds_no_template(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(TEMPLATE.findall(text)) <= TAGS
    assert set(re.findall(r"[{}]", re.sub(r"\{(\w+)\}", "", text))) == set()
    assert set(re.findall(r"\{(\w+)\}", text)) <= FILLED
    assert 30 <= len(text.split()) <= 230


def test_there_are_instructions_for_all_who_write() -> None:
    assert {path.stem for path in FILES} == {
        "critic", "critic_program", "rewrite", "drafts", "contrast", "simplify", "describe", "contract",
        "contract_inner", "restart",
    }  # fmt: skip
