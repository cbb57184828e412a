"""Words: how many a text has, and how many somebody is told that it may have."""

from __future__ import annotations

import re

from protocols.metrics.text import TOKEN, UNSPACED
from protocols.task import Task

CHARACTER = re.compile(f"[{UNSPACED}]")
"""One of a script without spaces."""
PER_WORD = 2
"""Such characters that are as much as a word."""
LOOKED_AT = 20
"""Training examples by which the script of a task is told."""


def count_words(text: str) -> int:
    """The words of a text; two characters of a script without spaces are one."""
    found = TOKEN.findall(text)
    characters = sum(CHARACTER.match(token) is not None for token in found)
    return max(len(text.split()), len(found) - characters + characters // PER_WORD)


def at_most(words: int, task: Task) -> str:
    """So many words, or the characters that are as much where the task's texts have no spaces."""
    texts = "".join("".join(example.inputs.values()) for example in task.train[:LOOKED_AT])
    if 2 * len(CHARACTER.findall(texts)) > len(texts):
        return f"At most {PER_WORD * words} characters."
    return f"At most {words} words."
