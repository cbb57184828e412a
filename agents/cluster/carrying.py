"""What crosses between the command and its searches."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.cluster.rooms import Rooms
from agents.study.engine import Outcome
from agents.study.grid import Cell, Grid
from protocols.errors import PromptFlowError


@dataclass(frozen=True, slots=True)
class Job:
    """One search: its cell and its run directory, on the machine of the command. `grid`: the sweep, without its
    cells. `home`: the working directory of the command, which paths on a node stand for. `since`: the time from which
    the minutes of the sweep count, in seconds of the epoch."""

    cell: Cell
    directory: str
    grid: Grid
    home: str
    since: float


Answer = Outcome | PromptFlowError
"""An error of ours is a value: Ray would wrap one that is raised, with the traceback of another machine."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A Searcher's first message, and the first again after each restart, which is on another node as a rule.

    `node`: its address. `public`: its key, for `seal`; `missing`: the variables that it needs and has not.
    """

    incarnation: str
    node: str
    public: bytes
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """What a Searcher gets after its `Hello`: the variables that it asked for, sealed; why all searches were stopped,
    None if they were not; and the rooms. They are no arguments of its constructor, for Ray keeps actors that it is
    given there in the object store, where a restart may not find them."""

    sealed: bytes
    stopped: str | None
    rooms: Rooms


@dataclass(frozen=True, slots=True)
class News:
    """What a Searcher has to say since the `count`-th line that it said. `waits`: of each line, whether it tells what
    the search waits for."""

    hello: Hello
    count: int
    lines: tuple[tuple[str, bool], ...] = field(default=())
