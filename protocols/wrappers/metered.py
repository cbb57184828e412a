"""Counts every attempt of a model in the ledger."""

from __future__ import annotations

from protocols.budget.ledger import Attempt, Ledger
from protocols.errors import BadReply, CallTimeout, ConnectionFailed, ModelError
from protocols.model import ChatModel, Reply, Request, Usage
from protocols.providers.responses.figures import about


class MeteredModel:
    """Counts every attempt of one role at one model in the ledger.

    `queued`: there is a limiter inside, for which a call waits after it is admitted. Meanwhile its maximum cost is
    reserved, and it is not counted yet.
    """

    def __init__(self, inner: ChatModel, ledger: Ledger, role: str, queued: bool = False) -> None:
        self.name = inner.name
        self._inner, self._ledger, self._role, self._queued = inner, ledger, role, queued
        self._account, self._scopes = ledger.account(role, inner.name), ledger.scopes_of(role)

    async def complete(self, request: Request) -> Reply:
        """:raises BudgetExhausted: a cap forbids the call; nothing was sent."""
        ledger, account, scopes = self._ledger, self._account, self._scopes
        most, sent = ledger.most(account.model, request), False

        def send(waited: Request) -> Request:
            nonlocal sent
            ledger.send(account, scopes, most)
            sent = True
            return waited

        await ledger.admit(account, scopes, most)
        try:
            reply = await self._inner.complete(request.sent_by(send) if self._queued else send(request))
        except BaseException as error:
            if not sent:
                ledger.withdraw(scopes, most)
                raise
            ledger.settle(account, scopes, most, billed(error, request), failed=True)
            if isinstance(error, ModelError):
                ledger.ended(Attempt(self._role, account.model, error, request.left_out))
            raise
        account.seconds += reply.latency
        ledger.settle(account, scopes, most, reply.usage, failed=False)
        ledger.ended(Attempt(self._role, account.model, None, request.left_out))
        return reply


def billed(error: BaseException, request: Request) -> Usage:
    """The usage of a sent attempt without a reply.

    A provider bills no errors, unless it accepted the request and reports usage. For a call that timed out, was
    cancelled, or whose reply was unreadable or incomplete, the usage may be unknown: then its input is counted, the
    minimum that it cost.
    """
    match error:
        case ModelError(usage=Usage() as usage):
            return usage
        case ConnectionFailed(reached=False):
            return Usage()
        case ModelError() if not isinstance(error, BadReply | ConnectionFailed | CallTimeout):
            return Usage()
    return Usage(about(request), estimated=1)
