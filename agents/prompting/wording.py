"""How instructions are worded: the sentence that depends on the kind of task and on what a section is for, and the
words that a text may have."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from protocols.prompt import Kind
from protocols.task import KindName, Task
from protocols.text import TOKEN, UNSPACED

WRITING: Mapping[KindName, str] = {
    "ner": "For each type say what is one, then where it begins and ends, then what looks like one and is none.",
    "reading": (
        "Keep answering and abstaining in balance (there is no answer in {empty} of {train} training examples), and "
        "spans as short as they may be."
    ),
    "generation": "Content first, then form; one model answer tells more than a list of adjectives.",
}
"""For whoever writes a text."""
EXPLAIN = (
    "Explain every answer in its general sense, {each} each, so that cases which the examples do not show find their "
    "place, too; where two are near, say in a line of its own what decides between them."
)
"""How the data are described where there are answers to explain."""
BESIDE = ", and the lines on single answers beside them"
"""How long the description may be, where that is so."""
COVER = "A list must cover every answer and not only those that failed."
"""What holds for lists of such answers."""
UNHARMED = "Keep word for word what nothing speaks against, such as lines on answers without errors."
"""What holds for a text that is there already."""
SECTIONS: Mapping[Kind, str] = {
    "reasoning": (
        "Write steps to be carried out in the reply before the answer, and end with a check; nothing that serves one "
        "example alone, and nothing on the form of the answer that other parts say."
    ),
    "reminders": "Only the two or three rules that are broken most often, in words as few as possible.",
}
"""The same, of sections whose use says more than the task's kind."""
LOOKED_AT = 50
"""Training examples by which it is told whether the inputs list the answers."""
READING: Mapping[KindName, str] = {
    "classification": "Name the pair that is confused and the question that decides between the two.",
    "ner": "Keep wrong type, wrong boundary, missed and invented apart.",
    "reading": (
        "Count answers where there is none, abstentions where there is one, and spans too long or too short; the "
        "repair of one must not cause the other."
    ),
    "generation": (
        "Compare with what was expected: missing, invented, order, tone, length; what would a judge mark down first?"
    ),
    "reasoning": (
        "Read the replies: misread, a wrong plan, arithmetic, a lost constraint, stopped early, or an answer that "
        "could not be read?"
    ),
}
"""For a critic."""


def writing_clause(task: Task, section: Kind | None = None) -> str:
    """For whoever writes a section of this kind, or several."""
    text = SECTIONS.get(section, "") if section else ""
    if not text:
        empty = sum(example.target == [] for example in task.train)
        text = WRITING.get(task.kind.name, "")
        text = text.replace("{empty}", str(empty)).replace("{train}", str(len(task.train)))
    return text


def explained(task: Task) -> Collection[str]:
    """The answers that a text should explain: a closed set, but for options that the inputs themselves list, whose
    names mean something else in each."""
    answers = task.answers
    if task.kind.name == "ner" or not answers:
        return answers
    texts = ["\n".join(example.inputs.values()) for example in task.train[:LOOKED_AT]]
    least = max(2, len(answers) / 2)
    listing = sum(sum(answer in text for answer in answers) >= least for text in texts)
    return () if 2 * listing > len(texts) else answers


def reading_clause(task: Task) -> str:
    """For a critic."""
    return READING[task.kind.name]


CHARACTER = re.compile(f"[{UNSPACED}]")
"""One of a script without spaces."""
PER_WORD = 2
"""Such characters that are as much as a word."""
SCRIPT_OF = 20
"""Training examples by which the script of a task is told."""


def count_words(text: str) -> int:
    """The words of a text; two characters of a script without spaces are one."""
    found = TOKEN.findall(text)
    characters = sum(CHARACTER.match(token) is not None for token in found)
    return max(len(text.split()), len(found) - characters + characters // PER_WORD)


def at_most(words: int, task: Task) -> str:
    """So many words, or the characters that are as much where the task's texts have no spaces."""
    texts = "".join("".join(example.inputs.values()) for example in task.train[:SCRIPT_OF])
    if 2 * len(CHARACTER.findall(texts)) > len(texts):
        return f"At most {PER_WORD * words} characters."
    return f"At most {words} words."
