"""What a prompt may leave to be filled for each input: `{examples:8}`, `{passages:2}`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest

import orjson

from agents.prompting.asking import task_request
from agents.prompting.requests import show_example, show_inputs
from memory.retrieval import Shelf
from protocols.messages import Scores
from protocols.model import Request
from protocols.prompt import Prompt, estimate_tokens
from protocols.task import Example, Task

EXAMPLES, PASSAGES = "examples", "passages"
SAMPLE = 64
"""Items of a shelf, at most, that are measured to say how long one is."""
LONGEST = 3
"""Validation examples with the longest inputs, by which it is told whether a prompt fits into the model's window."""
PLACEHOLDER = re.compile(r"(examples|passages):([1-9]\d{0,2})")
BRACED = re.compile(r"\{((?:examples|passages):[1-9]\d{0,2})\}")


@dataclass(frozen=True, slots=True)
class Shelves:
    """The task's training examples and the passages of its corpus, to be found by what an input is like.

    `room`: `Windowed.spare` of the task's model.
    """

    task: Task
    examples: Shelf[Example]
    passages: Shelf[str]
    room: Callable[[Request], float] = lambda request: math.inf

    def inputs(self, prompt: Prompt, inputs: Mapping[str, str]) -> Mapping[str, str]:
        """The inputs of an example, and with them what `prompt` has left to be filled for it."""

        def nearest(name: str, query: str, k: int) -> Sequence[str]:
            if name == EXAMPLES:
                return [show_example(prompt, self.task, example) for example in self.examples.nearest(query, k)]
            return self.passages.nearest(query, k)

        return filled(inputs, nearest)

    def tokens(self, prompt: Prompt) -> int:
        """About how long `prompt` is as it is sent, without the input."""
        return prompt.tokens + self.filled(prompt)

    def spare(self, prompt: Prompt, scores: Scores = ()) -> float:
        """About the tokens that `prompt` may have beside its own for the task's model to take it with the longest of
        the validation inputs that its parent, with these `scores`, has answered; negative: that it has too many;
        infinite where the window is not known."""
        if self.room(Request(())) == math.inf:
            return math.inf
        whole = self.task.validation
        answered = [e for e, score in zip(whole, scores, strict=False) if score is not None] if scores else whole
        longest = nlargest(LONGEST, answered, key=lambda example: sum(map(len, example.inputs.values())))
        rendered = (prompt.render(self.inputs(prompt, example.inputs)) for example in longest)
        requests = (task_request(self.task.kind, prompt, messages) for messages in rendered)
        return min(map(self.room, requests), default=math.inf)

    def spare_for(self, prompt: Prompt, name: str, scores: Scores = ()) -> float:
        """About the tokens that the section `name` may have as it is sent, see `spare`."""
        without = Prompt(tuple(replace(section, text="") if section.name == name else section for section in prompt))
        return self.spare(without, scores)

    def filled(self, prompt: Prompt) -> int:
        """About how many tokens are filled into `prompt` for each input, beside the input."""
        count = Counter[str]()
        for section in prompt:
            for place, times in places(section.text).items():
                name, _, k = place.partition(":")
                count[name] += times * min(int(k), len(self._shelf(name).items))
        return round(sum(number * self.each(prompt, name) for name, number in count.items()))

    def each(self, prompt: Prompt, name: str) -> float:
        """The tokens of one item of the shelf `name` as `prompt` shows it, the mean of up to SAMPLE; 0 for none."""
        items = self._shelf(name).items
        drawn = items[:: 1 + len(items) // SAMPLE]
        shown = [item if isinstance(item, str) else show_example(prompt, self.task, item) for item in drawn]
        return sum(map(estimate_tokens, shown)) / len(shown) if shown else 0.0

    def _shelf(self, name: str) -> Shelf[Example] | Shelf[str]:
        return self.examples if name == EXAMPLES else self.passages

    def export(self, prompt: Prompt, name: str) -> bytes:
        """What `{examples:k}` or `{passages:k}` (by `name`) is filled from in `prompt`: JSON lines of the input, or
        the text, that an item is found by, and of how it is shown. Nothing where the prompt does not use it."""
        if name not in shelves_of(prompt):
            return b""
        rows: list[dict[str, object]] = [{"text": passage, "shown": passage} for passage in self.passages.items]
        if name == EXAMPLES:
            rows = [
                {"input": dict(e.inputs), "shown": show_example(prompt, self.task, e)} for e in self.examples.items
            ]
        return b"".join(orjson.dumps(row) + b"\n" for row in rows)


class Filled(Mapping[str, str]):
    """Inputs by name; `shelf:k` is looked up when it is asked for: the `k` nearest, the nearest last."""

    def __init__(self, inputs: Mapping[str, str], find: Callable[[str, int], str]) -> None:
        self._inputs, self._find = inputs, find

    def __getitem__(self, name: str) -> str:
        """:raises KeyError: neither an input nor `examples:k` or `passages:k`."""
        if name in self._inputs:
            return self._inputs[name]
        if wanted := PLACEHOLDER.fullmatch(name):
            return self._find(wanted[1], int(wanted[2]))
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in self._inputs or (isinstance(name, str) and PLACEHOLDER.fullmatch(name) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)


def filled(inputs: Mapping[str, str], nearest: Callable[[str, str, int], Sequence[str]]) -> Mapping[str, str]:
    """Inputs by name, and `shelf:k` filled with what `nearest(shelf, query, k)` says is near to them, best first."""
    return Filled(inputs, lambda shelf, k: "\n\n".join(reversed(nearest(shelf, show_inputs(inputs), k))))


def shelves_of(prompt: Prompt) -> set[str]:
    """Which of `examples` and `passages` a prompt is filled from."""
    return {place.partition(":")[0] for section in prompt for place in places(section.text)}


def places(text: str) -> Counter[str]:
    """How often each `examples:k` and `passages:k` stands in `text` in braces."""
    return Counter(BRACED.findall(text))


def open_shelves(task: Task, corpus: Sequence[str]) -> Shelves:
    """Index the training examples by their inputs, and the passages by themselves."""
    keys = [show_inputs(example.inputs) for example in task.train]
    return Shelves(task, Shelf(keys, task.train), Shelf(corpus, corpus))
