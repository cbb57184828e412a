"""The errors that PromptFlow raises on purpose.

PromptFlowError
├── InputError            the user's input cannot be used: one line, exit code 2
│   ├── ConfigError       the configuration or the command line
│   │   └── MissingKey    a model has no key
│   ├── DataError         a data file
│   ├── PromptError       a prompt or its file
│   │   └── EditRejected  an edit that loses or invents a placeholder, or touches a frozen section
│   └── MemoryMismatch    a memory or run directory made by another embedder, dimension or version
├── ModelError            a model call failed; it is never scored
│   ├── AuthenticationFailed, ModelNotFound, BadRequest, QuotaExhausted   (the same call fails again)
│   │   ├── TooLong           the request does not fit into the model's context window; a shorter one may
│   │   ├── TemperatureRefused  the model does not accept this temperature
│   │   └── AlwaysRefused     the model has refused every request so far
│   ├── RateLimited, ServerFailed, ConnectionFailed, CallTimeout, BadReply   (worth another try)
│   └── ProgramFailed         the user's program raised, hung, or gave no answer to this example
├── BudgetExhausted       a cap was reached; `cap` names it
├── Interrupted           a person stopped the search, so a call was not sent or not retried
├── ClusterFailed         the cluster that runs the searches is gone, or cannot run them
├── StorageFailed         a file of ours cannot be read or written: disk full, read-only, locked, damaged
│   └── Superseded        another process has taken over the run, or it was closed
├── ReplayDiffers         replaying a journal gives other decisions: another release, or another machine
└── BusError              no agent accepts a message: a bug of ours, or of a custom agent
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from protocols.model import Allowance, Usage


class PromptFlowError(Exception):
    """The root: catch it to catch every error of PromptFlow and no other. One that crosses to another process is the
    same error there."""

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own would call the class with the line that a person sees as its only argument.
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[PromptFlowError], args: tuple[object, ...]) -> PromptFlowError:
    """The error without its attributes."""
    error = kind.__new__(kind)
    error.args = args
    return error


class InputError(PromptFlowError):
    """The user's input cannot be used; `str()` is the one line that the user sees."""

    def __init__(self, reason: str, *, file: str | None = None, line: int | None = None) -> None:
        self.reason, self.file, self.line = reason, file, line
        where = file or ""
        if line is not None:
            where = f"{file}:{line}" if file else f"line {line}"
        super().__init__(f"{where}: {reason}" if where else reason)


class ConfigError(InputError):
    """The configuration or the command line cannot be used."""


class MissingKey(ConfigError):
    """A model has no key: all that needs no call can be done without it."""


class DataError(InputError):
    """A data file cannot be used."""


class PromptError(InputError):
    """A prompt or its file cannot be used."""


class EditRejected(PromptError):
    """An edit would break the prompt. The edit is recorded and learnt from, never repaired silently.

    `text`: the new text of the section, if known.
    """

    def __init__(self, reason: str, *, text: str = "") -> None:
        super().__init__(reason)
        self.text = text


class MemoryMismatch(InputError):
    """A memory or a run directory was made by another embedder, dimension or version."""


class ModelError(PromptFlowError):
    """A model call failed.

    `retryable`: the adapter's judgement; the wrappers decide whether to retry. `fatal`: every other call to this
    model will fail in the same way, so the run stops. `retry_after`: in seconds. `status`: the HTTP status, if there
    was one. `allowance`: the account's rate limits as the provider reported them.
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
        """When the call was sent, in seconds of the event loop's clock, if known."""
        self.usage: Usage | None = None
        """The counted or estimated usage of a call that failed after it was accepted; None: nothing is billed."""
        code = f" (HTTP {status})" if status is not None else ""
        super().__init__(f"{model}: {reason}{code}")


class AuthenticationFailed(ModelError):
    """401 or 403: the key is missing, wrong, or not allowed to do this."""

    fatal = True


class ModelNotFound(ModelError):
    """404: no such model, or no such endpoint at this base URL."""

    fatal = True


class BadRequest(ModelError):
    """400, 422, or any other status with which the provider refuses this request permanently."""


class TooLong(BadRequest):
    """The request does not fit into the model's context window, or exceeds the tokens allowed per minute. It is
    refused whenever it is sent, with any status (400, 413, 429, 500).

    `window`: the tokens that fit, if known. `reached` False: it was known to be too long, and never sent.
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
    """The model accepts no temperature, or not this one; without a temperature the same request may succeed."""


class AlwaysRefused(BadRequest):
    """The model refused every request and never replied, so the cause is not a single request."""

    fatal = True


class QuotaExhausted(ModelError):
    """429 that waiting does not cure in time: no credit is left, or the next is days away."""

    fatal = True


class RateLimited(ModelError):
    """429, and Anthropic's 529 (overloaded): slow down, then try again."""

    retryable = True


class ServerFailed(ModelError):
    """408, 409 (another client holds a lock) and 5xx; or a 200 that reports a failure without its cause."""

    retryable = True


