"""Counts every attempt of a model in the ledger."""

from __future__ import annotations

from collections.abc import Callable

from protocols.budget.ledger import Attempt, Ledger
from protocols.errors import BadReply, CallTimeout, ConnectionFailed, ModelError
from protocols.model import ChatModel, Reply, Request, Usage
from protocols.providers.responses.figures import about


class MeteredModel:
    """Counts every attempt of one role at one model in the ledger.

    `between` builds the wrappers between the ledger and the model, in which a call may wait again: limiter, journal.
    Meanwhile its highest possible cost is reserved, but it does not count as a call yet.
    """

    def __init__(
        self, inner: ChatModel, ledger: Ledger, role: str, between: Callable[[ChatModel], ChatModel] | None = None
    ) -> None:
        sending = SendingModel(inner)
        self._inner = between(sending) if between else sending
        self._ledger, self._role = ledger, role
        self._account, self._purses = ledger.account(role, inner.name), ledger.purses(role)

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._inner.name

    async def complete(self, request: Request) -> Reply:
        """:raises BudgetExhausted: a cap forbids the call; nothing was sent."""
        ledger, account, purses = self._ledger, self._account, self._purses
        most, sent = ledger.most(account.model, request), False

        def send() -> None:
            nonlocal sent
            ledger.send(account, purses, most)
            sent = True

        await ledger.admit(account, purses, most)
        try:
            reply = await self._inner.complete(request.sent_by(send))
        except BaseException as error:
            if not sent:
                ledger.withdraw(purses, most)
                raise
            ledger.settle(account, purses, most, billed(error, request), failed=True)
            if isinstance(error, ModelError):
                ledger.ended(Attempt(self._role, account.model, error, request.left_out))
            raise
        account.seconds += reply.latency
        ledger.settle(account, purses, most, reply.usage, failed=False)
        ledger.ended(Attempt(self._role, account.model, None, request.left_out))
        return reply


class SendingModel:
    """Calls `Request.sending` just before a request is sent."""

    def __init__(self, inner: ChatModel) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._inner.name

    async def complete(self, request: Request) -> Reply:
        """:raises BudgetExhausted: the request may no longer be sent."""
        if request.sending:
            request.sending()
        return await self._inner.complete(request)


def billed(error: BaseException, request: Request) -> Usage:
    """The usage of a sent attempt without a reply.

    A provider bills no errors, unless it accepted the request and reports usage. For a call that timed out, was
    cancelled, or whose reply was unreadable or incomplete, the usage may be unknown: then its input is counted, as
    the least that it cost.
    """
    match error:
        case ModelError(usage=Usage() as usage):
            return usage
        case ConnectionFailed(reached=False):
            return Usage()
        case ModelError() if not isinstance(error, BadReply | ConnectionFailed | CallTimeout):
            return Usage()
    return Usage(about(request), estimated=1)
