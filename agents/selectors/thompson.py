"""thompson: the best of one draw from each action's posterior (Thompson 1933; Russo et al., arXiv 1707.02038)."""

from __future__ import annotations

import math

from agents.selectors.bandit import Bandit
from agents.selectors.selector import Action


class Thompson(Bandit):
    """A normal-inverse-gamma posterior of the mean and the variance of each action's reward.

    In deviations of all rewards from their mean, the prior is one observation of mean 0 and two of variance 1
    (m = 0, kappa = 1, alpha = 1, beta = 1). Updates as in Murphy, "Conjugate Bayesian analysis of the Gaussian
    distribution" (2007), section 3; a visit in flight counts as an observation at the prior mean.
    """

    def score(self, action: Action) -> float:
        """A draw of the mean reward."""
        earned, visits = self.earned[action], self.visits(action)
        scale = self.rewards.variance
        mean = self.rewards.standard(earned.mean)
        within = earned.count * earned.variance / scale if scale else 0.0
        kappa, alpha = 1 + visits, 1 + earned.count / 2
        beta = 1 + within / 2 + earned.count * mean * mean / (2 * (1 + earned.count))
        variance = beta / self.rng.gammavariate(alpha, 1)
        return self.rng.gauss(self.total(action) / kappa, math.sqrt(variance / kappa))
