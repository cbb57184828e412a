"""Placeholders of a prompt that are filled for each input by retrieval: `{examples:8}`, `{passages:2}`.

In a section of the form `turns`, `{examples:8}` becomes turns, in any other a text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import TypeVar

import orjson

from agents.prompting.asking import likely_requests
from agents.prompting.requests import PLACE, key_of, show_example, show_turns
from memory.retrieval import Shelf
from protocols.concurrency.threads import in_thread
from protocols.messages import Scores
from protocols.model import BYTES, ChatMessage, Request
from protocols.prompt import Prompt, estimate_tokens, estimate_turn
from protocols.providers.openai import content_of
from protocols.task import Example, Task
from protocols.turns import images_of

EXAMPLES, PASSAGES = "examples", "passages"
SAMPLE = 64
"""Most items of a slot that are measured to estimate the length of one."""
MAX_TOKENS = "prompt.max_tokens"
"""The setting behind `RetrievalSlots.cap`."""
LONGEST = 3
"""Validation examples, those with the longest inputs, that must fit into the model's context window."""
PLACEHOLDER = re.compile(r"(examples|passages):([1-9]\d{0,2})")
T = TypeVar("T")
Pair = tuple[ChatMessage, ChatMessage]
"""A worked example as the user's turn and the assistant's."""


