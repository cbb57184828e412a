"""Bayesian linear regression on a growing set of named features, which forgets slowly.

Recursive least squares as a Kalman filter (Särkkä, Bayesian Filtering and Smoothing, section 3.2), of coefficients
that revert to their priors (an Ornstein-Uhlenbeck process), so that it follows what drifts and what is no longer
tried becomes uncertain again.
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
    """`n` observations of `f` features each. `places`: which, shape (n, f); `values`: theirs, shape (n, f)."""

    places: Places
    values: Array


class Linear:
    """Variances are in units of the noise's. `memory` >= 1: observations until a coefficient has reverted by 63 %."""

    def __init__(self, memory: float) -> None:
        self._keep = 1 - 1 / memory
        self._places: dict[Hashable, int] = {}
        self.mean: Array = np.zeros(0)
        self._prior_mean: Array = np.zeros(0)
        self._prior: Array = np.zeros(0)
        self._covariance: Array = np.zeros((0, 0))

    def place(self, feature: Hashable, variance: float, mean: float = 0.0) -> int:
        """Where a feature stands; a new one has this prior."""
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
        """A draw of the coefficients from their posterior less its mean, shape (features,)."""
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
        """How far one observation, 1 above what was predicted, moves each coefficient; shape (features,)."""
        [places], [values] = row.places, row.values
        shared: Array = self._covariance[:, places] @ values
        gain: Array = shared / (1 + float(values @ shared[places]))
        return gain

    def learn(self, row: Rows, target: float) -> None:
        """Take in one observation."""
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
        """Something has changed: the means revert to their priors but for a share `keep`, the variances wholly."""
        self.mean = self._prior_mean + keep * (self.mean - self._prior_mean)
        self._covariance = np.diag(self._prior)

    def correct(self, row: Rows, change: float) -> None:
        """The target of an earlier observation was off by `change`."""
        self.mean += self.gain(row) * change
