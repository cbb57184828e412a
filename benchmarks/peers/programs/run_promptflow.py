"""PromptFlow, the working tree, with its default settings: `run.py search` with the first prompt of its own layout.

A task whose program has several prompts has a configuration of its own, whose settings hold, but for the models and
the budget. The cap on task calls is shared with what section credit asks of the same model. Its held-out report reads
one example, which is none of the test examples.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from agents.api import load_prompt
from benchmarks.peers.material import as_template
from benchmarks.peers.programs.job import KEY, TASK, WRITER, Item, Job, taken

CREDIT = 11
"""The default lets credit have a tenth of what the task has."""


def written(job: Job) -> str:
    """The path of the configuration, whose files are written beside it."""
    splits: dict[str, Sequence[Item]] = {"train": job.train, "validation": job.validation, "test": job.spare}
    for name, items in splits.items():
        rows = [{"id": item.id, "input": item.inputs, "target": item.target} for item in items]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (job.work / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    if job.configuration:
        return job.configuration
    tables = {"task": {"name": "peers", "kind": job.kind, **{name: f"{name}.jsonl" for name in splits}}}
    lines = "".join(
        f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        for table, keys in tables.items()
    )
    file = job.work / "peers.toml"
    file.write_text(lines, encoding="utf-8")
    return str(file)


def settings(job: Job) -> list[str]:
    """The options that set models, budget and seed, and the test split of a configuration that has one of its own."""
    credit = job.calls // CREDIT
    tables: dict[str, dict[str, object]] = {
        "task": {"test": str(job.work / "test.jsonl")},
        "models": {"default": f"openai/{WRITER}", "task": f"openai/{TASK}"},
        "providers.openai": {"base_url": job.base, "concurrency": job.at_once, "timeout": 1800},
        "budget.roles.task": {"calls": job.calls - credit},
        "budget.roles.credit": {"calls": max(1, credit)},
        "search": {"seed": job.seed},
    }
    return [
        f"--set={table}.{key}={json.dumps(value)}" for table, keys in tables.items() for key, value in keys.items()
    ]


def main() -> None:
    """Search, and render what was found; what stopped the search is in its own files."""
    job = taken()
    run = job.work / "run"
    subprocess.run(
        [sys.executable, "run.py", "search", written(job), *settings(job), "--out", str(run), "--json"],
        env={"OPENAI_API_KEY": KEY, "PATH": "", "HOME": str(job.work)},
        check=False,
    )
    prompt = load_prompt(run)
    if job.prompts:
        parts = {name: as_template(prompt.prompt.of(name)) for name in job.prompts}
        job.done([parts] * len(job.test))
        return
    job.done([[{"role": m.speaker, "content": m.text} for m in prompt.render(item.inputs)] for item in job.test])


if __name__ == "__main__":
    main()
