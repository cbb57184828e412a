"""Who may send which request: single flight between processes, as a state machine without a clock.

A request is named by its key in the reply cache, a process by its name, a question of a process by its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from protocols.model import Reply

Turn = Literal["send", "wait", "ask again"]
"""The asker may send the request; or another has sent it, and there will be news; or the question was forgotten."""
Answer = Reply | Turn


@dataclass(slots=True)
class _Claim:
    """`holder` sends the request. `queue`: the processes that wait, in order, each with its question."""

    holder: str
    queue: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Claimant:
    """A process. `heard`: when it last asked for anything. `waiting`: the keys that it waits for, by question.
    `news`: answers to such questions that it has not fetched."""

    heard: float
    claims: set[bytes] = field(default_factory=set)
    waiting: dict[int, bytes] = field(default_factory=dict)
    news: dict[int, Answer] = field(default_factory=dict)


class Claims:
    """At most one process holds the claim on a key. It ends with `end`, `answered`, `forget` or `silent`, and then
    goes to the process that has waited longest."""

    def __init__(self) -> None:
        self._claims: dict[bytes, _Claim] = {}
        self._claimants: dict[str, _Claimant] = {}
        self.told: set[str] = set()
        """Processes that have got news; whoever wakes them takes them out."""

    @property
    def claimants(self) -> int:
        """The number of processes known."""
        return len(self._claimants)

    def hear(self, name: str, now: float) -> None:
        """The process is alive."""
        self._claimants.setdefault(name, _Claimant(now)).heard = now

    def ask(self, name: str, question: int, key: bytes) -> Literal["send", "wait"]:
        """Claim a key for a process that has been heard. A process that asks for a key again has forgotten that it
        asked before: its claim stays, and its new question takes the place of the old one."""
        claim = self._claims.get(key)
        if claim is None:
            self._grant(name, key, {})
        elif claim.holder != name:
            claimant = self._claimants[name]
            claimant.waiting.pop(claim.queue.get(name, question), None)
            claimant.waiting[question], claim.queue[name] = key, question
            return "wait"
        return "send"

    def end(self, name: str, key: bytes) -> None:
        """The process neither sends the request any more nor waits for it."""
        claim = self._claims.get(key)
        if claim is None:
            return
        if claim.holder == name:
            self._pass_on(key, claim)
        elif (question := claim.queue.pop(name, None)) is not None:
            del self._claimants[name].waiting[question]

    def answered(self, key: bytes, reply: Reply) -> None:
        """A reply is stored: the claim ends, whoever holds it, and all who wait have the reply."""
        if claim := self._claims.pop(key, None):
            self._claimants[claim.holder].claims.discard(key)
            for name, question in claim.queue.items():
                self._tell(name, question, reply)

    def news(self, name: str, waiting: Iterable[int]) -> tuple[tuple[int, Answer], ...]:
        """Fetch the answers that have come for a process. `waiting`: the questions whose answers it waits for."""
        claimant = self._claimants.get(name) or _Claimant(0.0)
        news, claimant.news = claimant.news, {}
        lost = [number for number in waiting if number not in news and number not in claimant.waiting]
        return (*news.items(), *((number, "ask again") for number in lost))

    def forget(self, name: str) -> None:
        """The process is gone, or has done: its claims and questions end."""
        if claimant := self._claimants.pop(name, None):
            for key in claimant.waiting.values():
                del self._claims[key].queue[name]
            for key in claimant.claims:
                self._pass_on(key, self._claims[key])
            self.told.add(name)

    def silent(self, since: float) -> list[str]:
        """The processes that were last heard before this time."""
        return [name for name, claimant in self._claimants.items() if claimant.heard < since]

    def _grant(self, name: str, key: bytes, queue: dict[str, int]) -> None:
        self._claims[key] = _Claim(name, queue)
        self._claimants[name].claims.add(key)

    def _pass_on(self, key: bytes, claim: _Claim) -> None:
        del self._claims[key]
        if holder := self._claimants.get(claim.holder):
            holder.claims.discard(key)
        if claim.queue:
            name = next(iter(claim.queue))
            question = claim.queue.pop(name)
            self._grant(name, key, claim.queue)
            self._tell(name, question, "send")

    def _tell(self, name: str, question: int, answer: Answer) -> None:
        claimant = self._claimants[name]
        del claimant.waiting[question]
        claimant.news[question] = answer
        self.told.add(name)
