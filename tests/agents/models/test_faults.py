"""A search while one call in five goes wrong, against a server that answers every example right: whatever scores less
was scored for a fault."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest

from agents.config.configuration import load
from agents.run.opening import open_run
from memory.journals.reading import read_calls, read_journal
from protocols.messages import Evaluation, Failure
from protocols.model import Usage
from tests.small_task import LABELS, SIZES, write_task
from tests.wire_server import Weather, WireServer

pytestmark = pytest.mark.anyio
FAULTS = {"429": 0.04, "500": 0.04, "529": 0.02, "drop": 0.04, "truncate": 0.03, "garbage": 0.02, "stall": 0.01}
STALLED = 1.0
"""Seconds after which a stalled call is given up: this is waited for, with many calls at once."""


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_search_under_faults_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setattr("protocols.wrappers.retry.ATTEMPTS", 16)
    monkeypatch.setattr("protocols.wrappers.retry.BASE", 0.0)
    notes = count()

    def right(turns: list[tuple[str, str]]) -> str:
        said = turns[-1][1]
        if "<new> and </new>" in said:
            return f"<new>Think about it, in way {next(notes)}.</new>"
        return LABELS[int(re.findall(r"\w+ (\d+)\nLabel:", said)[-1]) % len(LABELS)]

    weather = Weather(seed=6, faults=FAULTS, retry_after=0.0)
    async with WireServer(right, weather=weather) as server:
        url = server.openai_url if provider == "openai" else server.url
        tables: Mapping[str, Mapping[str, object]] = {
            "models": {"default": f"{provider}/m"},
            f"providers.{provider}": {"base_url": url, "timeout": STALLED},
            "search": {"assignments": 30, "width": 8, "critique": 12, "operators": ["few_shot", "self_reflection"]},
        }
        configuration = load(write_task(tmp_path, tables=tables))
        async with open_run(configuration, {}, tmp_path / "run") as run:
            result = await run.search()
            accounts = run.ledger.accounts.values()
    stats = server.stats
    assert stats.faults.keys() == FAULTS.keys(), "every fault happened"
    assert result.stopped_by == "assignments"
    assert result.test is not None
    assert (result.test.n, result.test.errors, result.test.first, result.test.best) == (SIZES["test"], 0, 1.0, 1.0)
    messages = [envelope.message for envelope in read_journal(tmp_path / "run" / "journal.sqlite")]
    evaluations = [message for message in messages if isinstance(message, Evaluation)]
    assert not [message for message in messages if isinstance(message, Failure) and message.kind == "call"]
    assert all(score in (None, 1.0) for evaluation in evaluations for score in evaluation.scores)
    assert all(evaluation.unanswered == 0 for evaluation in evaluations)
    assert None not in evaluations[0].scores
    assert sum(account.calls for account in accounts) == stats.calls
    assert sum(account.failed for account in accounts) == stats.calls - stats.answered
    calls = list(read_calls(tmp_path / "run" / "journal.sqlite"))
    answered = sum((call.usage for call in calls if call.error is None), Usage())
    assert answered == Usage(stats.input_tokens, stats.output_tokens)
    broken = [call.usage for call in calls if call.usage.estimated]
    assert len(broken) == sum(stats.faults[kind] for kind in ("drop", "truncate", "garbage", "stall"))
    assert result.estimated == len(broken)
    assert sum(result.tokens.values()) == answered.total + sum(usage.total for usage in broken)
