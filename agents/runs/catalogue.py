"""The operators and selectors that a configuration can name, and those of a user's own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from random import Random
from typing import TypeVar, cast

from agents.operators.chain_of_thought import ChainOfThought
from agents.operators.define_sort import DefineSort
from agents.operators.differential_evolution import DifferentialEvolution
from agents.operators.few_shot import FewShot
from agents.operators.merge import Merge
from agents.operators.operator import Operator
from agents.operators.rag import Rag
from agents.operators.repeat_instructions import RepeatInstructions
from agents.operators.self_consistency import SelfConsistency
from agents.operators.self_reflection import SelfReflection
from agents.operators.short_instruction import ShortInstruction
from agents.ring.hand import HAND
from agents.selectors.epsilon_greedy import EpsilonGreedy
from agents.selectors.msgd import MSGD
from agents.selectors.msgd_rl import MSGDRL
from agents.selectors.round_robin import RoundRobin
from agents.selectors.selector import Selector
from agents.selectors.thompson import Thompson
from agents.selectors.ucb import UCB
from agents.selectors.uniform import Uniform
from protocols.errors import ConfigError

Maker = TypeVar("Maker", bound=Callable[..., object])

OPERATORS: Mapping[str, Callable[[], Operator]] = {
    ChainOfThought.name: ChainOfThought,
    SelfReflection.name: SelfReflection,
    DifferentialEvolution.name: DifferentialEvolution,
    DefineSort.name: DefineSort,
    Merge.name: Merge,
    FewShot.name: FewShot,
    ShortInstruction.name: ShortInstruction,
    SelfConsistency.name: SelfConsistency,
    RepeatInstructions.name: RepeatInstructions,
    Rag.name: Rag,
}
SELECTORS: Mapping[str, Callable[[Random], Selector]] = {
    "uniform": Uniform,
    "round_robin": RoundRobin,
    "epsilon_greedy": EpsilonGreedy,
    "ucb": UCB,
    "thompson": Thompson,
    "msgd": MSGD,
    "msgd_rl": MSGDRL,
}


def open_operators(names: tuple[str, ...]) -> dict[str, Operator]:
    """The operators by their own names; `module:Class` names a user's.

    :raises ConfigError: there is no such operator, two of one name, or one of a person's name.
    """
    operators: dict[str, Operator] = {}
    for name in names:
        operator = _named(name, "operator", OPERATORS)()
        if operator.name == HAND:
            raise ConfigError(f"search.operators: {name} is called {HAND}, as the edits that a person makes are")
        if operator.name in operators:
            raise ConfigError(f"search.operators: two are called {operator.name}")
        operators[operator.name] = operator
    if not operators:
        raise ConfigError("search.operators is empty; name at least one")
    return operators


def open_selector(name: str, rng: Random) -> Selector:
    """:raises ConfigError: there is no such selector."""
    return _named(name, "selector", SELECTORS)(rng)


def _named(name: str, what: str, known: Mapping[str, Maker]) -> Maker:
    if name in known:
        return known[name]
    if ":" not in name:
        raise ConfigError(f"unknown {what} {name!r}; there are {', '.join(known)}, or module:Class for your own")
    return cast("Maker", imported(name, what))


def imported(name: str, what: str) -> Callable[..., object]:
    """The class or function that `module:name` names.

    :raises ConfigError: there is none.
    """
    module, _, attribute = name.partition(":")
    if module.startswith("."):
        raise ConfigError(f"{what} {name!r} cannot be imported: it begins with a dot, and is relative to nothing")
    try:
        found: object = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{what} {name!r} cannot be imported: {error}") from None
    if not callable(found):
        raise ConfigError(f"{what} {name!r} is no class and no function")
    return found
