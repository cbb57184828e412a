"""Whether exports render, in the libraries that read them, what the search has sent: python -m benchmarks.exports

The libraries are not installed beside us. Name an interpreter that has them (pip install jinja2 dspy mlflow-skinny
langfuse langsmith langchain-core openai) and the promptfoo of npm, which needs Node 22:

    python -m benchmarks.exports --python ENV/bin/python --promptfoo node_modules/.bin/promptfoo
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from agents.exports.formats import FORMATS, TEMPLATES, Format, write_as
from agents.exports.portable import Portable
from agents.exports.source import open_prompts
from agents.prompting.retrieval_slots import open_slots
from agents.results.saving import save_best
from protocols.errors import PromptError
from protocols.files import prompt_file
from protocols.kinds.kinds import generation
from protocols.metrics.match import Exact
from protocols.prompt import Prompt
from protocols.providers.openai import message_of
from protocols.task import Example, Task

CHECK = Path(__file__).with_name("exported_elsewhere.py")
SPICE = [
    *(
        "{text}",
        "{{text}}",
        "{{ question }}",
        "{% raw %}",
        "{% endraw %}",
        "{#",
        "#}",
        "{{",
        "}}",
        "{",
        "}",
        '{"a": {"b": 1}}',
    ),
    *(
        "付款",
        "退款。",
        "😀",
        "👩‍🚀",
        "\x00",
        "\x1b[0m",
        "\t",
        "\r",
        "\r\n",
        "\n",
        "\\",
        "\\n",
        '"',
        "'",
        "%s",
        "${x}",
        "<b>&",
        "\u2028",
    ),
    *("parcel", "card", "My invoice", "two words", " ", ":"),
]
"""What breaks the prompts of other people."""
TASK, IN = "=== task (task) ===\n{a}\n", "=== in (task) ===\n"
LAYOUTS = [
    f"{TASK}{IN}Text: {{text}}{{b}}",
    f"{TASK}{IN}{{b}}{{text}}\n{{text}}",
    f"{TASK}{IN}Text: {{text}}\nQuestion: {{question}}{{b}}",
    f"{TASK}=== e (examples, turns) ===\n--- user ---\nQ {{text}} {{a}}\n--- assistant ---\nyes\n{IN}{{text}}",
    f"{IN}{{a}}\n\n{{text}}",
    f"{TASK}=== e (examples, turns) ===\n{{examples:2}}\n{IN}Text: {{text}}\nLabel:",
    f"{TASK}=== e (examples) ===\n{{examples:3}}\n=== k (knowledge) ===\n{{passages:1}}\n{IN}{{text}}{{b}}",
]
"""Prompts, with `{a}` and `{b}` in the place of arbitrary text."""


def drawn(rng: Random, most: int) -> str:
    """A text of the signs above, without what would be another header of a prompt file."""
    return "".join(rng.choice(SPICE) for _ in range(rng.randint(1, most)))


def prompts(rng: Random, rounds: int) -> Iterator[Prompt]:
    """Prompts of each layout."""
    for layout in LAYOUTS * rounds:
        blank = prompt_file.loads(layout)
        texts = [drawn(rng, 8), drawn(rng, 4)]
        yield Prompt(
            tuple(
                replace(
                    s,
                    text=s.text.replace(
                        "{a}", texts[0].replace("\r", " ") if s.form == "turns" else texts[0]
                    ).replace("{b}", texts[1]),
                )
                for s in blank
            )
        )


def case(folder: Path, prompt: Prompt, rng: Random) -> Mapping[str, object]:
    """Writes the exports of a prompt, and what the search sends for ten inputs."""
    fields = ("text", "question") if any("{question}" in s.filled for s in prompt) else ("text",)
    train = tuple(Example(f"t{n}", {f: drawn(rng, 5) for f in fields}, rng.choice(["yes", "no"])) for n in range(12))
    kind = generation({"train": train})
    task = Task("elsewhere", train, train, train, Exact(kind), fields, kind)
    slots = open_slots(task, [drawn(rng, 6) for _ in range(5)])
    folder.mkdir()
    save_best(folder, prompt, slots)
    [portable], _ = open_prompts(folder)
    inputs = [dict(train[0].inputs), *({f: drawn(rng, 5) for f in fields} for _ in range(9))]
    sent = [prompt.render(slots.inputs(prompt, one)) for one in inputs]
    refused = {form: reason for form in FORMATS if (reason := written(folder, form, portable))}
    searched = [[message_of(message) for message in messages] for messages in sent]
    return {"inputs": inputs, "sent": searched, "refused": refused, "slots": bool(portable.saved.slots)}


def written(folder: Path, form: Format, portable: Portable) -> str:
    """Writes one export; the reason if it is refused."""
    if form in TEMPLATES and portable.saved.slots:
        return "finds nothing for each input"
    try:
        files = write_as(form, portable, form).files
    except PromptError as error:
        return str(error)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode("utf-8"))
    return ""


def table(python: str, folder: Path, promptfoo: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A line for each format."""
    for form in FORMATS:
        command = [python, str(CHECK), form, str(folder), *(promptfoo if form == "promptfoo" else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = done.stdout.strip().splitlines()
        yield form, last[-1] if last else f"failed: {done.stderr.strip().splitlines()[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has the libraries")
    parser.add_argument("--promptfoo", nargs="+", default=["promptfoo"], help="the command that runs promptfoo")
    parser.add_argument("--rounds", type=int, default=3, help="prompts of each of the 7 layouts")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = Random(given.seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        cases = [case(folder / f"case{n}", prompt, rng) for n, prompt in enumerate(prompts(rng, given.rounds))]
        (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
        for form, line in table(given.python, folder, given.promptfoo):
            print(f"{form:15} {line}")


if __name__ == "__main__":
    main()
