"""Writes the best prompt of a run, with all that programs need to render it (`saved.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson

from agents.directory.run_directory import (
    BEST_EXAMPLES,
    BEST_FIELDS,
    BEST_PASSAGES,
    BEST_PROMPT,
    BEST_PROMPTS,
    make_folder,
    offer_file,
    write,
)
from agents.prompting.retrieval_slots import EXAMPLES, PASSAGES, RetrievalSlots
from protocols.files import prompt_file, prompt_folder
from protocols.model import Offer
from protocols.prompt import Prompt
from protocols.task import Task


def save_best(directory: Path, best: Prompt, slots: RetrievalSlots) -> None:
    """Write the prompt, the examples and passages for its placeholders, and the tools and the schema that it offers;
    the prompts of a program with several as a folder, too.

    :raises StorageFailed: a file cannot be written.
    """
    write(directory / BEST_PROMPT, prompt_file.dumps(best).encode("utf-8"))
    if len(best.names) > 1:
        make_folder(directory / BEST_PROMPTS)
        for name, text in prompt_folder.dumps(best).items():
            write(directory / BEST_PROMPTS / name, text.encode("utf-8"))
    write(directory / BEST_FIELDS, orjson.dumps(slots.task.placeholders) + b"\n")
    for name, offer in offers(slots.task, best).items():
        write(directory / offer_file(name), offer.key.encode() + b"\n")
    for name, file in ((EXAMPLES, BEST_EXAMPLES), (PASSAGES, BEST_PASSAGES)):
        if lines := slots.export(best, name):
            write(directory / file, lines)


def offers(task: Task, prompt: Prompt) -> Mapping[str, Offer]:
    """What a prompt offers, under the name ""; of several prompts what each does, by their names."""
    if task.program is None:
        offer = task.kind.offer(prompt)
        return {"": offer} if offer else {}
    offered = task.program.offered(prompt)
    return {name if len(prompt.names) > 1 else "": offer for name, offer in offered.items()}