class ConnectionFailed(ModelError):
    """No connection was made, or it broke before the reply was complete.

    `reached`: the request may have reached the server, and may have been billed.
    """

    retryable = True

    def __init__(self, reason: str, *, model: str, reached: bool = True) -> None:
        super().__init__(reason, model=model)
        self.reached = reached


class CallTimeout(ModelError):
    """No reply within the time allowed for one call."""

    retryable = True


class BadReply(ModelError):
    """A 200 whose body does not follow the wire format (broken JSON, missing fields).

    `usage`: the usage that the provider counted and bills; None where it cannot be read either.
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


class ProgramFailed(ModelError):
    """The user's program raised, hung, or gave no answer to an example, which stays unanswered.

    `trace`: the traceback of the program's own frames, "" if there is none.
    """

    def __init__(self, reason: str, *, trace: str = "") -> None:
        super().__init__(reason, model="the program")
        self.trace = trace


class UnreadableReply(PromptFlowError):
    """A model's reply holds no edit, no critique, or no answer that a parser can read."""


class InapplicableError(PromptFlowError):
    """An operator has nothing to work with, for example no failures to learn from."""


class RunFailed(PromptFlowError):
    """The run cannot give a result, for a reason that is not a bug of ours. `cap`: the cap (`BudgetExhausted.name`)
    that is the reason, "" if none is."""

    def __init__(self, reason: str, *, cap: str = "") -> None:
        self.cap = cap
        super().__init__(reason)


class BudgetExhausted(PromptFlowError):
    """A cap of the budget was reached. `cap` names it (`calls`, `tokens`, `dollars`, `minutes`).

    `scope`: "" for a cap of the run, else a role or an operator (`proposer/<name>`), or one of `SHARED` for a cap
    over several runs. `kept`: calls under a cap on calls that are kept for the held-out report.
    """

    def __init__(self, cap: str, limit: float, scope: str = "", kept: int = 0) -> None:
        self.cap, self.limit, self.scope = cap, limit, scope
        left = f", but for {kept:,} kept for the held-out report" if kept else ""
        setting = cap_setting(self.name)
        super().__init__(f"the budget{whose(scope)} of {limit:g} {cap} is used up{left}; raise {setting}")

    @property
    def name(self) -> str:
        """`calls`, or `calls of critic`."""
        return f"{self.cap} of {self.scope}" if self.scope else self.cap

    @property
    def ends_search(self) -> bool:
        """Whether the search must end: it can continue without the critic, the credit or one operator."""
        return self.scope not in ("critic", "credit") and not self.scope.startswith("proposer/")


SHARED = ("sweep", "study")
"""The scopes of caps over several runs."""


def whose(scope: str) -> str:
    """The words " of …" for the scope of a cap; "" for the run."""
    return f" of the {scope}" if scope in SHARED else f" of {scope}" if scope else ""


def is_shared(name: str) -> bool:
    """Whether the cap with this `BudgetExhausted.name` is one over several runs."""
    return name.partition(" of ")[2] in SHARED


def cap_setting(name: str) -> str:
    """The setting of the cap with this `BudgetExhausted.name`: `budget.calls`, `budget.roles.critic.calls`,
    `budget.operators.few_shot.calls` or `sweep.budget.calls`."""
    cap, _, scope = name.partition(" of ")
    kind, _, operator = scope.partition("/")
    if scope in SHARED:
        return f"{scope}.budget.{cap}"
    table = f"budget.operators.{operator}" if operator else f"budget.roles.{kind}" if kind else "budget"
    return f"{table}.{cap}"


class Interrupted(PromptFlowError):
    """A person stopped the search, so a call was not sent or not retried. It says nothing about the prompt."""


class ClusterFailed(PromptFlowError):
    """The cluster cannot go on with the searches. What was paid for is stored: the same command goes on."""


class StorageFailed(PromptFlowError):
    """A file of ours cannot be read or written. `file` names it; `str()` is one line that says what to do."""

    def __init__(self, reason: str, *, file: str) -> None:
        self.reason, self.file = reason, file
        super().__init__(f"{file}: {reason}")


class Superseded(StorageFailed):
    """This process may not write to the run any more, because another has taken it over, or it was closed."""


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exceeded quota and a file at its size limit."""


def storage_failure(error: BaseException) -> StorageFailed | None:
    """The `StorageFailed` that an exception is, or that a group of exceptions holds at any depth; None if there is
    none. An `OSError` for a full disk counts as one, whichever file it comes from."""
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
    """Replaying the journal gives another decision than the recorded one. `envelope`: the id of the recorded one."""

    def __init__(self, reason: str, *, envelope: int) -> None:
        self.envelope = envelope
        super().__init__(f"message {envelope} of the journal: {reason}")


class BusError(PromptFlowError):
    """A message cannot be delivered, or an agent broke the protocol of the ring."""
