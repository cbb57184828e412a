"""Commands to a running search, from the words of the command line to the messages of the bus.

Commands travel through a file of the run directory: the sender appends a line with one write, the operating system
notifies the process that runs the search, and every command is in the journal before it takes effect.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import anyio
import orjson

from agents.archive.aims import SETTINGS, Aims
from agents.archive.ends import INTERRUPTED
from agents.config.configuration import Configuration, build
from agents.config.loading import load_task
from agents.config.reading import parsed
from agents.config.tables.search import CapsTable
from agents.directory.run_directory import (
    COMMANDS,
    FIRST_PROMPT,
    JOURNAL,
    LOCK,
    RESULT,
    not_written,
    read_configuration,
)
from agents.directory.watching import Watcher
from agents.history.progress import Progress, progress_in
from agents.history.resumption import ENDS, Ends
from agents.models.budget import check_priced, kept_prices
from agents.prompting.forward import Concurrency
from agents.ring.controller import WIDTH
from agents.ring.injected_edit import carried_over
from agents.ring.team import Tell
from agents.run.reviewing import check_waits, decision
from memory.journals.reading import read_durable, read_journal
from memory.storage.sqlite import is_claimed
from protocols.budget.ledger import Ledger
from protocols.budget.prices import Price
from protocols.bus import NOBODY
from protocols.concurrency.threads import in_thread
from protocols.errors import NO_ROOM, ConfigError, InputError, PromptError, StorageFailed
from protocols.files import prompt_file, prompt_folder
from protocols.messages import (
    Accept,
    Change,
    Command,
    Conclude,
    Continue,
    Envelope,
    Finished,
    Freeze,
    Inject,
    Pause,
    Reject,
    Resumed,
    Stop,
)
from protocols.prompt import Prompt

CONCURRENCY = "search.concurrency"
NO_CAP = "none"
USAGE = (
    "pause, resume, stop, set KEY VALUE, freeze SECTION, inject PROMPT_FILE, waiting, accept CANDIDATE, "
    'reject CANDIDATE "why"'
)


def command(directory: Path, words: Sequence[str]) -> str:
    """Send the command in `words` to the process that runs the search in `directory`. Returns a confirmation.

    :raises InputError: the words are not a command, the run cannot obey it, or no process works on the run.
    :raises StorageFailed: a file of the run directory cannot be read or written.
    """
    configuration, first = read_configuration(directory), prompt_file.load(directory / FIRST_PROMPT)
    told, doubt = list(words), ""
    if told[:1] == ["inject"] and len(told) == 2:
        edited = prompt_folder.in_order(prompt_folder.load(Path(told[1])), first.names)
        doubt = _check_edit(edited, first, configuration, told[1])
        told[1] = prompt_file.dumps(edited)
    every = _each_section(told, first)
    meant = understand(every[0], configuration, first, kept_prices(directory, configuration))
    _check_under_way(directory, meant)
    if isinstance(meant, Accept | Reject):
        check_waits(directory, meant.assignment)
    most = configuration.search.assignments
    if isinstance(meant, Inject) and _issued(directory) >= most:
        raise ConfigError(f"the run in {directory} has made all of its {most} assignments")
    for one in every:
        _append(directory / COMMANDS, one)
    if len(every) > 1:
        return f"{told[1]} is frozen, with all of its sections: no assignment that is issued from now on edits them"
    return in_words(meant) + (f"; but {doubt}" if doubt else "")


def _each_section(words: Sequence[str], first: Prompt) -> list[list[str]]:
    """The command for each section of a prompt of a program, if it is about a whole prompt."""
    match list(words):
        case ["freeze", prompt] if prompt and prompt in first.names:
            return [["freeze", section.name] for section in first.of(prompt)]
        case other:
            return [other]


def understand(
    words: Sequence[str], configuration: Configuration, first: Prompt, known: Mapping[str, Price]
) -> Command:
    """The command in these words; after `inject` comes the text of the prompt's file. `known`: the run's prices.

    :raises InputError: the words are not a command, or this run cannot obey it.
    """
    match list(words):
        case ["pause"]:
            return Pause()
        case ["resume"]:
            return Continue()
        case ["stop"]:
            return Stop(INTERRUPTED)
        case ["set", setting, value]:
            return _change(setting, value, configuration, known)
        case ["freeze", section]:
            if section not in (names := [section.name for section in first]):
                prompts = f", and the prompts {', '.join(first.names)}" if len(first.names) > 1 else ""
                raise ConfigError(f"no section is named {section!r}; there are {', '.join(names)}{prompts}")
            return Freeze(section)
        case ["accept" | "reject", *_]:
            return decision(words)
        case ["inject", text]:
            return Inject(prompt_file.loads(text))
        case _:
            raise ConfigError(f"{' '.join(words)!r} is no command; there are {USAGE}")


def in_words(told: Command) -> str:
    """A confirmation of the command, on one line."""
    match told:
        case Stop():
            return "stopping: what is in flight ends, then the test split is read"
        case Pause():
            return "paused: what is in flight ends, and no assignment is issued until resume"
        case Continue():
            return "resumed"
        case Change(setting, None):
            return f"{setting}: none from now on" if setting in SETTINGS else f"{setting}: no cap from now on"
        case Change(setting, value):
            return f"{setting} = {value:,g} from now on"
        case Freeze(section):
            return f"{section} is frozen: no assignment that is issued from now on edits it"
        case Accept(number):
            return f"candidate {number} is accepted, and joins the archive"
        case Reject(number, reason):
            return f"candidate {number} is rejected, and later edits of its section are told why: {reason}"
        case Inject():
            return "a prompt made by hand is the next assignment's candidate"
        case _:
            assert_never(told)


@dataclass(frozen=True, slots=True)
class Hearing:
    """The channel by which a search receives commands: a watcher of the file, and `heard`, the offset in bytes from
    which this process reads: earlier commands were for an earlier process."""

    watcher: Watcher
    heard: int = 0


class Steering:
    """Applies commands outside the Controller: to the budget, its clock, and the calls in flight. A tap of the bus.
    `aims`: the current ones, with which a process begins or resumes the run."""

    def __init__(self, configuration: Configuration, ledger: Ledger) -> None:
        self._configuration, self._ledger = configuration, ledger
        self.concurrency = Concurrency(configuration.at_once)
        self.aims = Aims(configuration.budget.target, configuration.budget.patience)
        self._progress = Progress() if configuration.search.review else None

    async def observe(self, envelope: Envelope) -> None:
        """Apply a message of the bus."""
        self._apply(envelope)
        if self._progress is not None:  # while nothing but a person is waited for, no time is counted
            self._progress.follow(envelope)
            still = self._progress.paused or self._progress.idle
            self._ledger.pause() if still else self._ledger.go_on()

    def _apply(self, envelope: Envelope) -> None:
        match envelope.message:
            case Pause():
                self._ledger.pause()
            case Continue() | Resumed():
                self._ledger.go_on()
            case Change() as change:
                self._make(change)
            case _:
                pass

    def take_up(self, directory: Path) -> None:
        """Apply the changes of earlier processes, except to settings whose value in the configuration has changed
        since: the latest value counts.

        :raises StorageFailed, MemoryMismatch: the journal cannot be read.
        """
        if self._progress is not None:
            self._progress = progress_in(directory / JOURNAL, self._configuration.search.prefer)
        paths = settable(self._configuration)
        said = (envelope.message for envelope in read_journal(directory / JOURNAL, (Change,)))
        last = {change.setting: change for change in said if isinstance(change, Change)}
        for setting, change in last.items():
            if setting in paths and change.instead == configured(self._configuration, paths[setting]):
                self._make(change)

    def _make(self, change: Change) -> None:
        if change.setting == CONCURRENCY and change.value is not None:
            self.concurrency.calls = int(change.value)
        elif change.setting in SETTINGS:
            self.aims = self.aims.changed(change.setting, change.value)
        elif (path := settable(self._configuration).get(change.setting)) and path[0] == "budget":
            self._ledger.cap(scope(path), path[-1], change.value)


def settable(configuration: Configuration) -> Mapping[str, tuple[str, ...]]:
    """The paths of the settings that may be changed while the run works, by dotted name. Caps of a role or an
    operator are included if the run began with a table for it."""
    budget = configuration.budget
    tables = [
        ("budget",),
        *(("budget", "roles", role) for role in budget.roles),
        *(("budget", "operators", name) for name in budget.operators),
    ]
    caps = ((*table, cap) for table in tables for cap in CapsTable.model_fields)
    aims = (("budget", aim) for aim in SETTINGS.values())
    return {".".join(path): path for path in (("search", "width"), ("search", "concurrency"), *caps, *aims)}


def configured(configuration: Configuration, path: Sequence[str]) -> float | None:
    """The value of a settable setting, including values derived from other settings."""
    follows: dict[str, float] = {WIDTH: configuration.width, CONCURRENCY: configuration.at_once}
    value: Any = configuration.model_dump()
    for part in path:
        value = value[part]
    found: float | None = follows.get(".".join(path), value)
    return found


def scope(path: Sequence[str]) -> str:
    """The ledger's scope of a cap, by the path of its setting."""
    match path:
        case ["budget", "roles", role, _]:
            return role
        case ["budget", "operators", operator, _]:
            return f"proposer/{operator}"
        case _:
            return ""


