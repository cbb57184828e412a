"""Commands that check and measure outside of a run: evaluate, ask, judge and doctor."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from agents import foreground
from agents.commands.console import drive, emit, environment, exit_codes, say, stdout, tell
from agents.commands.options import AsJson, Batch, Config, Settings, with_batch
from agents.config.configuration import load
from agents.run import labelling
from agents.views.agreement import show_agreement
from agents.views.diagnosis import show_diagnosis
from agents.views.exchanges import show_asked, show_breakdown
from agents.views.live.terminal import Onlooker
from agents.views.report import show_scored
from memory.journals.exchanges import as_json as as_json_of
from protocols.errors import ConfigError
from protocols.task import SplitName
from protocols.text import printable


def evaluate(
    prompt: Annotated[
        Path,
        typer.Argument(metavar="PROMPT", help="A prompt file, such as a run's best_prompt.txt, or a folder of them."),
    ],
    config: Config,
    split: Annotated[SplitName, typer.Option(help="The examples to score on.")] = "validation",
    rows: Annotated[
        Path | None, typer.Option("--rows", metavar="FILE.jsonl", help="Write what was asked and answered to it.")
    ] = None,
    batch: Batch = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Score a prompt file on one split of a task. Only --rows writes a file.

    Ctrl-C once scores what was answered by then, twice stops at once; the exit code is 130. With --batch
    the answers cost half and take up to a day. The batch is known in runs/batches: after a Ctrl-C, or
    whatever ended it, the same command fetches it.

    \b
    Examples:
      promptflow evaluate runs/home-1/best_prompt.txt examples/home.toml --split test
      promptflow evaluate runs/home-1/best_prompt.txt examples/home.toml --rows answers.jsonl
      promptflow evaluate prompt.txt examples/tickets.toml --set models.default=openai/<model> --batch
    """
    with exit_codes(as_json):
        configuration = load(config, with_batch(settings, batch))
        console = Onlooker(stderr=True)
        scored = drive(partial(foreground.evaluate, configuration, environment(), prompt, split, console, rows))
        if scored.plain:
            names = ", ".join(f"{{{name}}}" for name in scored.plain)
            tell(f"{prompt}: {names} is the name of no input field and was taken as plain text")
        for remark in scored.remarks:
            tell(f"{prompt}: {printable(remark)}")
        if scored.first_error:
            tell(f"the first example without an answer: {printable(scored.first_error)}")
        if as_json:
            emit(asdict(scored) | {"prompt": printable(scored.prompt)})
        else:
            show_scored(stdout(), scored)
            show_breakdown(stdout(), asdict(scored.breakdown))
    if scored.stopped:
        tell(f"stopped by a person: {scored.n} of {scored.n + scored.errors} examples were answered")
        raise typer.Exit(130)


def ask(
    prompt: Annotated[
        Path,
        typer.Argument(metavar="PROMPT", help="A prompt file, such as a run's best_prompt.txt, or a folder of them."),
    ],
    config: Config,
    example: Annotated[str, typer.Option("--id", help="The id of the example.")],
    offline: Annotated[bool, typer.Option("--offline", help="Call no model: show the messages alone.")] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Ask one example of a task with a prompt, and show the messages, the reply and the judgement of it.

    \b
    Example:
      promptflow ask runs/home-1/best_prompt.txt examples/home.toml --id test-3
    """
    with exit_codes(as_json):
        configuration, console = load(config, settings or []), Onlooker(stderr=True)
        work = partial(foreground.ask, configuration, environment(), prompt, example, offline, console)
        asked = drive(work)
        if as_json:
            unasked = dict.fromkeys(("reply", "score", "finish")) if offline else {}
            others = {"others": [as_json_of(each) for each in asked.others]} if asked.others else {}
            emit({"split": asked.split, "dollars": asked.dollars} | as_json_of(asked.exchange) | unasked | others)
        else:
            show_asked(stdout(), asked)


def label(
    config: Config,
    example: Annotated[str, typer.Option("--id", help="The id of the example.")],
    target: Annotated[
        str | None, typer.Option("--target", help="The right answer: a text, or JSON where targets are no texts.")
    ] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Its answer is wrong: leave the example out.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the answer of the data again.")] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Correct the gold answer of an example, or mark it as wrong, without changing the data.

    It is noted in a file beside the data, NAME.labels.jsonl, which every later command reads.

    \b
    Examples:
      promptflow label mine.toml --id train-17 --target refund
      promptflow label mine.toml --id train-20 --wrong
    """
    with exit_codes(as_json):
        if (target is not None) + wrong + undo != 1:
            raise ConfigError("give one of --target, --wrong and --undo")
        done = labelling.label(load(config, settings or []), example, target, wrong)
        if as_json:
            emit(asdict(done) | {"file": str(done.file)})
            return
        say(str(done))


def judge(
    config: Config,
    grades: Annotated[
        Path,
        typer.Argument(metavar="GRADES", help="Answers with people's grades: 20 to 100, good ones and bad ones."),
    ],
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Compare the judge of a task with people who graded the same answers. Nothing is written.

    A row of GRADES has the keys of an example, and besides them `answer` and `grade`: yes or no, or a
    number of any scale.

    \b
    Example:
      promptflow judge mine.toml grades.jsonl
    """
    with exit_codes(as_json):
        configuration = load(config, settings or [])
        console = Onlooker(stderr=True)
        found = drive(partial(foreground.judge, configuration, environment(), grades, console))
        if as_json:
            emit(asdict(found))
        else:
            show_agreement(stdout(), found)


def doctor(
    config: Config,
    settings: Settings = None,
    offline: Annotated[bool, typer.Option("--offline", help="Call no model.")] = False,
    headroom: Annotated[
        bool, typer.Option("--headroom", help="Ask the task's model, too, what there is to gain.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a configuration and all that it names, and estimate the cost of a search. Nothing is written.

    One small call is made to each model. All problems are listed; the exit code is 2 if one is in the
    input, 1 if only model calls failed. With --headroom, about 200 more calls, on 30 validation
    examples, show what a search could gain.

    \b
    Example:
      promptflow doctor examples/tickets.toml --set models.default=openai/<model>
    """
    with exit_codes(as_json):
        console = Onlooker(stderr=True)
        if offline and headroom:
            raise ConfigError("--headroom asks the model, and --offline forbids it: give one of them")
        look = partial(foreground.diagnose, config, settings or [], environment(), offline, console, headroom)
        diagnosis = drive(look)
        if as_json:
            emit(asdict(diagnosis))
        else:
            show_diagnosis(stdout(), diagnosis)
    if diagnosis.exit_code:
        raise typer.Exit(diagnosis.exit_code)
