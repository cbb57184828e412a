"""Commands that read a run directory: show, report, replay, trace, blame and diff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from agents import foreground
from agents.archive.ends import end_in_words
from agents.commands.console import drive, dumps, emit, exit_codes, print_as_is, say, stdout, tell
from agents.commands.options import AsJson, OfCandidate, RunDirectory
from agents.directory.run_directory import write
from agents.history import blame as blaming
from agents.history import trace as tracing
from agents.history.progress import end_of
from agents.history.wrong import wrong
from agents.results.prompt_diff import compare_prompts
from agents.views.exchanges import show_wrong
from agents.views.live.terminal import Onlooker
from agents.views.page.document import report_document
from agents.views.page.markdown import markdown
from agents.views.page.report import write_report
from agents.views.report import read_report, show_report
from agents.views.tracing import show_blame, show_comparison, show_trace
from memory.journals.exchanges import Exchange
from memory.journals.exchanges import as_json as as_json_of
from protocols.errors import ConfigError
from protocols.files import prompt_file
from protocols.task import SplitName
from protocols.text import printable


def show(
    directory: RunDirectory,
    candidate: Annotated[
        int | None, typer.Option("--candidate", min=0, help="Print the prompt of this one instead, as a prompt file.")
    ] = None,
    still_wrong: Annotated[
        bool, typer.Option("--wrong", help="List what the winner, or --candidate, still answers wrong.")
    ] = False,
    split: Annotated[
        SplitName | None, typer.Option(help="With --wrong: on this split.  [default: test, else validation]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a run found: its result, which edits led to the best prompt, and the prompt itself.

    \b
    Examples:
      promptflow show runs/tickets-1
      promptflow show runs/tickets-1 --candidate 17 > shorter.txt
      promptflow show runs/tickets-1 --wrong
    """
    with exit_codes(as_json):
        if still_wrong:
            found = wrong(directory, candidate, split)
            if as_json:
                emit(
                    {"candidate": found.candidate, "split": found.split, "n": found.n}
                    | {"wrong": [as_json_of(each) for each in found.exchanges]}
                )
            else:
                show_wrong(stdout(), found)
            return
        if candidate is not None:
            text = prompt_file.dumps(tracing.prompt_of(directory, candidate))
            if as_json:
                emit({"candidate": candidate, "prompt": text})
            else:
                print_as_is(text.encode("utf-8"))
                tell(f"candidate {candidate}: {end_of(directory, candidate) or 'it has not ended'}")
            return
        report = read_report(directory)
        if as_json:
            emit(asdict(report))
        else:
            show_report(stdout(), report)


def report(
    directory: RunDirectory,
    form: Annotated[
        Literal["html", "md", "json"],
        typer.Option("--format", help="html: the page, a file; md and json: on standard output."),
    ] = "html",
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write.  [default: RUN_DIR/report.html for html]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run: its result, how the best prompt came about, and the cost. The run may be unfinished.

    The page is one file that opens from disk, without a network. With --json: the path of the file that was
    written, or the report itself where none was.

    \b
    Examples:
      promptflow report runs/tickets-1
      promptflow report runs/tickets-1 --format md
    """
    shown = form == "json" and out is None
    with exit_codes(as_json or shown):
        if as_json and form == "md" and out is None:
            raise ConfigError("--json and --format md both want standard output: give --out FILE, or --format json")
        if form == "html":
            path = write_report(directory, out)
            if out is None and path.parent != directory:
                tell(f"{directory} may not be written, so the report is in the current folder")
            emit({"report": printable(str(path))}) if as_json else say(f"Report: {path}")
            return
        document = report_document(directory)
        content = dumps(document) if form == "json" else markdown(document).encode("utf-8")
        if out is None:
            print_as_is(content)
            return
        write(out, content)
        if as_json:
            emit({"report": printable(str(out))})


def replay(
    directory: RunDirectory,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Times as fast as the run was.  [default: as fast as possible]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Repeat a search from its journal, offline, and check that it makes the same decisions.

    Shows the same view as the search. Nothing is written and no model is asked.

    \b
    Example:
      promptflow replay runs/tickets-1 --speed 60
    """
    with exit_codes(as_json):
        replayed = drive(partial(foreground.show_again, directory, Onlooker(stderr=True), speed))
        if as_json:
            emit(asdict(replayed))
        else:
            ended = end_in_words(replayed.stopped_by) if replayed.stopped_by else "it has not finished"
            say(f"All {replayed.decisions} decisions came out as the journal has them; {ended}.")


def trace(
    directory: RunDirectory,
    candidate: OfCandidate = None,
    with_texts: Annotated[
        bool, typer.Option("--texts", help="Print what the critic and the operators asked, and the replies, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print how a candidate came about: messages and calls, with models, tokens, latency and cost.

    \b
    Examples:
      promptflow trace runs/tickets-1 17
      promptflow trace runs/tickets-1 17 --texts
    """
    with exit_codes(as_json):
        links = tracing.trace(directory, candidate)
        asked = [tracing.asked_for(directory, link.ending.assignment) if with_texts else () for link in links]
        if as_json:
            each = zip(links, asked, strict=True)
            emit({"links": [asdict(link) | ({"texts": texts_of(said)} if with_texts else {}) for link, said in each]})
        else:
            show_trace(stdout(), links, asked)


def blame(directory: RunDirectory, candidate: OfCandidate = None, as_json: AsJson = False) -> None:
    """Print for each line of a prompt the edit that added it, with its operator, gradient and gain.

    \b
    Example:
      promptflow blame runs/tickets-1
    """
    with exit_codes(as_json):
        lines = blaming.blame(directory, candidate)
        if as_json:
            emit({"lines": [asdict(line) for line in lines]})
        else:
            show_blame(stdout(), lines)


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A prompt file, a folder of them, or a run directory.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    as_json: AsJson = False,
) -> None:
    """Compare two prompts section by section, with their scores if a run has measured them.

    \b
    Example:
      promptflow diff runs/tickets-1/first_prompt.txt runs/tickets-1
    """
    with exit_codes(as_json):
        comparison = compare_prompts(a, b)
        if as_json:
            emit(asdict(comparison))
        else:
            show_comparison(stdout(), comparison)


def texts_of(asked: Sequence[tuple[str, Exchange]]) -> list[dict[str, object]]:
    """What the critic and the operators asked for a candidate, as JSON."""
    return [{"role": role} | as_json_of(exchange) for role, exchange in asked]
