"""The results of a run: read from its directory and printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.archive.ends import ALL_MADE, end_in_words
from agents.directory.run_directory import BEST_PROMPT, CONFIGURATION, JOURNAL, RESULT, no_run
from agents.history.progress import Ending, progress_of
from agents.results.finished import read_result
from agents.run.scoring import Scored
from agents.views.exchanges import show_breakdown
from agents.views.live.terminal import clock, dollars, estimated
from agents.views.unread import counted, endings, unread_value
from protocols.errors import StorageFailed
from protocols.messages import FIRST
from protocols.providers.catalogue import EMBEDDED
from protocols.text import how_many, one_line, printable

NOT_RUN = "–"
FAULTS = frozenset({"unreadable", "too long", "call", "dropped", "raised"})
"""Endings of assignments that point to a problem with a model or its settings."""
MOST = 5
"""Most ids, or leaks, printed; result.json has them all."""


@dataclass(frozen=True, slots=True)
class Report:
    """`result`: as in result.json, None if the run has none. `lineage`: from the first prompt to the winner, or to
    the best so far. `best_prompt`: the text of the prompt file, None before there is one."""

    directory: str
    result: Mapping[str, Any] | None
    best_prompt: str | None
    lineage: Sequence[Ending]


def read_report(directory: Path) -> Report:
    """Read a run directory; the run may have failed, or still be running.

    :raises ConfigError: it is no run directory.
    :raises StorageFailed, MemoryMismatch: one of its files is damaged, or of another version.
    """
    if not (directory / CONFIGURATION).is_file() or not (directory / JOURNAL).is_file():
        raise no_run(directory)
    progress = progress_of(directory)
    result = read_result(directory / RESULT)
    best = progress.best.assignment if progress.best else 0
    lineage = progress.lineage(best if result is None else result["candidate"])
    return Report(printable(str(directory)), result, _read(directory / BEST_PROMPT), lineage)


def show_report(console: Console, report: Report) -> None:
    """Print a report, as the command `show` does."""
    if report.result is None:
        console.print(Text("This run has no result: it is still running, or it was stopped before its end."))
    else:
        show_result(console, report.result)
        if test := report.result["test"]:
            show_breakdown(console, test["best_score"]["breakdown"])
    console.print(Text("\nHow the best prompt came about", style="bold"))
    for ending in report.lineage:
        console.print(Text(f"{ending.assignment:>4}  {one_line(str(ending))}"), soft_wrap=True)
    if report.best_prompt is not None:
        console.print(Text("\nThe best prompt", style="bold"))
        console.print(Text(printable(report.best_prompt)), soft_wrap=True)


def show_result(console: Console, result: Mapping[str, Any]) -> None:
    """Print the table of a result and the remarks on it. Takes the content of result.json, so that a search and
    `show` print the same."""
    console.print(_table(result))
    for line in _remarks(result):
        console.print(Text(one_line(line, 500)), soft_wrap=True)
    calls, tokens = sum(result["calls"].values()), sum(result["tokens"].values())
    guessed = estimated(result.get("estimated", 0), calls)  # none in a result of an earlier release
    spent = f"{calls:,} calls ({result['saved']['calls']:,} more from the cache), {tokens:,} tokens{guessed}"
    console.print(Text(f"{spent}, cost {dollars(result['dollars'])}, {clock(result['seconds'])}"), soft_wrap=True)
    made, stopped_by = result["assignments"], result["stopped_by"]
    ended = f"all {made} were made" if stopped_by == ALL_MADE else f"{made}, {end_in_words(stopped_by)}"
    console.print(Text(one_line(f"Assignments: {ended}", 500)), soft_wrap=True)


def _table(result: Mapping[str, Any]) -> Table:
    test, table = result["test"], Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "first prompt", "best prompt", "difference", "examples"):
        table.add_column(column, justify="left" if not column else "right")
    train = result["train"]
    for name, first, best in (
        ("train", train["first"], train["best"]),
        ("validation", result["first"], result["best"]),
    ):
        known = first["n"] and best["n"]  # a budget may end before the winner's minibatch, which is no score of 0
        gain = f"{best['value'] - first['value']:+.3f}" if known else NOT_RUN
        values = [f"{each['value']:.3f}" if each["n"] else NOT_RUN for each in (first, best)]
        examples = f"{best['n']}" if first["n"] == best["n"] else f"{first['n']}, {best['n']}"
        table.add_row(name, *values, gain, examples)
    if test:
        table.add_row("test", f"{test['first']:.3f}", f"{test['best']:.3f}", _difference(test), str(test["n"]))
    return table


def _remarks(result: Mapping[str, Any]) -> Iterator[str]:
    test = result["test"]
    if result["models"].get("task") == EMBEDDED:
        yield (
            "A simulator answered (models.default is embedded). It is no language model: it is weak where answers "
            "are not labels, and its scores say nothing of one."
        )
    yield from missing_test(result)
    yield from no_gain(result)
    if test:
        yield f"On test, the best prompt gains {_some(test['gained'])} and loses {_some(test['lost'])}."
        for name, score in (("first", test["first_score"]), ("best", test["best_score"])):
            yield f"On test alone, the {name} prompt has {_score(score)}."
    if length := result.get("length"):  # none in a result of an earlier release
        tokens = f"{length['first']:,} tokens without the input, the best one {length['best']:,}"
        yield f"The first prompt has about {tokens}."
    yield from longer_but_better(result)
    yield from old_and_new(result)
    yield from thousand(result)
    yield from of_each_model(result)
    yield from of_each_prompt(result)
    yield from _endings(result)
    if result["unanswered"]:
        yield f"Examples that the search left unanswered: {counted(result['unanswered'])}."
    yield from compared(result.get("comparisons"))  # none in a result of an earlier release
    yield from left_out(result)
    for leak in result["leaks"][:MOST]:
        where = f"section {leak['section']} holds text of the {leak['split']} example {leak['example']}"
        yield f"A LEAK: {where}: {leak['text']}"
    if len(result["leaks"]) > MOST:
        yield f"and {len(result['leaks']) - MOST} leaks more: see result.json"


def old_and_new(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the examples of before and on those that came later; none where no examples came later."""
    if (found := result.get("old_and_new")) is None:
        return
    if found["refused"] is not None and (lost := found["refused_old"]):
        values = f"{lost['best']:.3f}, the first prompt {lost['first']:.3f}: {_difference(lost)}"
        stays = (
            "The first prompt stays" if result["candidate"] == FIRST else f"Candidate {result['candidate']} is taken"
        )
        yield f"{stays}: on the {lost['n']} old validation examples candidate {found['refused']} has {values}."
    for split in ("validation", "test"):
        for part in ("old", "new"):
            if (change := found[split][part]) is not None:
                values = f"the first prompt has {change['first']:.3f}, the best {change['best']:.3f}"
                yield f"On the {change['n']} {part} {split} examples {values}: {_difference(change)}."


