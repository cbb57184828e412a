"""What crosses between the command and its searches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents.study.engine import Outcome
from agents.study.grid import Cell
from protocols.errors import PromptFlowError


@dataclass(frozen=True, slots=True)
class Job:
    """One search: its cell, its run directory and that of the sweep; `one_memory` as in `Grid`."""

    cell: Cell
    directory: str
    shared: str
    one_memory: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """An error of ours as a value: Ray would wrap one that is raised, with the traceback of another machine."""

    kind: type[PromptFlowError]
    args: tuple[Any, ...]
    fields: dict[str, Any]

    @classmethod
    def by(cls, error: PromptFlowError) -> Failed:
        return cls(type(error), error.args, dict(vars(error)))

    def error(self) -> PromptFlowError:
        """The same error, without what raised it."""
        error = self.kind.__new__(self.kind)
        error.args = self.args
        vars(error).update(self.fields)
        return error


Answer = Outcome | Failed


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
class News:
    """What a Searcher has to say since the `count`-th line that it said. `waits`: of each line, whether it tells what
    the search waits for."""

    hello: Hello
    count: int
    lines: tuple[tuple[str, bool], ...] = field(default=())
