"""A task whose model answers by one word in the prompt, and a proposer that always writes that word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from tests.small_task import Row, write_task
from tests.wire_server import WireServer

LABELS = ("invoice", "parcel", "退款")
SECRET = "Remember the secret."
PRICE = {"input": 1.0, "output": 2.0}
Answer = Callable[[list[tuple[str, str]]], str]


def row(number: int, name: str = "old") -> Row:
    """An example; its label follows from its number."""
    return {"input": {"text": f"{name} number {number}"}, "target": LABELS[number % 3], "id": f"{name}-{number}"}


def model(right: Callable[[str, bool], bool]) -> Answer:
    """Answers an example right if `right` says so of its text, and of whether the prompt has the secret."""

    def answer(turns: list[tuple[str, str]]) -> str:
        said = "\n".join(text for _, text in turns)
        if "<new> and </new>" in said:
            return f"<new>Which is it? {SECRET}\nLabels: {', '.join(LABELS)}</new>"
        if "<critique> and </critique>" in said:
            return "<critique>\n[task] remember\n</critique>"
        [*_, text] = re.findall(r"Text: (\w+ number \d+)", said)
        number = int(text.rpartition(" ")[2])
        return LABELS[(number + (0 if right(text, SECRET in said) else 1)) % 3]

    return answer


def write(folder: Path, url: str) -> Path:
    """The task, with 24 validation and 24 test examples, answered over the wire at `url`."""
    sizes = {"train": (0, 18), "validation": (100, 24), "test": (200, 24)}
    search = {"assignments": 3, "width": 1, "critique": 8, "operators": ["self_reflection"], "shrink": 0}
    path = write_task(
        folder,
        {name: [row(start + n) for n in range(count)] for name, (start, count) in sizes.items()},
        tables={"models": {"default": "openai/one"}, "search": {**search, "prefer": "best", "headroom": False}},
    )
    with path.open("a", encoding="utf-8") as file:
        file.write(f'[providers.openai]\nbase_url = "{url}"\nprice = {{ input = 1.0, output = 2.0 }}\n')
    return path


@contextmanager
def serving(answer: Answer) -> Iterator[WireServer]:
    """A wire server on another thread: commands obey signals, so they work on the main one."""
    with start_blocking_portal() as portal:
        made = portal.call(lambda: WireServer(answer))
        with portal.wrap_async_context_manager(made) as server:
            yield server


def save(path: Path, rows: Sequence[Row]) -> Path:
    """Write the rows as JSON lines."""
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")
    return path
