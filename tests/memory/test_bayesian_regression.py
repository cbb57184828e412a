"""The regression that selectors and few_shot share."""

from __future__ import annotations

import numpy as np
import pytest

from memory.bayesian_regression import BayesianLinearRegression, Rows


def test_the_regression_finds_the_coefficients_and_shrinks_those_that_are_unknown() -> None:
    linear, rng = BayesianLinearRegression(memory=10_000), np.random.default_rng(0)
    truth = np.array([0.5, -0.3, 0.2, 0.0])
    places = [linear.place(name, 1.0) for name in "abcd"]
    for _ in range(500):
        row = Rows(np.array([places[:3]]), rng.normal(size=(1, 3)))
        linear.learn(row, float(row.values[0] @ truth[:3]) + rng.normal(0, 0.1))
    assert linear.mean == pytest.approx(truth, abs=0.05)
    known, unknown = linear.variance(Rows(np.array([[0], [3]]), np.ones((2, 1))))
    assert known < 0.05 < 0.99 < unknown <= 1.0
