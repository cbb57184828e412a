"""The findings of a check of a configuration: all of them are kept, not only the first that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from agents.forecast.estimate import Estimate
from agents.headroom.found import Headroom
from protocols.errors import InputError, MissingKey, StorageFailed
from protocols.model import ChatMessage

T = TypeVar("T")
Status = Literal["ok", "warning", "failed", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `what`: the thing checked; `text`: a description, or the problem and what to do.
    `call`: it is about a model call."""

    what: str
    status: Status
    text: str
    call: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The `messages` that the model of a role would be sent for one `example`, given by id. `expected`: the right
    answer, as a reply should give it."""

    role: str
    example: str
    messages: tuple[ChatMessage, ...]
    expected: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings. `estimate`: the cost of a search, None if something in the input is wrong; `sent`: the messages
    for one example, to each role for which they are known before a run; `headroom`: None if not measured."""

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
    """Collects the findings of checks, and continues after one that fails."""

    def __init__(self) -> None:
        self.all: list[Finding] = []
        self._keys: list[Finding] = []

    @property
    def blocking(self) -> list[str]:
        """The checks whose failures leave nothing to estimate from: not those of calls, nor for lack of a key."""
        failed = (one for one in self.all if one.status == "failed" and not one.call and one not in self._keys)
        return list(dict.fromkeys(one.what for one in failed))

    def attempt(self, what: str, work: Callable[[], T], say: Callable[[T], str]) -> T | None:
        """Run `work` as a check, and return its value, which `say` describes; None if it fails."""
        try:
            value = work()
        except (InputError, StorageFailed) as error:
            self.all.append(Finding(what, "failed", str(error)))
            if isinstance(error, MissingKey):
                self._keys.append(self.all[-1])
            return None
        self.all.append(Finding(what, "ok", say(value)))
        return value

    def none_of(self, what: str, problems: Iterable[InputError], well: str) -> bool:
        """Add a finding for each problem, or `well` if there are none; returns whether there are none."""
        failed = [Finding(what, "failed", str(problem)) for problem in problems]
        self.all += failed or [Finding(what, "ok", well)]
        return not failed

    def note(self, what: str, text: str) -> None:
        """Add a finding that is ok."""
        self.all.append(Finding(what, "ok", text))

    def warn(self, what: str, text: str) -> None:
        """Add a warning about something that is allowed, but probably not intended; no warning for a `text` of ""."""
        if text:
            self.all.append(Finding(what, "warning", text))

    def skip(self, what: str, why: str) -> None:
        """Add a finding for a check that was impossible or not wanted."""
        self.all.append(Finding(what, "not checked", why))
