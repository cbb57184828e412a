"""Makes calls wait for the limiter of their account."""

from __future__ import annotations

from protocols.errors import ModelError, RateLimited, TooLong
from protocols.model import ChatModel, Reply, Request, Usage
from protocols.pacing.limiter import Limiter
from protocols.pacing.waiting import Patience


class LimitedModel:
    """Waits for the account's limiter before every call. `urgent` calls go before others. `timeout`: seconds after
    which the adapter cancels a call, if known."""

    def __init__(
        self,
        inner: ChatModel,
        limiter: Limiter,
        urgent: bool,
        patience: Patience | None = None,
        timeout: float | None = None,
    ) -> None:
        self.name = inner.name
        self._inner, self._limiter, self._urgent = inner, limiter, urgent
        self._patience, self._timeout = patience or Patience(), timeout

    async def complete(self, request: Request) -> Reply:
        """Answer one request once the limiter admits it, after the functions in `Request.sending` are applied to it.

        :raises Interrupted: a person has stopped the search, and the request was not sent.
        """
        limiter, patience = self._limiter, self._patience
        patience.check()
        patience.check_held(limiter.held)
        ticket = limiter.enter_now(request, self._urgent)
        if ticket is None:
            ticket = await limiter.enter(request, self._urgent, patience)
        if self._timeout is not None:
            ticket.ends = ticket.sent + self._timeout
        used: Usage | None = None
        try:
            for look in reversed(request.sending):
                request = look(request)
            reply = await self._inner.complete(request)
            used = reply.usage
            limiter.answered(ticket)
            if reply.allowance is not None:
                limiter.learn(self.name, reply.allowance)
            return reply
        except ModelError as error:
            if isinstance(error, TooLong) and not error.reached:
                limiter.unsent(ticket)
                used = Usage()
            else:
                error.sent = ticket.sent
            if isinstance(error, RateLimited):
                wait = error.allowance.wait if error.allowance and error.retry_after is None else error.retry_after
                limiter.pushed_back(ticket, wait)
            raise
        finally:
            limiter.leave(ticket, used)