class Listening:
    """Receives commands while the search runs. `known`: the run's prices."""

    def __init__(
        self,
        directory: Path,
        hearing: Hearing,
        configuration: Configuration,
        first: Prompt,
        known: Mapping[str, Price],
    ) -> None:
        self._path, self._heard, self._watcher = directory / COMMANDS, hearing.heard, hearing.watcher
        self._configuration, self._first, self._known = configuration, first, known

    async def __call__(self, tell: Tell) -> None:
        """Pass on every command, in order, until cancelled. If the file cannot be read, there are no commands: the
        search continues without.

        :raises StorageFailed: the disk is full.
        """
        async with anyio.create_task_group() as tasks:
            with self._watcher.following(self._path) as bell:
                tasks.start_soon(self._watcher.serve, name="watcher")
                while True:
                    lines, begun_anew = await in_thread(self._news)
                    if begun_anew:
                        self._watcher.renew()
                    for line in lines:
                        with suppress(InputError, orjson.JSONDecodeError):  # a line that `command` did not write
                            await tell(understand(_words(line), self._configuration, self._first, self._known))
                    await bell.heard()

    def _news(self) -> tuple[list[bytes], bool]:
        """The lines that have come since the last time, and whether the file was made anew."""
        try:
            if begun_anew := not self._path.exists():
                self._path.touch()
                self._heard = 0
            with self._path.open("rb") as file:
                self._heard = min(self._heard, file.seek(0, os.SEEK_END))  # it may be a new, shorter file
                file.seek(self._heard)
                new = file.read()
        except OSError as error:
            if error.errno in NO_ROOM:
                raise not_written(error, self._path) from error
            return [], False
        whole = new[: new.rfind(b"\n") + 1]
        self._heard += len(whole)
        return whole.splitlines(), begun_anew


