"""What is kept of a batch, from before it is sent until its results are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import orjson

NOTE: Final = "batch "
"""What the names of the notes of batches in a journal begin with."""


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch. `tag`: ours; `at`: when it was about to be sent, in Unix seconds; `scope`: whose model answers it;
    `round`: how often its requests have been in batches, this one included; `keys`: its requests.

    `id`: the provider's, "" as long as we do not know whether the batch reached it. `counted`: its calls are in the
    journal. `void`: it never reached the provider. `others`: batches that were taken for this one, and are not it.
    """

    tag: str
    at: float
    scope: str
    round: int
    keys: tuple[str, ...]
    id: str = ""
    counted: bool = False
    void: bool = False
    others: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """The name of its note in a journal."""
        return f"{NOTE}{self.tag}"

    def pack(self) -> bytes:
        """It as the content of its note."""
        return orjson.dumps(asdict(self))


def sent_batches(notes: Mapping[str, bytes], scope: str) -> Iterable[SentBatch]:
    """The batches of one scope among the notes of a journal, the latest first."""
    tables = [orjson.loads(content) for name, content in notes.items() if name.startswith(NOTE)]
    found = (SentBatch(**table | {key: tuple(table[key]) for key in ("keys", "others")}) for table in tables)
    return sorted((sent for sent in found if sent.scope == scope and not sent.void), key=lambda sent: -sent.at)
