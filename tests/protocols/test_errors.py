"""An error that crosses to another process is the same error there."""

from __future__ import annotations

import pickle

import pytest

from protocols import errors
from protocols.errors import BudgetExhausted, ModelError, PromptFlowError
from protocols.model import Allowance, Usage


def kinds(root: type[PromptFlowError]) -> list[type[PromptFlowError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]


def made(kind: type[PromptFlowError]) -> PromptFlowError:
    """One of this kind, with what its kind asks for."""
    for keywords in (
        {"model": "a/b", "status": 429, "retry_after": 1.5, "allowance": Allowance(1, 2)},
        {"model": "a/b"},
        {"file": "f"},
        {"envelope": 7},
        {},
    ):
        try:
            return kind("why: {x}", **keywords)
        except TypeError:
            continue
    return BudgetExhausted("calls", 5, "critic")


@pytest.mark.parametrize("kind", [k for k in kinds(PromptFlowError) if k.__module__ == errors.__name__])
def test_an_error_is_the_same_in_another_process(kind: type[PromptFlowError]) -> None:
    error = made(kind)
    assert type(error) is kind
    if isinstance(error, ModelError):
        error.usage = Usage(1, 2)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert type(copy) is kind
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))
