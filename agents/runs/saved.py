"""A prompt that a run has saved, as a program uses it: the messages that the search would send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from agents.prompting.requests import show_inputs
from agents.prompting.shelves import EXAMPLES, PASSAGES, filled, shelves_of
from agents.runs.run_directory import BEST_EXAMPLES, BEST_PASSAGES, BEST_PROMPT
from memory.retrieval import Shelf
from protocols import prompt_file
from protocols.errors import DataError
from protocols.model import ChatMessage
from protocols.prompt import Prompt


@dataclass(frozen=True, slots=True)
class SavedPrompt:
    """A prompt, and what `{examples:k}` and `{passages:k}` are filled from in it, by their names."""

    prompt: Prompt
    shelves: Mapping[str, Shelf[str]]

    def render(self, inputs: Mapping[str, str]) -> tuple[ChatMessage, ...]:
        """The chat messages for one input, with its fields in the order that they have in the data."""
        nearest = filled(inputs, lambda name, query, k: self.shelves[name].nearest(query, k))
        return self.prompt.render(nearest)


def load_prompt(directory: Path | str) -> SavedPrompt:
    """The best prompt of a run directory, or of a folder with copies of its `best_prompt` files.

    :raises PromptError, DataError: a file that is needed cannot be read.
    """
    folder, files = Path(directory), {EXAMPLES: BEST_EXAMPLES, PASSAGES: BEST_PASSAGES}
    prompt = prompt_file.load(folder / BEST_PROMPT)
    return SavedPrompt(prompt, {name: _shelf(folder / files[name]) for name in shelves_of(prompt)})


def _shelf(path: Path) -> Shelf[str]:
    """What `Shelves.export` wrote."""
    try:
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        keys = [show_inputs(row["input"]) if "input" in row else row["text"] for row in rows]
        return Shelf(keys, [row["shown"] for row in rows])
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not what a run saves beside its best prompt ({error})", file=str(path)) from None
