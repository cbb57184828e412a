"""What a look at a configuration finds: every finding is kept, not only the first that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from agents.forecast.estimate import Estimate
from agents.headroom.found import Headroom
from protocols.errors import InputError, StorageFailed
from protocols.model import ChatMessage

T = TypeVar("T")
Status = Literal["ok", "warning", "failed", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at and how it is; `text`: what is there, or what is wrong and what to do. `call`: of a model
    call."""

    what: str
    status: Status
    text: str
    call: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What the model of a role would be sent for one `example`, by its id; `expected`: the answer to it, as a reply
    should give it."""

    role: str
    example: str
    messages: tuple[ChatMessage, ...]
    expected: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings; `estimate`: what a search takes, None where something in the input is wrong; `sent`: what one
    example is sent as, to each role that can be shown before a run; `headroom`: None where nobody asked for it."""

    findings: tuple[Finding, ...]
    estimate: Estimate | None
    sent: tuple[Sent, ...] = ()
    headroom: Headroom | None = None

    @property
    def exit_code(self) -> int:
        """2: something in the input is wrong; 1: a model call failed; else 0."""
        failed = [finding for finding in self.findings if finding.status == "failed"]
        if any(not finding.call for finding in failed):
            return 2
        return 1 if failed else 0


class Findings:
    """Collects what checks find, and goes on after one that fails."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def attempt(self, what: str, work: Callable[[], T], say: Callable[[T], str]) -> T | None:
        """What `work` returns, described by `say`; None where it fails."""
        try:
            value = work()
        except (InputError, StorageFailed) as error:
            self.all.append(Finding(what, "failed", str(error)))
            return None
        self.all.append(Finding(what, "ok", say(value)))
        return value

    def none_of(self, what: str, problems: Iterable[InputError], well: str) -> bool:
        """Whether there are no problems; each is a finding."""
        failed = [Finding(what, "failed", str(problem)) for problem in problems]
        self.all += failed or [Finding(what, "ok", well)]
        return not failed

    def note(self, what: str, text: str) -> None:
        """Say what is well."""
        self.all.append(Finding(what, "ok", text))

    def warn(self, what: str, text: str) -> None:
        """Note what may be meant, and hardly is; "" for nothing."""
        if text:
            self.all.append(Finding(what, "warning", text))

    def skip(self, what: str, why: str) -> None:
        """Note what could not be looked at, or was not wanted."""
        self.all.append(Finding(what, "not checked", why))
