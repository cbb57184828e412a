"""Everything that PromptFlow raises on purpose.

PromptFlowError
├── InputError            what a person wrote cannot be used: one line, exit code 2
│   ├── ConfigError       the configuration or the command line
│   ├── DataError         a data file
│   ├── PromptError       a prompt or its file
│   │   └── EditRejected  an edit that loses or invents a placeholder, or touches a frozen section
│   └── MemoryMismatch    a memory or run directory made by something else
├── ModelError            a model call failed: never a score
│   ├── AuthenticationFailed, ModelNotFound, BadRequest, QuotaExhausted   (the same call fails again)
│   │   ├── TooLong           a request that does not fit into the model's window; another one may
│   │   ├── TemperatureRefused  a BadRequest for its temperature, which this model does not take
│   │   └── AlwaysRefused     a BadRequest that this model has answered every request with
│   └── RateLimited, ServerFailed, ConnectionFailed, CallTimeout, BadReply   (worth another try)
├── BudgetExhausted       a cap was reached; knows which
├── Interrupted           a person has stopped the search: a call was not sent, or not again
├── StorageFailed         a file of ours cannot be read or written: disk full, read-only, locked, damaged
├── ReplayDiffers         the same messages do not lead to the same decisions: another release, or another machine
└── BusError              a message that nobody can take: our bug, or a custom agent's
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from protocols.model import Allowance, Usage


class PromptFlowError(Exception):
    """The root: catch this to catch all of ours and nothing else."""


class InputError(PromptFlowError):
    """Something that a person wrote; `str()` is the one line that they see."""

    def __init__(self, reason: str, *, file: str | None = None, line: int | None = None) -> None:
        self.reason, self.file, self.line = reason, file, line
        where = file or ""
        if line is not None:
            where = f"{file}:{line}" if file else f"line {line}"
        super().__init__(f"{where}: {reason}" if where else reason)


class ConfigError(InputError):
    """The configuration or the command line."""


class DataError(InputError):
    """A data file."""


class PromptError(InputError):
    """A prompt or its file."""


class EditRejected(PromptError):
    """An edit that would break the prompt. It is recorded and learnt from, never repaired in silence.

    `text`: what the edited section would have held, if that is known.
    """

    def __init__(self, reason: str, *, text: str = "") -> None:
        super().__init__(reason)
        self.text = text


class MemoryMismatch(InputError):
    """A memory or a run directory that was made by another embedder, dimension or version."""


class ModelError(PromptFlowError):
    """A model call failed.

    `retryable` is the adapter's word; whoever wraps the model decides what to do about it. `fatal`: every other
    call to this model will fail in the same way, so the run stops.
    `retry_after` is in seconds; `status` is the HTTP status if there was one; `allowance` is what the provider said
    of the account's limits.
    """

    retryable: ClassVar[bool] = False
    fatal: ClassVar[bool] = False

    def __init__(
        self,
        reason: str,
        *,
        model: str,
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.reason, self.model, self.status = reason, model, status
        self.retry_after, self.request_id, self.allowance = retry_after, request_id, allowance
        self.sent: float | None = None
        """When the call was sent, in seconds of the event loop, if that is known."""
        self.usage: Usage | None = None
        """What was counted, or is estimated, of a call that failed after it was accepted; None: nothing is billed."""
        code = f" (HTTP {status})" if status is not None else ""
        super().__init__(f"{model}: {reason}{code}")


class AuthenticationFailed(ModelError):
    """401 or 403: the key is missing, wrong, or not allowed to do this."""

    fatal = True


class ModelNotFound(ModelError):
    """404: no such model, or no such endpoint at this base URL."""

    fatal = True


class BadRequest(ModelError):
    """400, 422, and whatever the status a refusal of this request for good: the provider understood the call."""


class TooLong(BadRequest):
    """The request does not fit into the model's window, or is more than a minute's tokens: it is refused whenever it
    is sent, whatever the status (400, 413, 429, 500).

    `window`: the tokens that fit, if that is known. `reached` False: it was never sent, since that was known before.
    """

    def __init__(
        self,
        reason: str,
        *,
        model: str,
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        allowance: Allowance | None = None,
        window: int | None = None,
        reached: bool = True,
    ) -> None:
        super().__init__(
            reason, model=model, status=status, retry_after=retry_after, request_id=request_id, allowance=allowance
        )
        self.window, self.reached = window, reached


class TemperatureRefused(BadRequest):
    """The model does not take this temperature, or none at all; without one the same request may do."""


class AlwaysRefused(BadRequest):
    """One refusal after the other, and never a reply: the fault is not in a single request."""

    fatal = True


class QuotaExhausted(ModelError):
    """429 that waiting does not cure, or not in time: no credit is left, or the next is days away."""

    fatal = True


class RateLimited(ModelError):
    """429, and Anthropic's 529 (overloaded): slow down, then try again."""

    retryable = True


