"""The wording of instructions: sentences that depend on the kind of task and of section, and limits on words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from protocols.prompt import Kind, Section
from protocols.task import MANY, KindName, Task
from protocols.text import TOKEN, UNSPACED

EXPLAINING: Mapping[KindName, str] = {
    "multilabel": "For each label say when it applies, also beside others, and what looks like it and is none.",
    "ordinal": "For each level say what an input of it has that the level below lacks.",
    "ner": "For each type say what is one, then where it begins and ends, then what looks like one and is none.",
}
"""Advice for a text that explains the answers, by the kind of task."""
WRITING: Mapping[KindName, str] = {
    "reading": (
        "Keep answering and abstaining in balance (there is no answer in {empty} of {train} training examples), and "
        "spans as short as they may be."
    ),
    "generation": "Content first, then form; one model answer tells more than a list of adjectives.",
}
"""Advice for any other text, by the kind of task."""
EXPLAIN = (
    "Explain every answer in its general sense, {each} each, so that cases which the examples do not show find their "
    "place, too; where two are near, say in a line of its own what decides between them."
)
"""Added to the description of the data if there are answers to explain."""
BESIDE = ", and the lines on single answers beside them"
"""Added to the limit on the description's length if there are answers to explain."""
NAMED = (
    "Repair the causes that the diagnosis names for this part, the costliest first; what it puts into other parts is "
    "done there and not here. Where the examples contradict the diagnosis, follow the examples."
)
"""What to repair if the diagnosis has something for the part."""
UNNAMED = (
    "The diagnosis asks nothing of this part. Look for what it can still do, by its use, against the errors and the "
    "cause behind most of them, without saying again what another part says or will say."
)
"""What to repair if it has not."""
COVER = "A list must cover every answer and not only those that failed."
"""Advice for lists of answers to explain."""
UNHARMED = "Keep word for word what nothing speaks against, such as lines on answers without errors."
"""Advice for rewriting an existing text."""
ANOTHER = (
    "Another version of this part, written for the same purpose, is being tried at this moment: take another "
    "approach than the first that comes to mind, not only other words.\n"
)
"""Told if an edit by the same operator of the same section and parent is in flight."""
SECTIONS: Mapping[Kind, str] = {
    "reasoning": "{steps} End with a check; nothing that serves one example alone.",
    "reminders": "Only the two or three rules that are broken most often, in words as few as possible.",
    "tool": (
        "Say when to call it and when not, and what tells it from the others; of a parameter, what belongs there, in "
        "which form, and what to write if the input does not say it. Keep the line of each parameter."
    ),
}
"""Advice for writing by the kind of section; it replaces that by the kind of task."""
ALOUD = (
    "Write steps that are carried out in the reply, before the answer: with them a reply may have {tokens} tokens. "
    "Say how short they are to be written, and that the answer comes last, in the form that another part sets."
)
"""Where steps are carried out if a reply may hold them."""
SILENT = "Write steps that are carried out in thought, and nothing on the reply: it has room for the answer alone."
"""Where they are carried out if it may not."""
LOOKED_AT = 50
"""Training examples checked to see whether inputs list the answers."""
READING: Mapping[KindName, str] = {
    "classification": "Name the pair that is confused and the question that decides between the two.",
    "multilabel": "Keep missed and wrongly named labels apart; say which come together and which exclude each other.",
    "ordinal": "Say whether ratings are too high or too low, at which level, and what moves an input by one.",
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
"""Advice for a critic, by the kind of task."""
JUDGED = "What do the reasons of the scores have in common, and what do the best replies do that the others do not?"
"""Advice for a critic of a task without targets."""


def writing_clause(task: Task, section: Kind | None, explains: bool, inner: bool = False) -> str:
    """Advice for writing a section of this kind; None: several sections. `explains`: whether what is written explains
    the answers. `inner`: it belongs to a prompt of a program whose reply is not the answer, for which the advice by
    the kind of task makes no sense."""
    text = SECTIONS.get(section, "") if section else ""
    if not text and not inner:
        empty = sum(example.target == [] for example in task.train)
        text = WRITING.get(task.kind.name, "") or (EXPLAINING.get(task.kind.name, "") if explains else "")
        text = text.replace("{empty}", str(empty)).replace("{train}", str(len(task.train)))
    return text


def explained(task: Task) -> Collection[str]:
    """The answers that a text should explain: those of a closed set; none if the inputs list the options themselves,
    since the names then mean something else in each example."""
    answers = task.answers
    if task.kind.name in MANY or not answers:
        return answers
    texts = ["\n".join(example.inputs.values()) for example in task.train[:LOOKED_AT]]
    least = max(2, len(answers) / 2)
    listing = sum(sum(answer in text for answer in answers) >= least for text in texts)
    return () if 2 * listing > len(texts) else answers


def reading_clause(task: Task) -> str:
    """Advice for a critic."""
    if not task.has_targets:
        return JUDGED
    return READING[task.kind.name]


CHARACTER = re.compile(f"[{UNSPACED}]")
"""A character of a script without spaces."""
FROM_DATA = frozenset[Kind]({"examples", "knowledge"})
"""Kinds of sections whose texts are in the language of the data."""
BRACED = re.compile(r"\{[^{}\n]*\}")
"""A placeholder, which is in no language."""
PER_WORD = 2
"""Characters of a script without spaces that count as one word."""
SCRIPT_OF = 20
"""Training examples from which the script is determined if the prompt has no text."""


def count_words(text: str) -> int:
    """The number of words of a text; `PER_WORD` characters of a script without spaces count as one."""
    found = TOKEN.findall(text)
    characters = sum(CHARACTER.match(token) is not None for token in found)
    return max(len(text.split()), len(found) - characters + characters // PER_WORD)


def at_most(words: int, beside: Iterable[Section], task: Task) -> str:
    """A limit as a sentence: in characters if the prompt, whose sections are `beside` the one to be written, is in a
    script without spaces, else in words. The language of the inputs and of the answers may be another; that of the
    inputs decides where a prompt has no text."""
    own = "\n".join(BRACED.sub("", section.text) for section in beside if section.kind not in FROM_DATA)
    for answer in task.answers:
        own = own.replace(answer, "")
    data = "".join("".join(example.inputs.values()) for example in task.train[:SCRIPT_OF])
    text = "".join(filter(str.isalpha, own)) or data
    if 2 * len(CHARACTER.findall(text)) > len(text):
        return f"At most {PER_WORD * words} characters."
    return f"At most {words} words."
