"""The operators and selectors that a configuration can name: built-in ones, and a user's own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from types import MappingProxyType

from agents.operators.contract import Contract
from agents.operators.define_sort import DefineSort
from agents.operators.describe import Describe
from agents.operators.differential_evolution import DifferentialEvolution
from agents.operators.few_shot import FewShot
from agents.operators.merge import Merge
from agents.operators.operator import WHOLE, Operator
from agents.operators.rag import Rag
from agents.operators.restart import Restart
from agents.operators.rewriting import ChainOfThought, RepeatInstructions, SelfReflection
from agents.operators.self_consistency import SelfConsistency
from agents.operators.short_instruction import ShortInstruction
from agents.operators.writing import Writer
from agents.ring.injected_edit import INJECTED
from agents.selectors.baselines import UCB, EpsilonGreedy, RoundRobin, Thompson, Uniform
from agents.selectors.msgd import MSGD
from agents.selectors.msgd_rl import MSGDRL
from agents.selectors.selector import Selector
from protocols.errors import ConfigError
from protocols.files.named import Named
from protocols.files.own_code import check_method, failed, where
from protocols.messages import SHRINK
from protocols.prompt import Prompt
from protocols.task import Task
from protocols.text import one_line

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
    Describe.name: Describe,
    Contract.name: Contract,
    Restart.name: Restart,
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
SELECTING: Mapping[str, tuple[str, ...]] = {
    "choose": ("choices",),
    "learn": ("choice", "reward", "successors"),
    "choose_parent": ("parents",),
}
"""The methods of a selector and their arguments; the last method is optional."""


def open_operators(
    named: Sequence[Named], instructions: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Operator]:
    """The operators by their own names. `instructions`: the user's own, by operator.

    :raises ConfigError: an operator does not exist or is not valid, two have the same name, one has the name of
        injected edits or cuts, or an instruction is given for one that takes none.
    """
    operators: dict[str, Operator] = {}
    for one in named:
        operator = OPERATORS[one.use]() if _is_ours(one, "operator", OPERATORS) else _own_operator(one)
        if text := instructions.get(operator.name):
            if not isinstance(operator, Writer):
                why = "asks no model, and has no" if one.use in OPERATORS else "is not built on Writer, and takes no"
                raise ConfigError(f"operators.{operator.name}.instruction: {operator.name} {why} instruction")
            operator.asks = text
        if operator.name in operators:
            raise ConfigError(f"search.operators: two are called {operator.name}")
        operators[operator.name] = operator
    if not operators:
        raise ConfigError("search.operators is empty; name at least one")
    return operators


def _own_operator(named: Named) -> Operator:
    page, reference = "docs/operators.md", named.use
    operator: Operator = named.made("operator", {}, "edit")
    called = getattr(operator, "name", None)
    if not isinstance(called, str) or not re.fullmatch(r"[^\s/:]+", called):
        raise ConfigError(
            f"operator {reference!r} needs a name, a text without spaces and slashes, and has {called!r} ({page})",
            **where(operator),
        )
    if called in (INJECTED, SHRINK):
        whose = "that a person makes" if called == INJECTED else "that shrink the result"
        raise ConfigError(f"search.operators: {reference} is called {called}, as the edits {whose} are")
    check_method(operator, "targets", reference, "operator", "prompt", "task", waits=False, page=page)
    check_method(operator, "edit", reference, "operator", "assignment", "context", waits=True, page=page)
    return operator


def check_targets(prompt: Prompt, operators: Mapping[str, Operator], task: Task) -> None:
    """Check the `targets` of the user's own operators on the first prompt.

    :raises ConfigError: one fails, or names something that is not a section.
    """
    known = {WHOLE, *(section.name for section in prompt)}
    for name, operator in operators.items():
        if type(operator) in OPERATORS.values():
            continue
        try:
            targets: object = operator.targets(prompt, task)
        except Exception as error:
            raise failed(error, f"operator {name!r} fails in targets") from None
        listed = targets if isinstance(targets, list | tuple) else [targets]
        if listed is not targets or not known.issuperset(listed):
            raise ConfigError(
                f"operator {name!r} must name sections of the prompt in targets ({', '.join(sorted(known))}), "
                f"and gave {one_line(repr(targets))}",
                **where(operator.targets),
            )


def open_selector(named: Named, rng: Random) -> Selector:
    """:raises ConfigError: the selector does not exist, or lacks a method."""
    if _is_ours(named, "selector", SELECTORS):
        return SELECTORS[named.use](rng)
    page = "docs/selectors.md"
    selector: Selector = named.copied("selector").made("selector", {"rng": rng}, "choose")
    for method, arguments in SELECTING.items():
        if method != "choose_parent" or hasattr(selector, method):
            check_method(selector, method, named.use, "selector", *arguments, waits=False, page=page)
    return selector


def _is_ours(named: Named, what: str, known: Collection[str]) -> bool:
    """:raises ConfigError: it is neither built in nor `module:name`, or it is built in and is given parameters."""
    if named.use in known and named.parameters.fields:
        raise ConfigError(f"{what} {named.use} takes no parameters; one of your own does: module:Class")
    if named.use in known or named.nameless or ":" in named.use:
        return named.use in known
    near = difflib.get_close_matches(named.use, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"unknown {what} {named.use!r}; {hint}there are {', '.join(known)}, or module:Class for your own"
    )
