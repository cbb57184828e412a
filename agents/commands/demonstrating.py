"""The command that shows a newcomer a complete search."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from agents.commands.console import emit, exit_codes, program, say, stdout
from agents.commands.options import AsJson, Out, Port, Seed, Settings, Verbose, Watch
from agents.commands.searching import train, with_seed
from agents.config.configuration import Configuration, load
from agents.config.loading import load_task
from agents.models.on_this_machine import hindrance
from agents.views.demonstration import show_demonstration
from protocols.errors import ConfigError
from protocols.providers.catalogue import EMBEDDED
from protocols.text import one_line, printable

DISTRIBUTION = "promptflow-agents"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
"""The examples in a checkout."""
HOME = "home.toml"
MODEL = "local/smollm2-135m"
NO_LANGUAGE_MODEL = "It is no language model: the run shows how a search works, and its scores say nothing about one."


def demo(
    settings: Settings = None,
    out: Out = None,
    seed: Seed = None,
    watch: Watch = False,
    port: Port = 0,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Train a prompt on a small language model on this machine: no key, no network, about two minutes.

    SmolLM2-135M-Instruct tells which skill of a voice assistant should take a request. Where it cannot be
    installed, a simulator answers instead, and the demo says so.

    \b
    Example:
      promptflow demo --seed 1
    """
    with exit_codes(as_json):
        example, given = _example(), with_seed(settings, seed)
        configuration, why = load(example, given), ""
        if configuration.models.answering == MODEL and (why := hindrance(configuration)):
            configuration = load(example, [*given, f"models.default={EMBEDDED}"])
        if not as_json:
            _announce(example, configuration, why)
        result, directory = train(configuration, out, verbose, port if watch else None)
        if as_json:
            emit({**result, "directory": printable(str(directory))})
        else:
            show_demonstration(stdout(), directory, result)
            _next_steps(example, directory)


def _example() -> Path:
    """The configuration of the demo.

    :raises ConfigError: it was not installed.
    """
    example = EXAMPLES / HOME if (EXAMPLES / HOME).is_file() else _installed()
    if example is None:
        raise ConfigError(f"the demo needs {HOME}, and it is not in {EXAMPLES}; install the package again")
    return example


def _installed() -> Path | None:
    """The configuration among the files of the installed distribution."""
    try:
        files = metadata.files(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())).resolve() for file in files if file.parts[-2:] == (EXAMPLES.name, HOME))
    return next((path for path in found if path.is_file()), None)


def _announce(example: Path, configuration: Configuration, why: str) -> None:
    """Say what the demo will do, with which model, and how long it takes. `why`: the reason why the demo's model
    cannot be used, "" if it can."""
    task, model = load_task(configuration), configuration.models.answering
    labels = len({str(example.target) for example in task.train})
    say(
        f"Training a prompt that tells which of {labels} skills of a voice assistant should take a request "
        f"({_near(example)})."
    )
    if why:
        say(f"{MODEL} cannot be used here ({one_line(why, 500)}), so a simulator answers. {NO_LANGUAGE_MODEL}")
    elif model == EMBEDDED:
        say(f"A simulator answers. {NO_LANGUAGE_MODEL}")
    elif model == MODEL:
        say("SmolLM2-135M-Instruct answers, on this machine: no key, no network, about two minutes on two cores.")
    else:
        say(f"{one_line(model)} answers.")
    edits, asked = configuration.search.assignments, f"{len(task.validation)} validation examples"
    say(
        f"The first prompt answers {asked}; {edits} edits are raced on them; then the first prompt and the best one "
        f"answer {len(task.test)} test examples.\n"
    )


def _near(path: Path) -> str:
    """The path as a person at the current folder would write it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.path.join("..", "..")) else relative


def _next_steps(path: Path, directory: Path) -> None:
    example = _near(path)
    say(f"""
Run directory: {directory}
Next:
  {program()} show {directory}
  {program()} watch {directory}
  {program()} evaluate {directory}/best_prompt.txt {example} --split test
With a key, and then with examples of your own:
  {program()} search {example} --set models.default=openai/<model> --set budget.dollars=1
  {program()} init examples.csv""")
