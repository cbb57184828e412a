"""A user's own agents and observers, which the configuration puts into the ring."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from agents.config.tables.search import AgentsTable
from agents.ring.agent import Agent
from agents.ring.critic import Silent
from agents.ring.observers import Observer, Sees
from agents.ring.place import OwnAgent, Place, Seated
from protocols.errors import ConfigError
from protocols.files.named import Named
from protocols.files.own_code import check_method, check_takes
from protocols.task import Task

TAKES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "handle": ("message", ("place",)),
    "observe": ("envelope", ("task", "directory")),
}
"""For each method of an agent: its argument, and the constructor's arguments."""
TRACKERS: Mapping[str, str] = {"mlflow": "MLFLOW_TRACKING_URI", "wandb": "WANDB_PROJECT"}
"""The experiment trackers that `agents.observers` may name, with a variable that sets each up. They are opened with
the log of a run, not in its ring, because they also take what is written after the search."""
Open = Callable[[Agent], Place]
"""Creates the place of an agent."""


def seated(agents: Sequence[Agent], table: AgentsTable, place: Open) -> list[Agent]:
    """The agents, with those replaced for which the configuration has a user's own.

    :raises ConfigError: there is no such class.
    """
    return [_seat(agent, table.of(agent.address), place) for agent in agents]


def _seat(agent: Agent, named: Named | None, place: Open) -> Agent:
    if named is None or isinstance(agent, Silent):
        return agent
    key = f"agents, {agent.address}"
    _check(named, key, "handle")
    own: OwnAgent = named.made(key, {"place": place(agent)}, "handle")
    return Seated(own, agent)


def open_observers(table: AgentsTable, task: Task, directory: Path) -> dict[str, Observer]:
    """The observers by their addresses, `observer/1` and so on.

    :raises ConfigError: there is no such class.
    """
    key, told = "agents.observers", {"task": task, "directory": directory}

    def opened(named: Named) -> Observer:
        _check(named, key, "observe")
        return Sees(named.function(key, "envelope")) if _sees(named, key) else named.made(key, told, "observe")

    numbered = enumerate(table.observers, 1)
    return {f"observer/{number}": opened(named) for number, named in numbered if not _tracks(named, key)}


def check_agents(table: AgentsTable) -> None:
    """:raises ConfigError: a named class does not exist, or is not an agent."""
    for key, named, method in _listed(table):
        _check(named, key, method)


def _listed(table: AgentsTable) -> Iterator[tuple[str, Named, str]]:
    """For each agent of the user's: its key, its name, and the method that it needs."""
    critic = table.critic if table.criticises else None
    roles = {"agents.critic": critic, "agents.evaluator": table.evaluator}
    roles |= {f"agents.proposers.{operator}": named for operator, named in table.proposers.items()}
    yield from ((key, named, "handle") for key, named in roles.items() if named is not None)
    key = "agents.observers"
    yield from ((key, named, "observe") for named in table.observers if not _tracks(named, key))


def _check(named: Named, key: str, method: str) -> None:
    """:raises ConfigError: it is not a class, instance or function that has `method` or can stand for it."""
    if ":" not in named.use and not named.nameless:
        others = "".join(f", {name}" for name in TRACKERS) if method == "observe" else ""
        raise ConfigError(f"{key}: {named.use!r} is not module:Class{others}")
    found = named.found(key)
    told, taken = TAKES[method]
    if method == "observe" and _sees(named, key):
        named.function(key, told)
        return
    check_method(found, method, named.use, key, told, waits=True, page="docs/agents.md")
    if isinstance(found, type):
        check_takes(found, named.use, key, *taken, **named.parameters.fields)


def _tracks(named: Named, key: str) -> bool:
    """Whether an observer is a tracker.

    :raises ConfigError: it is, and has parameters.
    """
    if named.use in TRACKERS and named.parameters.fields:
        raise ConfigError(f"{key}: {named.use} takes no parameters; variables like {TRACKERS[named.use]} set it up")
    return named.use in TRACKERS


def _sees(named: Named, key: str) -> bool:
    """Whether an observer is a function, which is called with each envelope."""
    return inspect.isroutine(named.found(key))
