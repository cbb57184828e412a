"""Which accounts are shared with other processes, and when."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from pathlib import Path

import anyio
import pytest

from agents.models.accounts import Accounts
from agents.models.quotas import QuotaFiles
from agents.views.live.waiting import in_words
from protocols.errors import RunFailed
from protocols.leases.lease import Lease, NoLease, Report, Source
from protocols.model import Usage
from protocols.pacing.limits import Limits
from protocols.providers.catalogue import Account
from tests.protocols.wrappers.faults import REQUEST

pytestmark = pytest.mark.anyio
SERVER = Account("openai", "http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    ("account", "shared"),
    [
        (SERVER, True),
        (Account("anthropic", "https://api.anthropic.com", "abc"), True),
        (Account("openai", "mine:client"), False),
        (Account("local"), False),
        (Account("embedded"), False),
        (Account("own", "mine:Model"), False),
    ],
)
def test_only_accounts_at_an_address_are_shared(tmp_path: Path, account: Account, shared: bool) -> None:
    with ExitStack() as closing:
        assert bool(QuotaFiles({"XDG_CACHE_HOME": str(tmp_path)}, print).source(account, closing)) is shared
        assert QuotaFiles({}, print).source(account, closing) is None


async def test_a_block_shares_limits_and_gives_them_back_whatever_ends_it(tmp_path: Path) -> None:
    for error in (None, RunFailed("it failed")):
        one, other = (Accounts(QuotaFiles({"XDG_CACHE_HOME": str(tmp_path)}, print)) for _ in range(2))
        with pytest.raises(RunFailed) if error else nullcontext():
            async with one.sharing(), one.sharing():
                ticket = await one.limiter(SERVER, Limits(4)).enter(REQUEST, urgent=False)
                one.limiter(SERVER, Limits(4)).leave(ticket, Usage(1, 1))
                if error:
                    raise error
        async with other.sharing():
            limiter = other.limiter(SERVER, Limits(4))
            ticket = await limiter.enter(REQUEST, urgent=False)
            assert limiter.allowed == 4
            limiter.leave(ticket, Usage(1, 1))


async def test_a_quota_that_cannot_be_reached_is_named_where_a_person_is_told_what_calls_wait_for() -> None:
    class Away:
        def source(self, account: Account, closing: ExitStack) -> Source:
            return self

        async def exchange(self, member: str, report: Report) -> Lease:
            raise NoLease("the head does not answer")

    accounts = Accounts(Away())
    async with accounts.sharing(), anyio.create_task_group() as tasks:
        tasks.start_soon(accounts.limiter(SERVER, Limits(4)).enter, REQUEST, False)
        await anyio.wait_all_tasks_blocked()
        said = in_words(accounts.waits())
        tasks.cancel_scope.cancel()
    assert "the limits of http://127.0.0.1:1/v1, which cannot be reached (the head does not answer)" in said
