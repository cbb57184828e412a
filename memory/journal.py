"""The run journal: every envelope that crossed the bus, append-only, in the order in which it was handed in."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import orjson

from memory.database import Database, open_database
from memory.sqlite import Schema, Synchronous, reading
from protocols.errors import PromptError, StorageFailed
from protocols.messages import Credit, Critique, Envelope, Evaluation, Message, Outcome, Partner
from protocols.prompt import Prompt, Section

SCHEMA = Schema(
    "journal",
    1,
    (
        """CREATE TABLE journal (
            place INTEGER PRIMARY KEY, id INTEGER UNIQUE, cause INTEGER, sender TEXT, recipient TEXT,
            time REAL NOT NULL, type TEXT NOT NULL, payload TEXT NOT NULL)""",
    ),
)
COLUMNS = "id, cause, sender, recipient, time, type, payload"
INSERT = f"INSERT INTO journal ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
SELECT = f"SELECT {COLUMNS} FROM journal ORDER BY place"


class Journal:
    """Takes envelopes of any number of tasks at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, envelope: Envelope) -> None:
        """Durable on return. Ids are distinct, texts valid Unicode, numbers finite.

        :raises StorageFailed: it could not be written.
        """
        e = envelope
        row = (e.id, e.cause, e.sender, e.to, e.time, type(e.message).__name__, encode(e.message))
        await self._database.write(INSERT, row)


@asynccontextmanager
async def open_journal(path: Path, synchronous: Synchronous = "NORMAL") -> AsyncIterator[Journal]:
    """Open or create a journal.

    :raises MemoryMismatch: the file is no journal, or one of another version.
    :raises StorageFailed: the file cannot be used.
    """
    async with open_database(path, SCHEMA, synchronous) as database:
        yield Journal(database)


def read_journal(path: Path) -> Iterator[Envelope]:
    """Every envelope in the order of the journal, read as they are asked for; the run may still be going on.

    :raises MemoryMismatch: the file is no journal, or one of another version.
    :raises StorageFailed: it is not there, or damaged.
    """
    with reading(path, SCHEMA) as connection:
        for number, cause, sender, to, moment, name, payload in connection.execute(SELECT):
            try:
                message = decode(name, payload)
            except (KeyError, TypeError, ValueError, PromptError) as error:
                raise StorageFailed(f"message {number} ({name}) cannot be read: {error!r}", file=str(path)) from error
            yield Envelope(number, cause, sender, to, moment, message)


def encode(message: Message) -> str:
    """A message as one JSON object, UTF-8 as it is.

    :raises ValueError: a gain or its error is not finite, which JSON cannot say.
    """
    evaluation = message.evaluation if isinstance(message, Critique) else message
    if isinstance(evaluation, Evaluation) and not math.isfinite(evaluation.gain + evaluation.error):
        raise ValueError(f"the gain of assignment {evaluation.assignment} is not finite")
    return orjson.dumps(message).decode()


def decode(name: str, payload: str) -> Message:
    """The message of type `name` that `encode` made `payload` of.

    :raises KeyError, TypeError, ValueError, PromptError: it made no such thing.
    """
    return MESSAGES[name](**_restored(orjson.loads(payload)))


def _restored(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a message, with the records and tuples that JSON has no word for."""
    return {name: RECORDS[name](value) if name in RECORDS else value for name, value in dict(values).items()}


MESSAGES: Mapping[str, type[Message]] = {message.__name__: message for message in get_args(Message)}
RECORDS: Mapping[str, Callable[[Any], object]] = {
    "prompt": lambda prompt: Prompt(tuple(Section(**section) for section in prompt["sections"])),
    "outcomes": lambda outcomes: tuple(Outcome(**outcome) for outcome in outcomes),
    "evaluation": lambda evaluation: Evaluation(**_restored(evaluation)),
    "scores": tuple,
    "parent_scores": tuple,
    "recalled": tuple,
    "credit": lambda credit: {name: Credit(**worth) for name, worth in credit.items()},
    "partners": lambda partners: tuple(Partner(**_restored(partner)) for partner in partners),
}
"""How fields are restored, by their names, which mean the same in every message."""
