"""A task whose answers a judge compares: gifts to give thanks for, and models that answer, judge and write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import anyio
import orjson

from agents.config.configuration import Configuration, build
from agents.run.opening import open_run

SIZES = {"train": 12, "validation": 16, "test": 10}
PROMPT = "=== task (task) ===\nThank them.\n=== input (task, frozen) ===\n{text}\n"
RUBRIC = "The warmer answer is better."
Turns = list[tuple[str, str]]


def shown(said: str) -> tuple[str, str]:
    """The two answers in a request to the judge."""
    first, second = (said.partition(f"<answer_{n}>\n")[2].partition(f"\n</answer_{n}>")[0] for n in (1, 2))
    return first, second


def replying(turns: Turns) -> str:
    """The judge likes warm answers, and the first of two that are alike; the writer asks for warmth; every fourth
    answer to the first prompt is warm, and all are that are asked to be."""
    said = "\n".join(text for _, text in turns)
    if "Say which of two answers is better" in said:
        one, two = ("warmly" in answer for answer in shown(said))
        return f"It could be warmer.\nBetter: {1 if one >= two else 2}"
    if "<new> and </new>" in said:
        return "<new>Be warm.</new>"
    if "<critique> and </critique>" in said:
        return "<critique>\n[task] be warm\n</critique>"
    number = int((re.findall(r"number (\d+)", said) or ["1"])[-1])
    warm = "warm" in said
    return f"We {'all ' * warm}thank you{' warmly' if warm or number % 4 == 0 else ''} for it."


def write(folder: Path, targets: bool = False) -> None:
    begin = 0
    folder.mkdir(exist_ok=True)
    (folder / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    for split, size in SIZES.items():
        target = {"target": "We thank you warmly."} if targets else {}
        rows = [{"text": f"gift number {number}", **target} for number in range(begin, begin + size)]
        (folder / f"{split}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
        begin += size


def configuration(folder: Path, url: str, targets: bool = False, **tables: Mapping[str, object]) -> Configuration:
    """The search; `tables` change some of its keys."""
    table = {"name": "thanks", "kind": "generation", "metric": "preference", "rubric": RUBRIC}
    splits = {split: f"{split}.jsonl" for split in SIZES}
    fields = {} if targets else {"target": "none"}
    usual: dict[str, Mapping[str, object]] = {
        "task": {**table, **splits, "fields": fields},
        "prompt": {"file": "prompt.txt"},
        "models": {"default": "openai/m"},
        "providers": {"openai": {"base_url": url, "concurrency": 4}},
        "search": {"assignments": 4, "width": 1, "operators": ["self_reflection"], "shrink": 2},
    }
    names = {**usual, **tables}
    return build({name: {**usual.get(name, {}), **tables.get(name, {})} for name in names}, folder)


def search(folder: Path, url: str, directory: Path) -> None:
    """The search in a process of its own, which may be killed."""

    async def main() -> None:
        async with open_run(configuration(folder, url), {"OPENAI_API_KEY": "k"}, directory) as run:
            await run.search()

    anyio.run(main)