def _words(line: bytes) -> list[str]:
    """:raises ConfigError, orjson.JSONDecodeError: the line is not a list of words."""
    words = orjson.loads(line)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ConfigError("not a list of words")
    return words


def said_so_far(directory: Path | None) -> int:
    """Size in bytes of the commands file, 0 if there is none: the offset from which a new process reads."""
    path = directory and directory / COMMANDS
    return path.stat().st_size if path and path.exists() else 0


def _check_under_way(directory: Path, meant: Command) -> None:
    """:raises ConfigError: no process works on the run, or the command would have no effect any more."""
    if (directory / RESULT).exists():
        raise ConfigError(f"the run in {directory} has finished")
    if not is_claimed(directory / LOCK):
        raise ConfigError(f"nobody works on the run in {directory}; the command that began it goes on with it")
    if not (directory / JOURNAL).exists():
        return  # the run is just beginning
    ends = Ends(read_journal(directory / JOURNAL, ENDS, brief=True))
    said = [end.message for end in ends.standing if end.to != NOBODY]
    # Once the search is concluded, its result is shrunk still, and no edit is made.
    if isinstance(meant, Accept | Reject):  # also when a cap has ended the search, which waits for them
        said = [end for end in said if isinstance(end, Finished)]
    if said and (isinstance(meant, Inject) or not isinstance(said[-1], Conclude)):
        raise ConfigError(f"the search in {directory} is ending; nothing more is issued")


def _issued(directory: Path) -> int:
    """Number of assignments made so far."""
    journal = directory / JOURNAL
    return read_durable(journal).assignments if journal.exists() else 0


def _append(path: Path, words: Sequence[str]) -> None:
    line = b"\n" + orjson.dumps(words) + b"\n"  # the first newline ends a line that a full disk cut short
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(file, line)
        finally:
            os.close(file)
    except OSError as error:
        raise StorageFailed(f"cannot be written: {error.strerror}", file=str(path)) from error
    if written < len(line):
        raise StorageFailed("the disk is full; make room for it", file=str(path))


def _change(setting: str, value: str, configuration: Configuration, known: Mapping[str, Price]) -> Change:
    """:raises ConfigError: the setting cannot be changed while the run works, or not to this value."""
    paths = settable(configuration)
    if setting not in paths:
        raise ConfigError(f"{setting} cannot be set while the run works; what can be is {', '.join(paths)}")
    path, number = paths[setting], None if value == NO_CAP else parsed(value)
    if number is None and path[0] != "budget":
        raise ConfigError(f"{setting}: give a number")
    table = inner = configuration.model_dump(exclude={"origin"})
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = number
    changed = build(table, configuration.origin)
    if path[-1] == "dollars" and number is not None:
        check_priced(configuration, scope(path), known)
    return Change(setting, configured(changed, path), configured(configuration, path))


def _check_edit(edited: Prompt, first: Prompt, configuration: Configuration, file: str) -> str:
    """A warning about lost names, "" for none; the prompt is tried in spite of it, because a person made it.

    :raises PromptError: no edit could turn the first prompt into this one.
    """
    task = load_task(configuration.judged_as_usual())
    try:
        carried_over(first, edited, task.placeholders)
    except PromptError as error:
        raise PromptError(error.reason, file=file) from None
    return task.kind.names.warning(edited)
