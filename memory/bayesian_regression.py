"""Bayesian linear regression on a growing set of named features, with slow forgetting.

Recursive least squares as a Kalman filter (Särkkä, Bayesian Filtering and Smoothing, section 3.2). The coefficients
revert to their priors (an Ornstein-Uhlenbeck process), so that the model follows drift, and features that are no
longer observed become uncertain again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """`n` observations of `f` features each. `places`: the features' indices; `values`: their values; both (n, f)."""

    places: Places
    values: Array


class BayesianLinearRegression:
    """Variances are in units of the noise variance. `memory` >= 1: observations until a coefficient has reverted to
    its prior by 63 %."""

    def __init__(self, memory: float) -> None:
        self._keep = 1 - 1 / memory
        self._places: dict[Hashable, int] = {}
        self.mean: Array = np.zeros(0)
        self._prior_mean: Array = np.zeros(0)
        self._prior: Array = np.zeros(0)
        self._covariance: Array = np.zeros((0, 0))

    def place(self, feature: Hashable, variance: float, mean: float = 0.0) -> int:
        """The index of a feature; a new feature gets this prior."""
        if feature not in self._places:
            self._places[feature] = len(self._places)
            self.mean = np.append(self.mean, mean)
            self._prior_mean = np.append(self._prior_mean, mean)
            self._prior = np.append(self._prior, variance)
            self._covariance = np.pad(self._covariance, (0, 1))
            self._covariance[-1, -1] = variance
        return self._places[feature]

    def predict(self, rows: Rows) -> Array:
        """Posterior means, shape (n,)."""
        predicted: Array = (self.mean[rows.places] * rows.values).sum(axis=1)
        return predicted

    def deviations(self, rng: Random) -> Array:
        """A draw of the coefficients from their posterior, minus the posterior mean; shape (features,)."""
        noise = np.array([rng.gauss(0, 1) for _ in self.mean])
        values, axes = np.linalg.eigh(self._covariance)  # not Cholesky: rounding may leave a value below 0
        drawn: Array = axes @ (np.sqrt(np.maximum(values, 0)) * noise)
        return drawn

    def variance(self, rows: Rows) -> Array:
        """Posterior variances, shape (n,)."""
        blocks = self._covariance[rows.places[:, :, None], rows.places[:, None, :]]
        variances: Array = np.einsum("nij,ni,nj->n", blocks, rows.values, rows.values)
        return np.maximum(variances, 0)

    def gain(self, row: Rows) -> Array:
        """How far one observation that lies 1 above its prediction moves each coefficient; shape (features,)."""
        [places], [values] = row.places, row.values
        shared: Array = self._covariance[:, places] @ values
        gain: Array = shared / (1 + float(values @ shared[places]))
        return gain

    def learn(self, row: Rows, target: float) -> None:
        """Update the posterior with one observation."""
        [places], [values] = row.places, row.values
        keep = self._keep
        self.mean = self._prior_mean + keep * (self.mean - self._prior_mean)
        self._covariance *= keep * keep
        self._covariance[np.diag_indices(len(self.mean))] += (1 - keep * keep) * self._prior
        shared = self._covariance[:, places] @ values
        scale = 1 + float(values @ shared[places])
        self.mean += shared * ((target - float(self.predict(row)[0])) / scale)
        self._covariance -= np.outer(shared, shared) / scale

    def doubt(self, keep: float) -> None:
        """Forget after a change: the distance of the means from their priors shrinks to the share `keep`, and the
        covariance becomes the prior's."""
        self.mean = self._prior_mean + keep * (self.mean - self._prior_mean)
        self._covariance = np.diag(self._prior)

    def correct(self, row: Rows, change: float) -> None:
        """Adjust the means because the target of an earlier observation has changed by `change`."""
        self.mean += self.gain(row) * change