@dataclass(frozen=True, slots=True)
class RetrievalSlots:
    """The task's training examples and the passages of its corpus, for retrieval by similarity to an input.

    `room`: `Windowed.spare` of the task's model. `cap`: most tokens of a prompt as it is sent, without the input.
    """

    task: Task
    examples: Shelf[Example]
    passages: Shelf[str]
    room: Callable[[Request], float] = lambda request: math.inf
    cap: float = math.inf

    def inputs(self, prompt: Prompt, inputs: Mapping[str, str]) -> Mapping[str, str]:
        """The inputs of an example, together with the values of `prompt`'s placeholders for it."""

        def nearest(name: str, query: str, k: int) -> Sequence[str]:
            if name == EXAMPLES:
                return [show_example(prompt, self.task, example) for example in self.examples.nearest(query, k)]
            return self.passages.nearest(query, k)

        def turns(query: str, k: int) -> Sequence[Pair]:
            return [show_turns(prompt, self.task, example) for example in self.examples.nearest(query, k)]

        return Filled(inputs, nearest, turns)

    def tokens(self, prompt: Prompt) -> int:
        """The estimated tokens of `prompt` as it is sent, without the input."""
        return prompt.tokens + self.filled(prompt)

    def over_cap(self, prompt: Prompt) -> str:
        """A message if `prompt` is longer than the cap; else ""."""
        over = self.tokens(prompt) - self.cap if self.cap < math.inf else 0
        return f"the prompt is about {over:,.0f} tokens longer than {MAX_TOKENS} = {self.cap:,g}" if over > 0 else ""

    def too_long(self, prompt: Prompt, scores: Scores = ()) -> str:
        """The reason why `prompt` must not be tried, the cap or the context window (see `spare`); "" if it may be."""
        over = -self._beside_inputs(prompt, scores)
        window = f"the prompt is about {over:,.0f} tokens too long for the window of the task's model"
        return self.over_cap(prompt) or (window if over > 0 else "")

    def spare(self, prompt: Prompt, scores: Scores = ()) -> float:
        """The estimated tokens that may be added to `prompt` within the cap and the task model's context window, with
        the longest of the validation inputs that its parent, with these `scores`, has answered. Negative: tokens that
        it has too many; infinite if there is no cap and the window is not known."""
        capped = self.cap - self.tokens(prompt) if self.cap < math.inf else math.inf
        return min(capped, self._beside_inputs(prompt, scores))

    def _beside_inputs(self, prompt: Prompt, scores: Scores) -> float:
        """`spare` by the context window alone."""
        if self.room(Request(())) == math.inf:
            return math.inf
        whole = self.task.validation
        answered = [e for e, score in zip(whole, scores, strict=False) if score is not None] if scores else whole
        longest = nlargest(LONGEST, answered, key=lambda example: _length(example.inputs))
        likely = (likely_requests(self.task, prompt, example.inputs, self.inputs) for example in longest)
        return min((self.room(request) for requests in likely for request in requests), default=math.inf)

    def room_for(self, prompt: Prompt, *sections: str, scores: Scores = ()) -> float:
        """The estimated tokens that these sections of `prompt` may have together as they are sent, see `spare`."""
        without = Prompt(tuple(replace(s, text="") if s.name in sections else s for s in prompt))
        return self.spare(without, scores)

    def filled(self, prompt: Prompt) -> int:
        """The estimated tokens that are filled into `prompt` for each input, without the input."""
        count = Counter[tuple[str, bool]]()
        for section in prompt:
            for place, times in places(section.filled).items():
                name, _, k = place.partition(":")
                count[name, section.form == "turns"] += times * min(int(k), len(self._shelf(name).items))
        return round(sum(n * self.each(prompt, name, turns) for (name, turns), n in count.items()))

    def each(self, prompt: Prompt, name: str, turns: bool = False) -> float:
        """The mean tokens of an item of the slot `name` as `prompt` shows it, as text or as turns with their
        overhead, over up to SAMPLE items; 0 if the slot is empty."""
        items = self._shelf(name).items
        drawn = items[:: 1 + len(items) // SAMPLE]
        return sum(self._length(prompt, item, turns) for item in drawn) / len(drawn) if drawn else 0.0

    def _length(self, prompt: Prompt, item: Example | str, turns: bool) -> int:
        if isinstance(item, str):
            return estimate_tokens(item)
        if turns:
            return sum(map(estimate_turn, show_turns(prompt, self.task, item)))
        return estimate_tokens(show_example(prompt, self.task, item))

    def _shelf(self, name: str) -> Shelf[Example] | Shelf[str]:
        return self.examples if name == EXAMPLES else self.passages

    def export(self, prompt: Prompt, name: str) -> bytes:
        """The slot `name` for `{examples:k}` or `{passages:k}` in `prompt`, as JSON lines: the input or text that an
        item is found by, and the item shown as text, as turns, or as both. Images in turns are data URLs. Empty if
        the prompt does not use it."""
        forms = {turns for used, turns in uses(prompt) if used == name}
        rows: list[dict[str, object]] = [{"text": passage, "shown": passage} for passage in self.passages.items]
        if name == EXAMPLES:
            rows = [self._row(prompt, example, forms) for example in self.examples.items]
        return b"".join(orjson.dumps(row) + b"\n" for row in rows) if forms else b""

    def _row(self, prompt: Prompt, example: Example, forms: set[bool]) -> dict[str, object]:
        row: dict[str, object] = {"input": dict(example.inputs)}
        if False in forms:
            row["shown"] = show_example(prompt, self.task, example)
        if True in forms:
            turns = show_turns(prompt, self.task, example)
            row["turns"] = [{"role": turn.speaker, "content": content_of(turn)} for turn in turns]
        return row


def _length(inputs: Mapping[str, str]) -> int:
    """Characters of the inputs, and as many for their images as so many tokens have."""
    return sum(len(value) + BYTES * sum(image.tokens for image in images_of(value)) for value in inputs.values())


class Filled(Mapping[str, str]):
    """Inputs by name. `slot:k` is retrieved on access: the `k` items of `nearest(slot, query, k)`, which gives the
    best first, in reverse order, with the best last; likewise the turns of `examples:k`, from `paired(query, k)`."""

    def __init__(
        self,
        inputs: Mapping[str, str],
        nearest: Callable[[str, str, int], Sequence[str]],
        paired: Callable[[str, int], Sequence[Pair]],
    ) -> None:
        self._inputs, self._nearest, self._paired = inputs, nearest, paired

    def turns(self, place: str) -> tuple[ChatMessage, ...]:
        """The turns of the examples nearest to the inputs, the nearest last. Examples with a blank turn are left out,
        since providers refuse blank turns."""
        pairs = self._paired(key_of(self._inputs), int(place.rpartition(":")[2]))
        return tuple(turn for pair in reversed(pairs) if all(turn.text.strip() for turn in pair) for turn in pair)

    def __getitem__(self, name: str) -> str:
        """:raises KeyError: neither an input nor `examples:k` or `passages:k`."""
        if name in self._inputs:
            return self._inputs[name]
        if wanted := PLACEHOLDER.fullmatch(name):
            found = self._nearest(wanted[1], key_of(self._inputs), int(wanted[2]))
            return "\n\n".join(reversed(found))
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in self._inputs or (isinstance(name, str) and PLACEHOLDER.fullmatch(name) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)


async def measured(measure: Callable[[Prompt], T], prompt: Prompt) -> T:
    """The result of `measure`; in a thread if the prompt is filled for each input, since it then shows examples."""
    return await in_thread(measure, prompt) if slots_of(prompt) else measure(prompt)


def unfilled(prompt: Prompt, inputs: Mapping[str, str]) -> Mapping[str, str]:
    """Inputs for rendering a prompt with empty placeholders for examples and passages."""
    return Filled(inputs, lambda name, query, k: (), lambda query, k: ())


def slots_of(prompt: Prompt) -> set[str]:
    """The slots, `examples` or `passages`, that a prompt is filled from."""
    return {name for name, _ in uses(prompt)}


def uses(prompt: Prompt) -> set[tuple[str, bool]]:
    """The slots that a prompt is filled from, each with whether items are shown as turns."""
    return {(p.partition(":")[0], section.form == "turns") for section in prompt for p in places(section.filled)}


def places(text: str) -> Counter[str]:
    """The number of occurrences of each `examples:k` and `passages:k` in braces in `text`."""
    return Counter(PLACE.findall(text))


def open_slots(task: Task, corpus: Sequence[str], max_tokens: int | None = None) -> RetrievalSlots:
    """Index the training examples by their inputs, and the passages by themselves; of those that say the same, the
    first. `max_tokens` None: no cap."""
    examples = {_said(example, task): example for example in reversed(task.train)}
    distinct = [example for example in task.train if examples[_said(example, task)] is example]
    passages = list(dict.fromkeys(corpus))
    cap = math.inf if max_tokens is None else max_tokens
    keys = [key_of(example.inputs) for example in distinct]
    return RetrievalSlots(task, Shelf(keys, distinct), Shelf(passages, passages), cap=cap)


def _said(example: Example, task: Task) -> tuple[str, ...]:
    """What a worked example says: its inputs with their images, and its answer."""
    images = (image.url for value in example.inputs.values() for image in images_of(value))
    return key_of(example.inputs), task.kind.show(example.target), *images
