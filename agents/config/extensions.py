"""A user's own agents and observers, which the configuration puts into the ring."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from agents.config.tables import NONE, AgentsTable
from agents.ring.agent import Agent
from agents.ring.critic import Silent
from agents.ring.observers import Observer
from agents.ring.place import OwnAgent, Place, Seated
from protocols.errors import ConfigError
from protocols.files.own_code import check_method, check_takes, imported, made
from protocols.task import Task

TAKES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "handle": ("message", ("place",)),
    "observe": ("envelope", ("task", "directory")),
}
"""By method of an agent: its argument, and the arguments of the class."""
Open = Callable[[Agent], Place]
"""Makes the place of an agent."""


def seated(agents: Sequence[Agent], table: AgentsTable, place: Open) -> list[Agent]:
    """The agents, with those replaced for which the configuration names a user's own.

    :raises ConfigError: there is no such class.
    """
    return [_seat(agent, table.of(agent.address), place) for agent in agents]


def _seat(agent: Agent, name: str | None, place: Open) -> Agent:
    if name is None or isinstance(agent, Silent):
        return agent
    key = f"agents, {agent.address}"
    own: OwnAgent = made(_class(name, key, "handle"), name, key, {"place": place(agent)})
    return Seated(own, agent)


def open_observers(table: AgentsTable, task: Task, directory: Path) -> dict[str, Observer]:
    """The observers by their addresses, `observer/1` and so on.

    :raises ConfigError: there is no such class.
    """
    key, told = "agents.observers", {"task": task, "directory": directory}
    seen: list[Observer] = [made(_class(name, key, "observe"), name, key, told) for name in table.observers]
    return {f"observer/{number}": observer for number, observer in enumerate(seen, 1)}


def check_agents(table: AgentsTable) -> None:
    """:raises ConfigError: a named class does not exist, or is not an agent."""
    for key, name, method in _named(table):
        _class(name, key, method)


def _named(table: AgentsTable) -> Iterator[tuple[str, str, str]]:
    """Each named class: the key of the configuration, the name, and the method that the class needs."""
    critic = None if table.critic == NONE else table.critic
    roles = {"agents.critic": critic, "agents.evaluator": table.evaluator}
    roles |= {f"agents.proposers.{operator}": name for operator, name in table.proposers.items()}
    yield from ((key, name, "handle") for key, name in roles.items() if name is not None)
    yield from (("agents.observers", name, "observe") for name in table.observers)


def _class(name: str, key: str, method: str) -> Callable[..., object]:
    if ":" not in name:
        raise ConfigError(f"{key}: {name!r} is not module:Class")
    found = imported(name, key)
    told, taken = TAKES[method]
    check_method(found, method, name, key, told, waits=True, page="docs/agents.md")
    check_takes(found, name, key, *taken)
    return found
