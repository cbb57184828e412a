"""Claims: one holder a key at most, and every question is answered once its key is free."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from memory.remote.claims import Claims
from protocols.model import Reply

NAMES, KEYS = ("a", "b", "c"), (b"1", b"2")
REPLY = Reply("x")
names, keys = st.sampled_from(NAMES), st.sampled_from(KEYS)
steps = st.tuples(st.sampled_from(("ask", "ask", "ask", "again", "end", "answered", "forget", "news")), names, keys)


class Processes:
    """What three processes believe, which ask for a key only if they neither hold it nor wait for it, unless they
    were forgotten and do not know it yet."""

    def __init__(self) -> None:
        self.claims = Claims()
        self.holding: set[tuple[str, bytes]] = set()
        self.waiting: dict[tuple[str, bytes], int] = {}
        self.questions = 0

    def step(self, action: str, name: str, key: bytes) -> None:
        self.claims.hear(name, 0.0)
        match action:
            case "ask" if (name, key) not in self.holding and (name, key) not in self.waiting:
                self.ask(name, key)
            case "again" if (name, key) in self.waiting:  # the answer was lost on its way
                self.ask(name, key)
            case "end":
                self.claims.end(name, key)
                self.holding.discard((name, key))
                self.waiting.pop((name, key), None)
            case "answered" if (name, key) in self.holding:
                self.claims.answered(key, REPLY)
                self.holding.discard((name, key))
            case "forget":
                self.claims.forget(name)
                self.holding = {(who, what) for who, what in self.holding if who != name}
            case "news":
                self.fetch(name)
        told = {who for who in NAMES if self.claims._claimants.get(who) and self.claims._claimants[who].news}
        assert told <= self.claims.told
        assert all(sum(what == k for _, what in self.holding) <= 1 for k in KEYS)

    def ask(self, name: str, key: bytes) -> None:
        self.questions += 1
        if self.claims.ask(name, self.questions, key) == "send":
            self.waiting.pop((name, key), None)
            self.holding.add((name, key))
        else:
            self.waiting[name, key] = self.questions

    def fetch(self, name: str) -> None:
        mine = {question: key for (who, key), question in self.waiting.items() if who == name}
        for question, answer in self.claims.news(name, mine):
            if key := mine.get(question):
                del self.waiting[name, key]
                if answer == "send":
                    self.holding.add((name, key))
                elif answer == "ask again":
                    self.claims.hear(name, 0.0)
                    self.ask(name, key)
                else:
                    assert answer == REPLY


@settings(max_examples=500)
@given(taken=st.lists(steps, max_size=30))
def test_a_key_has_one_holder_at_most_and_everybody_gets_an_answer(taken: list[tuple[str, str, bytes]]) -> None:
    it = Processes()
    for step in taken:
        it.step(*step)
    for _ in range(2 * len(NAMES) * len(KEYS)):
        for name in NAMES:
            it.step("news", name, KEYS[0])
        for name, key in sorted(it.holding):
            it.step("end", name, key)
    assert not it.waiting
    assert not it.holding
    for name in NAMES:
        it.claims.forget(name)
    assert (it.claims._claims, it.claims.claimants) == ({}, 0)


def test_the_silent_are_those_not_heard_since() -> None:
    claims = Claims()
    for number, name in enumerate(NAMES):
        claims.hear(name, float(number))
    assert claims.silent(1.0) == ["a"]
    claims.hear("a", 3.0)
    assert claims.silent(2.0) == ["b"]
