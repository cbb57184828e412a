"""A prompt saved by a run, for use by programs: it renders the same messages as the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from agents.directory.run_directory import BEST_EXAMPLES, BEST_FIELDS, BEST_PASSAGES, BEST_PROMPT, offer_file
from agents.programs.bound import INPUTS, Values
from agents.prompting.requests import key_of
from agents.prompting.retrieval_slots import EXAMPLES, PASSAGES, Filled, Pair, slots_of, uses
from memory.retrieval import Shelf
from protocols.data.values.inputs import read_input
from protocols.data.values.pictures import Pictures
from protocols.errors import DataError, PromptError
from protocols.files import prompt_file
from protocols.model import ChatMessage, Offer, spoken
from protocols.program import no_prompt
from protocols.prompt import Prompt, check_inputs, names_in
from protocols.turns import parts_of


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a slot, as text and as turns; empty in a form that the prompt does not use."""

    text: str
    turns: Pair | tuple[()]


@dataclass(frozen=True, slots=True)
class SavedPrompt:
    """A prompt, and the `slots` by name from which its `{examples:k}` and `{passages:k}` are filled. `fields`: the
    input fields of the task; None if the run that saved the prompt did not store them. `offer`: the tools and the
    schema that are sent beside its messages, None if there are none; `offers`: those of several prompts, by their
    names. `of_program`: it is one of several prompts of a
    program, which is rendered with the values that the program computes."""

    prompt: Prompt
    slots: Mapping[str, Shelf[Item]]
    fields: tuple[str, ...] | None = None
    offer: Offer | None = None
    of_program: bool = False
    offers: Mapping[str, Offer] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """The prompt, for a notebook."""
        return self.prompt._repr_html_()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the prompts of a program with several, else ("",)."""
        return self.prompt.names

    def of(self, name: str) -> SavedPrompt:
        """One of the prompts of a program with several.

        :raises PromptError: no prompt has this name.
        """
        if not name or name not in self.names:
            raise PromptError(no_prompt(name, dict.fromkeys(filter(None, self.names))))
        return replace(self, prompt=self.prompt.of(name), of_program=True, offer=self.offers.get(name), offers={})

    def render(self, inputs: Mapping[str, object]) -> tuple[ChatMessage, ...]:
        """The chat messages for one input. `inputs`: its fields, in the order of the data: texts, or conversations
        and images as a data file has them, with paths that begin at the working directory.

        :raises PromptError: a field is missing that the prompt shows or retrieves by, the task has no field of a
            given name, or a value cannot be used; or these are several prompts.
        """
        if len(self.names) > 1:
            raise PromptError(
                f"these are the prompts {', '.join(self.names)}; render one of them: of({self.names[0]!r})"
            )
        inputs = _read(inputs)
        shown, known = names_in(self.prompt), self.fields
        if self.of_program:
            shown, known = (shown & {*(known or shown)}) - {INPUTS}, tuple(inputs)
            inputs = Values(inputs)
        elif known is not None:
            shown = set(known) if self.slots else shown & set(known)
        elif not shown & set(inputs):
            known = tuple(shown)  # else no input would be inserted
        check_inputs(inputs, shown, known)
        filled = Filled(
            inputs,
            lambda name, query, k: [item.text for item in self.slots[name].nearest(query, k)],
            lambda query, k: [item.turns for item in self.slots[EXAMPLES].nearest(query, k) if item.turns],
        )
        return self.prompt.template(filled).render(filled)


def _read(inputs: Mapping[str, object]) -> dict[str, Any]:
    """:raises PromptError: a conversation or an image cannot be used."""
    pictures, read = Pictures(Path()), dict[str, Any]()
    for name, value in inputs.items():
        try:
            read[name] = read_input(value, pictures) if isinstance(value, list | tuple | Mapping) else value
        except ValueError as error:
            raise PromptError(f"the field {name}: {error}") from None
    return read


def load_prompt(directory: Path | str) -> SavedPrompt:
    """The best prompt of a run directory, or of a folder with copies of its `best_prompt` files.

    :raises PromptError, DataError: a required file cannot be read.
    """
    folder, files = Path(directory), {EXAMPLES: BEST_EXAMPLES, PASSAGES: BEST_PASSAGES}
    prompt = prompt_file.load(folder / BEST_PROMPT)
    used = uses(prompt)
    slots = {
        name: _shelf(folder / files[name], text=(name, False) in used, turns=(name, True) in used)
        for name in slots_of(prompt)
    }
    offers = {name: offer for name in filter(None, prompt.names) if (offer := _offer(folder / offer_file(name)))}
    return SavedPrompt(prompt, slots, _fields(folder / BEST_FIELDS), _offer(folder / offer_file("")), offers=offers)


def _offer(path: Path) -> Offer | None:
    """The offer that a run has stored by its key."""
    if not path.exists():
        return None
    try:
        openai, anthropic = orjson.loads(path.read_bytes())
        return Offer(dict(openai), dict(anthropic), tuple(tool["name"] for tool in anthropic.get("tools", ())))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"not what a run saves beside its best prompt ({error})", file=str(path)) from None


def _fields(path: Path) -> tuple[str, ...] | None:
    """The input fields that a run has stored; None from an earlier release."""
    if not path.exists():
        return None
    try:
        fields = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise DataError(f"not what a run saves beside its best prompt ({error})", file=str(path)) from None
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise DataError("not the input fields of a task", file=str(path))
    return tuple(fields)


def _shelf(path: Path, text: bool, turns: bool) -> Shelf[Item]:
    """Reads a file that `RetrievalSlots.export` wrote: its items as texts, as turns, or as both."""
    try:
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        keys = [key_of(row["input"]) if "input" in row else row["text"] for row in rows]
        return Shelf(keys, [Item(row["shown"] if text else "", _pair(row["turns"]) if turns else ()) for row in rows])
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"not what a run saves beside its best prompt ({error})", file=str(path)) from None


def _pair(turns: Any) -> Pair:
    """A pair of turns from JSON.

    :raises KeyError, TypeError, ValueError: the value is no pair of turns.
    """
    question, answer = (read_input(turn["content"], Pictures(Path())) for turn in turns)
    return spoken("user", parts_of(question)), ChatMessage("assistant", str(answer))
