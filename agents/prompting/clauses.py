"""The sentence of an instruction that depends on the kind of task, and on what a section is for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from protocols.prompt import Kind
from protocols.task import KindName, Task

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
