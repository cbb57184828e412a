"""A model whose every attempt is in the ledger."""

from __future__ import annotations

from protocols.errors import BadReply, ModelError
from protocols.model import ChatModel, Reply, Request, Usage
from protocols.wrappers.ledger import Attempt, Ledger


class MeteredModel:
    """Enters every attempt of one role at one model in the ledger."""

    def __init__(self, inner: ChatModel, ledger: Ledger, role: str) -> None:
        self._inner, self._ledger, self._role = inner, ledger, role
        self._account, self._purses = ledger.account(role, inner.name), ledger.purses(role)

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._inner.name

    async def complete(self, request: Request) -> Reply:
        """:raises BudgetExhausted: a cap forbids the call; nothing was sent."""
        ledger, account, purses = self._ledger, self._account, self._purses
        most = ledger.most(account.model, request)
        await ledger.admit(account, purses, most)
        try:
            reply = await self._inner.complete(request)
        except BaseException as error:  # an attempt that was cancelled brought no reply either
            ledger.settle(account, purses, most, billed(error), failed=True)
            if isinstance(error, ModelError):
                ledger.ended(Attempt(self._role, account.model, error, request.left_out))
            raise
        account.seconds += reply.latency
        ledger.settle(account, purses, most, reply.usage, failed=False)
        ledger.ended(Attempt(self._role, account.model, None, request.left_out))
        return reply


def billed(error: BaseException) -> Usage:
    """What an attempt without a reply cost, as far as anybody says."""
    return error.usage if isinstance(error, BadReply) and error.usage else Usage()
