"""The tables of what a run keeps and writes: its replies, its experiences, its directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from agents.config.tables.values import Count, Table

LONGEST_VECTOR = 2**16


class CacheTable(Table):
    """`[cache]`: the file of the reply cache (None: in the run directory); runs may share it, even at the same time.

    `megabytes`: size beyond which the oldest replies are removed.
    """

    path: Path | None = None
    megabytes: Count = 1024


class MemoryTable(Table):
    """`[memory]`: the folder of the experiences (None: in the run directory), and whether a run reads and adds any.

    `embedder`: the embedding model, `openai/…` or `local/…`, with vectors of `dimension` numbers (None: hashed
    n-grams, without any call).
    """

    path: Path | None = None
    read: bool = True
    write: bool = True
    embedder: str | None = None
    dimension: Annotated[int, Field(ge=1, le=LONGEST_VECTOR)] | None = None

    @model_validator(mode="after")
    def _embeds(self) -> Self:
        if self.embedder and self.embedder.partition("/")[0] not in ("openai", "local"):
            raise ValueError(f"embedder = {self.embedder!r} cannot embed; name a model openai/… or local/…")
        if (self.embedder is None) != (self.dimension is None):
            raise ValueError("embedder and dimension go together; give both or neither")
        return self


class RunTable(Table):
    """`[run]`: the run directory, created if needed. `spans`: whether to export the run as OpenTelemetry spans; this
    needs the extra `otel`, and the variables OTEL_EXPORTER_OTLP_* set the destination. `spans_texts`: whether these
    hold prompts and replies. `exchanges`: whether the journal keeps what was asked and answered. `batch`: whether the
    first prompt's evaluation, the held-out report and `evaluate` are asked in batches, at a lower price."""

    directory: Path | None = None
    spans: bool = False
    spans_texts: bool = False
    exchanges: bool = True
    batch: bool = False
