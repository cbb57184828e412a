"""A task of a few examples on disk, for tests of the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

LABELS = ("invoice", "parcel", "退款")
WORDS = {"invoice": "card bank sum pay", "parcel": "box van street post", "退款": "退 钱 款 😀"}
SIZES = {"train": 12, "validation": 12, "test": 9}
SIMULATED: Mapping[str, object] = {"default": "embedded"}
"""`[models]` of what needs no language model."""
SETTINGS = {"search": {"assignments": 6, "width": 3, "critique": 12, "prefer": "best", "shrink": 0}}

PROMPT = """\
=== task (task) ===
Which is it?
Labels: invoice, parcel, 退款
=== definitions (definitions) ===
=== examples (examples) ===
=== input (task, frozen) ===
Text: {text}
Label:
"""

Row = Mapping[str, object]


def rows(split: str) -> list[Row]:
    """The examples of one split, labels in turn."""
    made: list[Row] = []
    for number in range(SIZES[split]):
        label = LABELS[number % len(LABELS)]
        text = f"{WORDS[label]} {split} {number}"
        made.append({"input": {"text": text}, "target": label, "id": f"{split}-{number}"})
    return made


def write_task(
    folder: Path,
    splits: Mapping[str, Sequence[Row] | bytes] | None = None,
    prompt: str = PROMPT,
    tables: Mapping[str, Mapping[str, object]] | None = None,
) -> Path:
    """The configuration's path; `splits` and `tables` stand in for what is usual."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SIZES:
        content = (splits or {}).get(split, rows(split))
        data = content if isinstance(content, bytes) else b"".join(_line(row) for row in content)
        (folder / f"{split}.jsonl").write_bytes(data)
    (folder / "prompt.txt").write_text(prompt, encoding="utf-8")
    task = {"name": "small", **{split: f"{split}.jsonl" for split in SIZES}}
    everything: dict[str, Mapping[str, object]] = {
        "task": task,
        "prompt": {"file": "prompt.txt"},
        **SETTINGS,
        **(tables or {}),
        "models": {**SIMULATED, **(tables or {}).get("models", {})},
    }
    config = folder / "small.toml"
    config.write_text("".join(_table(name, table) for name, table in everything.items()), encoding="utf-8")
    return config


def _line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _table(name: str, table: Mapping[str, object]) -> str:
    keys = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items())
    return f"[{name}]\n{keys}\n"
