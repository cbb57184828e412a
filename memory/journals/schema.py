"""The tables of a run journal, and the statements that write and read them."""

from __future__ import annotations

from memory.storage.sqlite import Schema

EXCHANGED = (
    """CREATE TABLE exchange (
        place INTEGER PRIMARY KEY, assignment INTEGER NOT NULL, about TEXT NOT NULL, content BLOB NOT NULL)""",
    "CREATE INDEX exchanged ON exchange (assignment, about)",
)
SCHEMA = Schema(
    "journal",
    18,
    (
        """CREATE TABLE journal (
            place INTEGER PRIMARY KEY, id INTEGER UNIQUE, cause INTEGER, sender TEXT, recipient TEXT,
            time REAL NOT NULL, type TEXT NOT NULL, assignment INTEGER, payload TEXT NOT NULL, worked REAL)""",
        "CREATE INDEX told ON journal (assignment)",
        "CREATE TABLE part (number INTEGER PRIMARY KEY, content TEXT NOT NULL)",
        """CREATE TABLE call (
            place INTEGER PRIMARY KEY, time REAL NOT NULL, assignment INTEGER,
            role TEXT NOT NULL, model TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
            cached INTEGER NOT NULL, written INTEGER NOT NULL, seconds REAL NOT NULL, error TEXT, worked REAL,
            estimated INTEGER NOT NULL DEFAULT 0, number INTEGER)""",
        "CREATE INDEX made ON call (assignment)",
        "CREATE TABLE note (name TEXT PRIMARY KEY, content BLOB NOT NULL)",
        *EXCHANGED,
    ),
    migrations={
        **dict.fromkeys(range(2, 6), ()),
        6: (
            "ALTER TABLE journal ADD COLUMN worked REAL",
            "ALTER TABLE call ADD COLUMN worked REAL",
            "ALTER TABLE call ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE call ADD COLUMN number INTEGER",
        ),
        **dict.fromkeys(range(7, 12), ()),
        12: EXCHANGED,
        **dict.fromkeys(range(13, 18), ()),
    },
)
"""3 brought the commands of a person, 4 the faults of observers, 5 ancestors, 6 what is filled for each input. 7
brought what a cap has cut short, what was left unanswered of a minibatch, what is too long for a window, which
replies could not be read or had no text; how long the run had worked when a row was written; the numbers of calls, by
which those are known that were begun and did not end; and which tokens are estimates. 8 brought the forms of
sections. 9 brought the Critic's diagnosis and its doubts, what was tried, drafts, and which training examples a
candidate shares with its parent; the phase that shrinks the result, and what replies took; the aims of a search.
10 told partners only to operators that combine, and the best score to all, and wrote a diagnosis once. 11 brought the
steps of programs, 12 the swaps of their prompts, 13 what was asked and answered, 14 edits that wait for a
person, 15 several models that answer a task, 16 whose reply an outcome has, 17 what each of several models answered,
and how many assignments alike were in flight, 18 whose expected answers are doubted, and what an edit that was tried
was compared with.

A change of the messages is a new version, too: entries must be read with the meaning that they were written with."""
COLUMNS = "id, cause, sender, recipient, time, type, assignment, payload"
INSERT = f"INSERT INTO journal ({COLUMNS}, worked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
SELECT = f"SELECT {COLUMNS} FROM journal"
CALL = "time, assignment, role, model, input, output, cached, written, estimated, seconds, error"
INSERT_CALL = f"INSERT INTO call ({CALL}, number, worked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SPENT = """SELECT role, model, count(*), sum(error IS NOT NULL), sum(input), sum(output), sum(cached), sum(written),
    sum(estimated), sum(seconds) FROM call"""
"""Selects the columns that `account_of` reads; used with GROUP BY role, model."""
INSERT_EXCHANGE = "INSERT INTO exchange (assignment, about, content) VALUES (?, ?, ?)"
INSERT_PART = "INSERT INTO part VALUES (?, ?)"
INSERT_NOTE = "INSERT INTO note VALUES (?, ?)"
REPLACE_NOTE = "INSERT OR REPLACE INTO note VALUES (?, ?)"
WRITES = frozenset({INSERT, INSERT_CALL, INSERT_EXCHANGE, INSERT_PART, INSERT_NOTE, REPLACE_NOTE})
"""All statements that write to a journal."""
CUT = "SELECT count(*) FROM journal WHERE type = 'Assignment' AND recipient = ?"
ISSUED = "SELECT ifnull(max(assignment), 0) FROM journal WHERE type NOT IN ('Accept', 'Reject')"
"""The number of assignments; a person may have named one that was never issued."""
LOST = "Lost"
"""The `error` of a call whose process ended before the call did."""
