"""Puts together the result of a search that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.archive.archive import Member
from agents.archive.unanswered import Unanswered
from agents.config.configuration import Configuration
from agents.config.roles import roles
from agents.forecast.least import role_of
from agents.headroom.found import Headroom
from agents.prompting.retrieval_slots import RetrievalSlots
from agents.results.breakdown import heard_by
from agents.results.by_prompt import by_prompt
from agents.results.comparison import old_and_new
from agents.results.leaks import leaks
from agents.results.pareto import Paid, answers_of, paid
from agents.results.result import Length, PassedOver, Result, by_model, spent, trained, validated
from agents.ring.controller import Controller
from agents.run.held_out import Tested
from protocols.budget.ledger import Ledger
from protocols.budget.prices import Price
from protocols.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a search knows at its end. `unanswered`: by the Evaluator's count. `unremembered`: experiences that are
    not in the memory. `headroom`: as measured before, None if it was not."""

    configuration: Configuration
    slots: RetrievalSlots
    first: Prompt
    controller: Controller
    ledger: Ledger
    unanswered: Unanswered
    unremembered: int
    headroom: Headroom | None

    @property
    def paid(self) -> Paid:
        """What answers cost."""
        return paid(self.ledger.prices, self.configuration.models.answering)

    def _price(self, prompt: str) -> Price | None:
        """The price of the model of a prompt of a program; None if it is not known."""
        return self.ledger.prices.get(self.configuration.models.of(role_of(prompt)))

    def result(self, winner: Member, stopped_by: str, tested: Tested) -> Result:
        """The content of `result.json`."""
        controller, ledger, task = self.controller, self.ledger, self.slots.task
        first, used = controller.first, spent(ledger)
        assert first is not None, "a search without a first evaluation has failed"
        return Result(
            task=task.name,
            models={"task": self.configuration.models.answering} | roles(self.configuration),
            random_seed=self.configuration.search.seed,
            first=validated(first),
            best=validated(winner),
            candidate=winner.candidate,
            length=Length(first.tokens, winner.tokens),
            answers=answers_of(first, winner, tested.held, self.paid),
            train=trained(task.metric, first, winner),
            test=tested.held,
            test_missing=tested.missing,
            leaks=leaks(winner.prompt, self.first, task),
            unanswered=dict(self.unanswered.reasons),
            too_long=tuple(sorted(self.unanswered.too_long)),
            roles=used,
            calls={role: account.calls for role, account in used.items()},
            tokens={role: account.input + account.output for role, account in used.items()},
            estimated=ledger.estimated,
            saved=ledger.saved,
            dollars=ledger.dollars,
            seconds=ledger.seconds,
            assignments=controller.issued - controller.cut,
            failures=dict(sorted(controller.failures.items())),
            operators={name: dict(sorted(ends.items())) for name, ends in sorted(controller.history.endings.items())},
            uncriticised=dict(sorted(controller.uncriticised.items())),
            doubted=dict(controller.doubted.most_common()),
            unremembered=self.unremembered,
            stopped_by=stopped_by,
            headroom=self.headroom,
            prompts=by_prompt(first, winner, self.slots, self._price),
            old_and_new=old_and_new(task, controller.archive, first.scores, tested.parts),
            comparisons=heard_by(task.metric),
            by_model=by_model(first, winner, tested.held, self.paid, ledger),
            passed_over=passed_over(controller.archive.members, winner),
        )


def passed_over(members: Sequence[Member], winner: Member) -> PassedOver | None:
    """The member of the highest value, the shortest of them, if it is longer than the winner and better by value."""
    highest = max(members, key=lambda member: (member.value, -member.tokens, -member.candidate), default=winner)
    if highest.value <= winner.value or highest.tokens <= winner.tokens:
        return None
    return PassedOver(highest.candidate, highest.value, highest.tokens)
