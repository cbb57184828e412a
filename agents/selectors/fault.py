"""Which prompt of a program is at fault: what the Critic blames, and what edits of each prompt have earned.

A Bayesian estimate under the assumption that one prompt is at fault:

    prior        the share of critiques that name the prompt; one that names several has a share for each. Shares, not
                 products of likelihoods: critiques by one model err together, and must not outweigh what edits earn
    likelihood   of the s of n edits of the prompt that earned something: their rate is Beta(2, 4) at fault, a third,
                 and Beta(1, 19) without a fault, a twentieth (beta-binomial: nobody knows the rate for certain)
    forgetting   all counts, slowly: once a prompt is mended, another is at fault

The selectors draw the prompt of the next edit by this probability (Thompson 1933), so each prompt keeps a share.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from agents.selectors.selector import WHOLE_PROGRAM, Choice

UNSAID = 0.25
"""Critiques that name each prompt before any was heard."""
AT_FAULT, SOUND = (2.0, 4.0), (1.0, 19.0)
"""Beta priors of the rate of edits that earn something."""
MEMORY = 40.0
"""Outcomes, or critiques, until one of them is forgotten by 63 %."""


class Fault:
    """The probability of each prompt to be at fault. For a prompt that stands alone it is never asked."""

    def __init__(self) -> None:
        self._named: dict[str, float] = defaultdict(lambda: UNSAID)
        self._earned: dict[str, float] = defaultdict(float)
        self._failed: dict[str, float] = defaultdict(float)
        self._heard = False

    def hear(self, choices: Sequence[Choice]) -> None:
        """Take the critique of a survivor, given by the choices there."""
        blamed = sorted({choice.prompt for choice in choices if choice.blamed} - {WHOLE_PROGRAM})
        self._heard = self._heard or bool(choices)
        if blamed:
            _fade(self._named)
            for prompt in blamed:
                self._named[prompt] += 1 / len(blamed)

    def learn(self, choice: Choice, earned: float) -> None:
        """Take the outcome of an edit; one of the program as a whole says nothing of a prompt. `earned`: 0 if it
        earned nothing, else 1, or less at a parent that is behind the best: making up for that mends nothing."""
        if choice.prompt not in ("", WHOLE_PROGRAM):
            _fade(self._earned)
            _fade(self._failed)
            self._earned[choice.prompt] += earned
            self._failed[choice.prompt] += 1 - earned

    def odds(self, choices: Sequence[Choice]) -> dict[str, float]:
        """The probability of each prompt that has a choice, times their number: 1 on average. Edits of the program as
        a whole have 1."""
        if not self._heard:
            self.hear(choices)
        prompts = sorted({choice.prompt for choice in choices} - {WHOLE_PROGRAM})
        weights = {prompt: self._named[prompt] * self._evidence(prompt) for prompt in prompts}
        total = math.fsum(weights.values())
        return {prompt: len(prompts) * weight / total for prompt, weight in weights.items()} | {WHOLE_PROGRAM: 1.0}

    def _evidence(self, prompt: str) -> float:
        """How much likelier the outcomes are if the prompt is at fault."""
        earned, failed = self._earned[prompt], self._failed[prompt]
        return math.exp(_likelihood(earned, failed, *AT_FAULT) - _likelihood(earned, failed, *SOUND))


def _likelihood(earned: float, failed: float, one: float, other: float) -> float:
    """The logarithm of the beta-binomial likelihood, without the factor that does not depend on the prior."""
    return _log_beta(one + earned, other + failed) - _log_beta(one, other)


def _log_beta(one: float, other: float) -> float:
    return math.lgamma(one) + math.lgamma(other) - math.lgamma(one + other)


def _fade(counts: dict[str, float]) -> None:
    for name in counts:
        counts[name] *= 1 - 1 / MEMORY