class ServerFailed(ModelError):
    """408, 409 (a lock that somebody else holds) and 5xx; and a 200 that says that it failed, and not why."""

    retryable = True


class ConnectionFailed(ModelError):
    """No connection, or one that broke before the reply was whole.

    `reached`: whether the request may have reached the server, which may then have billed it.
    """

    retryable = True

    def __init__(self, reason: str, *, model: str, reached: bool = True) -> None:
        super().__init__(reason, model=model)
        self.reached = reached


class CallTimeout(ModelError):
    """No reply within the time allowed for one call."""

    retryable = True


class BadReply(ModelError):
    """A 200 whose body is not what the wire format promises (broken JSON, fields missing).

    `usage`: what the provider counted for it, and bills; None where that cannot be read either.
    """

    retryable = True

    def __init__(
        self,
        reason: str,
        *,
        model: str,
        status: int | None = None,
        request_id: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(reason, model=model, status=status, request_id=request_id)
        self.usage = usage


class UnreadableReply(PromptFlowError):
    """A model's reply is not what it was asked for: no edit, no critique, or no answer that a parser can read."""


class InapplicableError(PromptFlowError):
    """An operator has nothing to work with: no failures to learn from, say."""


class RunFailed(PromptFlowError):
    """The run cannot give a result, for a reason that is not a bug of ours."""


class BudgetExhausted(PromptFlowError):
    """A cap was reached. `cap` names it (`calls`, `tokens`, `dollars`, `minutes`).

    `scope` says whose it is: "" the run's, else that of a role or of an operator (`proposer/<name>`).
    """

    def __init__(self, cap: str, limit: float, scope: str = "") -> None:
        self.cap, self.limit, self.scope = cap, limit, scope
        whose = f" of {scope}" if scope else ""
        super().__init__(f"the budget{whose} of {limit:g} {cap} is used up; raise {cap_setting(self.name)}")

    @property
    def name(self) -> str:
        """`calls`, or `calls of critic`."""
        return f"{self.cap} of {self.scope}" if self.scope else self.cap

    @property
    def ends_search(self) -> bool:
        """Whether nothing can go on: without a critic, credit or one operator the others do."""
        return self.scope not in ("critic", "credit") and not self.scope.startswith("proposer/")


def cap_setting(name: str) -> str:
    """The setting of a cap, by its `BudgetExhausted.name`: `budget.calls`, `budget.roles.critic.calls` or
    `budget.operators.few_shot.calls`."""
    cap, _, scope = name.partition(" of ")
    kind, _, operator = scope.partition("/")
    table = f"budget.operators.{operator}" if operator else f"budget.roles.{kind}" if kind else "budget"
    return f"{table}.{cap}"


class Interrupted(PromptFlowError):
    """A person has stopped the search: a call was not sent, or not again. It says nothing of what it was made for."""


class StorageFailed(PromptFlowError):
    """A database of ours cannot be read or written; `file` names it, `str()` is one line that says what to do."""

    def __init__(self, reason: str, *, file: str) -> None:
        self.reason, self.file = reason, file
        super().__init__(f"{file}: {reason}")


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system says of a disk that is full, or of a file that may not grow."""


def storage_failure(error: BaseException) -> StorageFailed | None:
    """The failure of a file that an exception is, or that a group of them holds, however deep; None if there is none.
    A full disk is one, whoever met it."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := storage_failure(inner))), None)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        found = StorageFailed(
            f"cannot be written ({error.strerror}); make room for it", file=str(error.filename or "standard output")
        )
        found.__cause__ = error
        return found
    return error if isinstance(error, StorageFailed) else None


class ReplayDiffers(PromptFlowError):
    """A decision that the journal holds is not the one that comes out of it. `envelope`: the id of the former."""

    def __init__(self, reason: str, *, envelope: int) -> None:
        self.envelope = envelope
        super().__init__(f"message {envelope} of the journal: {reason}")


class BusError(PromptFlowError):
    """A message cannot be delivered, or an agent broke the rules of the ring."""