def _difference(change: Mapping[str, Any]) -> str:
    low, high = change["interval"]
    return f"{change['difference']:+.3f} (95 %: {low:+.3f} to {high:+.3f})"


def no_gain(result: Mapping[str, Any]) -> Iterator[str]:
    """A line for a search that found no better prompt, or one that is no better on the test split."""
    test = result.get("test")
    if result["candidate"] == FIRST:
        yield "No edit was better than the first prompt, which is the result."
    elif test and test["n"] and test["difference"] <= 0:
        low, high = test["interval"]
        how = f"{-test['difference']:.3f} worse than" if test["difference"] < 0 else "no better than"
        chance = "; the interval holds 0, so this may be chance" if low <= 0 <= high and low < high else ""
        yield f"On test, the best prompt is {how} the first one{chance}."


def thousand(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the tokens and cost of 1,000 answers; none for a result of an earlier release."""
    if answers := result.get("answers"):
        each = " by each model" * bool(result.get("by_model"))
        for name, taken in (("first", answers["first"]), ("best", answers["best"])):
            cost = "" if taken["dollars"] is None else f", {dollars(taken['dollars'])}"
            tokens = f"{taken['input']:,} tokens of input and {taken['output']:,} of output"
            yield f"1,000 answers of the {name} prompt{each} take {tokens}{cost} (by {taken['split']})."


def of_each_prompt(result: Mapping[str, Any]) -> Iterator[str]:
    """A line on the length and cost of each prompt of a program; none for a result of an earlier release."""
    for name, costs in (result.get("prompts") or {}).items():
        first, best = costs["first"], costs["best"]
        line = f"The prompt {name}: about {first['tokens']:,} tokens at first, {best['tokens']:,} in the best"
        if best["n"]:
            cost = "" if best["dollars"] is None else f", {dollars(best['dollars'])}"
            line += (
                f"; for 1,000 answers {best['calls']:,.0f} calls, {best['input']:,} tokens of input and "
                f"{best['output']:,} of output{cost} (by {best['n']} training examples)"
            )
        yield f"{line}."


def of_each_model(result: Mapping[str, Any]) -> Iterator[str]:
    """A line on each of several models that answer: what the best prompt gains or, by the interval, loses on it, and
    the cost of its own answers; none for a result of an earlier release."""
    for name, found in (result.get("by_model") or {}).items():
        if change := found["test"]:
            values = f"on test {change['first']:.3f} at first, {change['best']:.3f} with the best prompt"
            line = f"{name}{' loses' * (change['interval'][1] < 0)}: {values}: {_difference(change)}"
        else:
            values = f"on validation {found['first']:.3f} at first, {found['best']:.3f} with the best prompt"
            line = f"{name}: {values}: {found['best'] - found['first']:+.3f}"
        if (answers := found["answers"]) and answers["best"]["dollars"] is not None:
            costs = " → ".join(dollars(answers[side]["dollars"]) for side in ("first", "best"))
            line += f"; 1,000 answers {costs}"
        spent = found["spent"]
        yield f"{line}; the run spent {spent['calls']:,} calls, {dollars(spent['dollars'])} on it."


def longer_but_better(result: Mapping[str, Any]) -> Iterator[str]:
    """A line on a candidate with a higher value that the result was preferred to; none if there is none."""
    if passed := result.get("passed_over"):  # not in a result of an earlier release
        yield (
            f"Candidate {passed['candidate']} has {passed['value']:.3f} on validation with {passed['tokens']:,} "
            f"tokens; the result is shorter, and its {result['best']['value']:.3f} may be less by chance alone "
            f"(search.prefer). show RUN_DIR --candidate {passed['candidate']} prints it."
        )


def left_out(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines on examples that were too long, survivors without critique, examples whose expected answers the critic
    doubts, and operators without any evaluated candidate; none for a result of an earlier release."""
    if long := result.get("too_long"):
        yield f"Too long for the task's model, whatever the prompt, and left out: {_some(long)}."
    if mute := result.get("uncriticised"):
        yield f"Survivors without the critique that they should have: {counted(mute)}."
    if doubted := result.get("doubted"):
        ids = ", ".join([*doubted][:MOST]) + ", …" * (len(doubted) > MOST)
        yield f"The critic doubts the expected answers of some training examples: {ids} ({len(doubted)} in all)."
        yield "To correct such an answer: label CONFIG --id ID --target ANSWER; to leave the example out: --wrong."
    for name, ends in (result.get("operators") or {}).items():
        if not ends.keys() & {"survived", "declined", "lost"} and ends.keys() & FAULTS:
            yield f"No assignment of {name} came to an evaluation: {counted(ends)}."


def _endings(result: Mapping[str, Any]) -> Iterator[str]:
    for name, value in (("first", result["first"]), ("best", result["best"])):
        if ended := endings(value):
            replies = f"{value['n']} {'worst replies' if result.get('by_model') else 'replies'}"
            yield f"On validation, of the {name} prompt's {replies}: {ended}."
    if headroom := result.get("headroom"):
        yield f"Before the search: {one_line(headroom['sentence'], 1000)}"
    elif said := unread_value(result["first"]):
        yield said


def compared(found: Mapping[str, Any] | None) -> Iterator[str]:
    """A line on a judge of preferences, and how often it went by the place or the length of an answer, from
    `Comparisons` as in JSON; none for None."""
    if found is None:
        return
    n, turned = found["n"], found["first"] + found["second"]
    line = f"The judge compared {how_many(n, 'answer')} with the opponent's; on {turned} ({turned / n:.0%}) it "
    line += "changed its mind when they changed places, which is a tie"
    if turned:
        line += f" (it preferred the one shown first {found['first']} times, the second {found['second']})"
    if decided := found["longer"] + found["shorter"]:
        line += f"; of {decided} that it decided, it preferred the longer answer on {found['longer']}"
    if found["unheard"]:
        line += f"; on {found['unheard']} its verdict could not be read, which is a tie, too"
    yield f"{line}."


def missing_test(result: Mapping[str, Any]) -> Iterator[str]:
    """A line on the part of the held-out comparison that a cap prevented."""
    if (missing := result.get("test_missing")) is None:
        return
    if (test := result["test"]) is None:
        yield f"The test split was not read: {missing}"
    else:
        yield f"The test split was not read to its end: {missing}; the comparison stands on {test['n']} examples"


def show_scored(console: Console, scored: Scored) -> None:
    """Print the score of a prompt, for the command `evaluate`."""
    line = f"{scored.prompt} on {scored.split}: {_score(asdict(scored))}"
    console.print(Text(one_line(line, 500)), soft_wrap=True)
    for said in (unread_value(asdict(scored)), *compared(asdict(scored)["breakdown"]["comparisons"])):
        if said:
            console.print(Text(one_line(said, 500)), soft_wrap=True)
    for name, on in scored.spent.items():
        value = scored.breakdown.models.get(name, 0.0)
        console.print(
            Text(f"{one_line(name)}: {value:.4f}; {on.calls:,} calls, {dollars(on.dollars)}"), soft_wrap=True
        )
    tokens = f"{scored.tokens:,} tokens{estimated(scored.estimated, scored.calls)}"
    spent = f"{scored.calls:,} calls, {tokens}, cost {dollars(scored.dollars)}"
    console.print(Text(f"{spent}, {clock(scored.seconds)}, model {one_line(scored.model)}"), soft_wrap=True)


def _score(score: Mapping[str, Any]) -> str:
    """A `Score`, given as in JSON, in words."""
    low, high = score["interval"]
    ends = [f"{score['errors']} unanswered ({counted(score['reasons'])})"] if score["errors"] else []
    ends += [f"of the replies: {ended}"] if (ended := endings(score)) else []
    said = "; ".join([f"{score['n']} examples", *ends])
    return f"{score['value']:.4f} (95 %: {low:.4f} to {high:.4f}; {said})"


def _some(ids: Sequence[str]) -> str:
    """The number of examples, and the first ids."""
    rest = ", …" if len(ids) > MOST else ""
    return how_many(len(ids), "example") + (f" ({', '.join(ids[:MOST])}{rest})" if ids else "")


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageFailed(f"cannot be read: {error}", file=str(path)) from error
