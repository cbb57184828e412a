"""The tables of a search: its agents, its operators, how it goes and what it may spend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agents.archive.front import Prefer
from agents.config.tables.values import MOST, MOST_CALLS, Count, Own, Positive, Seed, Table
from agents.ring.team import WIDEST
from protocols.files.named import Named
from protocols.metrics.weighted import Across

NONE = "none"
"""Name that switches an agent off."""
MOST_REPEATS = MOST_SHRINKS = 1000
Role = Literal["task", "credit", "critic", "judge", "proposer", "embedder"]


class AgentsTable(Table):
    """`[agents]`: a user's own agents, each as `module:Class`, in place of the ring's (docs/agents.md).

    `critic` may be `none`: then there are no critiques, and section credit is not measured. `proposers`: by the
    operator's name. `observers` see every message.
    """

    critic: Own | None = None
    evaluator: Own | None = None
    proposers: Mapping[str, Own] = {}
    observers: tuple[Own, ...] = ()

    @property
    def criticises(self) -> bool:
        """Whether there is a critic."""
        return self.critic is None or self.critic.use != NONE

    def of(self, address: str) -> Named | None:
        """The class that replaces `critic`, `evaluator` or `proposer/<operator>`, None if none does."""
        kind, _, operator = address.partition("/")
        return (
            self.proposers.get(operator) if operator else {"critic": self.critic, "evaluator": self.evaluator}[kind]
        )


class OperatorTable(Table):
    """`[operators.<name>]`, `[critic]`. `instruction`: a file with the user's instruction, in place of the built-in
    one."""

    instruction: Path | None = None


class SearchTable(Table):
    """`[search]`: how to search.

    `width`: assignments in flight (None: see `Configuration.width`). `barrier`: issue no assignment before all others
    have ended; only for comparison. `assignments`: edits tried in all. `alpha`: maximum probability that an edit
    survives that improves nothing. `min_effect`: how much worse a shorter prompt may be. `critique`: training
    examples whose failures a critic reads (None: see `Configuration.minibatch`). `repeats`: how often each example is
    asked; its score is the mean. `across_models`: whether the score of several models of the task is the mean or the
    lowest of theirs. `operators`: those that take part (None: see `Configuration.search_operators`). `concurrency`:
    maximum number of calls in flight for one prompt (None: the limit of the task's model). `max_unanswered`: the
    share of the run's examples that may be left unanswered. `credit_share`: maximum number of calls for section
    credit per call for the task; 0: none. `on_agent_error`: whether an exception of an agent (a user's own operator,
    for example) fails the run, or only its assignment; in the latter case, `agent_errors` such assignments in a row
    fail the run. `prefer`: which candidate is the result, see
    `agents.archive.front.preferred`. `shrink`: maximum number of races to make the result shorter at the end; 0:
    none. `headroom`: whether a search measures headroom first, if that is cheap. `guard`: the number of
    first validation examples on which the result must be no worse than the first prompt, see `agents.archive.guard`.
    `review`: whether an edit that has won its race waits until a person accepts or rejects it (docs/steering.md).
    """

    seed: Seed = 0
    width: Annotated[int, Field(ge=1, le=WIDEST)] | None = None
    barrier: bool = False
    assignments: Annotated[int, Field(ge=0, le=int(MOST))] = 100
    operators: tuple[Own, ...] | None = None
    selector: Own = Named("msgd_rl")
    prefer: Prefer = "short"
    shrink: Annotated[int, Field(ge=0, le=MOST_SHRINKS)] = 12
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.3
    min_effect: Annotated[float, Field(ge=0, lt=1)] = 0.01
    critique: Count | None = None
    repeats: Annotated[int, Field(ge=1, le=MOST_REPEATS)] = 1
    across_models: Across = "mean"
    concurrency: Annotated[int, Field(ge=1, le=MOST_CALLS)] | None = None
    max_unanswered: Annotated[float, Field(ge=0, le=1)] = 0.05
    credit_share: Annotated[float, Field(ge=0, le=1000)] = 0.1
    token_price: Annotated[float, Field(ge=0, le=1)] = 1e-5
    failure_reward: Annotated[float, Field(ge=-1, le=0)] = -0.05
    on_agent_error: Literal["fail", "skip"] = "fail"
    agent_errors: Count = 5
    headroom: bool = True
    guard: Annotated[int, Field(ge=0, le=int(MOST))] = 0
    review: bool = False


class CapsTable(Table):
    """`[budget.roles.<role>]` and `[budget.operators.<operator>]`. None: no cap."""

    calls: Count | None = None
    tokens: Count | None = None
    dollars: Positive | None = None
    minutes: Positive | None = None


class BudgetTable(CapsTable):
    """`[budget]`: caps of the run, including the held-out report, and of its roles and operators.

    When a cap of the critic is used up, there are no more critiques; when an operator's is, the operator is no longer
    chosen; any other cap ends the search. So does reaching `target`, a value on validation that is good enough, or
    `patience`, a number of assignments in a row without a better best value.
    """

    target: Annotated[float, Field(ge=0, le=1)] | None = None
    patience: Count | None = None

    roles: Mapping[Role, CapsTable] = {}
    operators: Mapping[str, CapsTable] = {}
