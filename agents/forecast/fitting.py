"""Fits an expected search to its caps: how many edits they pay for, and what each role then takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, Self, TypeVar

from agents.config.configuration import Configuration
from agents.config.tables.search import CapsTable
from protocols.budget.prices import Price
from protocols.errors import BudgetExhausted
from protocols.model import Usage

Amounts = Literal["calls", "tokens", "dollars"]
AMOUNTS: Final[tuple[Amounts, ...]] = ("calls", "tokens", "dollars")
STEPS: Final = 30
"""Halvings of the number of edits: more than any cap needs."""


@dataclass(frozen=True, slots=True)
class Use:
    """The expected use of one role's model: `calls`, and the tokens of all of them."""

    model: str
    calls: float
    input: float
    output: float

    @property
    def tokens(self) -> float:
        """Input and output."""
        return self.input + self.output

    def times(self, factor: float) -> Use:
        """So many times this use."""
        return Use(self.model, factor * self.calls, factor * self.input, factor * self.output)

    def dollars(self, known: Mapping[str, Price]) -> float:
        """The cost in dollars; 0 if there are no calls or the price is not known."""
        usage = Usage(round(self.input), round(self.output))
        return known[self.model].of(usage) if self.model in known else 0.0


class Shortened(Protocol):
    """An expected search that may end after fewer edits."""

    @property
    def roles(self) -> Mapping[str, Use]:
        """The use of each role, before caps."""

    def with_edits(self, edits: float) -> Self:
        """The same search, ended after so many edits."""


S = TypeVar("S", bound=Shortened)


class CapFitting:
    """The caps of `[budget]`, with those of roles and operators. `run`: those of the run; None: no cap."""

    def __init__(self, configuration: Configuration, known: Mapping[str, Price]) -> None:
        """`known`: prices; a model without one costs nothing."""
        budget, self._known = configuration.budget, known
        tables: dict[str, CapsTable] = {str(role): table for role, table in budget.roles.items()}
        tables |= {f"proposer/{name}": table for name, table in budget.operators.items()} | {"": budget}
        self._limits: dict[str, dict[Amounts, float | None]] = {
            scope: {name: getattr(table, name) for name in AMOUNTS} for scope, table in tables.items()
        }
        self.run = self._limits[""]

    def of(self, roles: Mapping[str, Use], name: Amounts) -> float:
        """How much of one amount all the roles take."""
        return sum(self._amount(use, name) for use in roles.values())

    def fitted(self, whole: S, edits: int) -> S:
        """The search with as many of its `edits` as the caps pay for that end a search; with none, if they do not
        even pay for the first prompt."""
        if self._fits(whole):
            return whole
        low, high = 0.0, float(edits)
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._fits(whole.with_edits(middle)) else (low, middle)
        return whole.with_edits(low)

    def held(self, roles: Mapping[str, Use], name: Amounts | None = None) -> Mapping[str, Use]:
        """The use of the roles, reduced to what the caps allow. `name`: look at the caps on this amount alone."""
        for scope in sorted(self._limits, key=len, reverse=True):  # the cap of the run last
            roles = self._held(roles, scope, AMOUNTS if name is None else (name,))
        return roles

    def _fits(self, expected: Shortened) -> bool:
        roles = expected.roles
        for scope in self._limits:
            if not BudgetExhausted("calls", 0, scope).ends_search:
                roles = self._held(roles, scope, AMOUNTS)
        return all(self._share(roles, scope, AMOUNTS) == 1.0 for scope in self._limits)

    def _held(self, roles: Mapping[str, Use], scope: str, names: Sequence[Amounts]) -> Mapping[str, Use]:
        share = self._share(roles, scope, names)
        return {role: use.times(share) if _below(scope, role) else use for role, use in roles.items()}

    def _share(self, roles: Mapping[str, Use], scope: str, names: Sequence[Amounts]) -> float:
        """Which share of the use of a scope its caps allow."""
        share = 1.0
        those = {role: use for role, use in roles.items() if _below(scope, role)}
        for name in names:
            limit, total = self._limits[scope][name], self.of(those, name)
            if limit is not None and total > limit * (1 + 1e-9):
                share = min(share, limit / total)
        return share

    def _amount(self, use: Use, name: Amounts) -> float:
        return use.dollars(self._known) if name == "dollars" else float(getattr(use, name))


def _below(scope: str, role: str) -> bool:
    """Whether the caps of a scope apply to a role, as in `Ledger.scopes_of`."""
    return scope in ("", role, role.partition("/")[0])


def times(roles: Mapping[str, Use], factor: float) -> Mapping[str, Use]:
    """The roles, each with so many times its use."""
    return {role: use.times(factor) for role, use in roles.items()}


def shares(roles: Mapping[str, Use]) -> Sequence[tuple[str, Use]]:
    """The roles, with all proposers added up as one and the credit of all prompts as one, for a person."""
    shown: dict[str, Use] = {}
    for role, use in sorted(roles.items(), key=lambda one: one[0].startswith("proposer/")):
        kind = role.partition("/")[0]
        name = {"proposer": "proposers", "credit": "credit"}.get(kind, role)
        before = shown.get(name, Use("", 0, 0, 0))
        shown[name] = Use(
            before.model or use.model, before.calls + use.calls, before.input + use.input, before.output + use.output
        )
    return [*shown.items()]
