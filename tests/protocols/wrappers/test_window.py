"""The window of a model: what is built fits, what does not fit is not sent, and what was learned is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import BadRequest, ModelError, RateLimited, ServerFailed, TooLong
from protocols.model import TURN, ChatMessage, ChatModel, Reply, Request, Usage
from protocols.pacing.breaker import ROUNDS, Breaker
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.prompt import estimate_tokens
from protocols.wrappers.limited import LimitedModel
from protocols.wrappers.reply_room import MinReplyTokensModel
from protocols.wrappers.window import SHARE, Window, WindowedModel

pytestmark = pytest.mark.anyio


def asks(tokens: int, reply: int = 100) -> Request:
    """A request of so many estimated tokens."""
    return Request((ChatMessage("user", "abcd" * tokens),), max_tokens=reply)


@dataclass
class Server:
    """Takes `window` tokens, of which each estimated one is `each`. `says`: whether a refusal names the window,
    `counts`: whether a reply has its usage."""

    window: int
    each: float = 1.0
    says: bool = True
    counts: bool = True
    name: str = "openai/m"
    sent: list[Request] = field(default_factory=list)
    refused: int = 0

    async def complete(self, request: Request) -> Reply:
        self.sent.append(request)
        tokens = math.ceil(self.each * sum(estimate_tokens(message.text) for message in request.messages))
        if tokens + request.max_tokens > self.window:
            self.refused += 1
            raise TooLong("too long", model=self.name, window=self.window if self.says else None)
        return Reply("yes", Usage(tokens if self.counts else 0, 1))


async def keep(window: Window) -> None:
    pass


async def tried(model: ChatModel, request: Request) -> bool:
    """Whether there was a reply."""
    try:
        await model.complete(request)
    except TooLong:
        return False
    return True


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=12), st.floats(0.5, 2.5), st.integers(400, 5000))
@settings(max_examples=60)
def test_after_a_refusal_what_is_built_to_fit_is_taken(sizes: list[int], each: float, window: int) -> None:
    """Whatever the tokeniser makes of the text, as long as it makes the same of all of it, and has counted some."""

    async def main() -> None:
        server, known = Server(window, each), Window()
        model = WindowedModel(server, known, keep)
        for size in [*sizes, 1000]:
            await tried(model, asks(size))
        await tried(model, asks(60))
        refused, room = server.refused, known.spare(asks(1)) + 1
        if refused:
            assert await tried(model, asks(int(room)))
            assert server.refused == refused

    anyio.run(main)


async def test_what_does_not_fit_is_not_sent_once_the_window_is_known() -> None:
    server, known = Server(1000), Window()
    model = WindowedModel(server, known, keep)
    assert known.spare(asks(5000)) == math.inf
    assert not await tried(model, asks(5000))
    sent = len(server.sent)
    with pytest.raises(TooLong, match="window of 1,000 tokens; it was not sent") as caught:
        await model.complete(asks(5000))
    assert (caught.value.reached, caught.value.window, len(server.sent)) == (False, 1000, sent)
    assert await tried(model, asks(500))


async def test_a_refusal_without_a_number_halves_what_is_unknown() -> None:
    server, known = Server(1000, says=False), Window()
    model = WindowedModel(server, known, keep)
    assert await tried(model, asks(300))
    assert not await tried(model, asks(4000))
    tokens = []
    for _ in range(6):
        assert known.tokens is not None
        tokens.append(known.tokens)
        await tried(model, asks(max(1, int(known.spare(asks(1))))))
    assert tokens == sorted(tokens, reverse=True)
    assert known.tokens is not None
    assert 400 <= known.tokens < 1200, "at least what was taken, strictly below what was refused"
    assert await tried(model, asks(300)), "what was taken once is never held back"


async def test_a_reply_that_is_too_long_for_the_window_is_asked_for_shorter() -> None:
    server, known = Server(1000), Window()
    assert await tried(MinReplyTokensModel(WindowedModel(server, known, keep), 1, known), asks(100, reply=4096))
    assert [request.max_tokens for request in server.sent] == [4096, 1000 // SHARE]


async def test_without_usage_the_estimate_stands_and_a_refusal_corrects_it() -> None:
    server, known = Server(1000, each=2.0, counts=False), Window()
    known.tell(1000)
    model = WindowedModel(server, known, keep)
    assert not await tried(model, asks(800)), "800 are 1600"
    assert (server.refused, len(server.sent)) == (1, 1)
    assert not await tried(model, asks(800))
    assert len(server.sent) == 1


async def test_what_was_learned_is_told_before_anybody_acts_on_it_and_taken_up_again() -> None:
    kept: list[bytes] = []

    async def write(window: Window) -> None:
        kept.append(window.pack())

    for says in (True, False):
        kept.clear()
        known = Window()
        assert not await tried(WindowedModel(Server(1000, says=says), known, write), asks(2000))
        [packed] = kept
        again = Window()
        again.take_up(packed)
        assert (again.tokens, again.spare(asks(1))) == (known.tokens, known.spare(asks(1)))
        again.tell(500)
        again.take_up(packed)
        assert again.tokens == 500, "what is known by now is not forgotten"


def test_the_least_that_was_told_holds() -> None:
    known = Window()
    for tokens in (4096, 8192):
        known.tell(tokens)
    assert known.tokens == 4096


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (TooLong("too long", model="m"), False),
        (BadRequest("no such parameter", model="m"), True),
        (RateLimited("slow down", model="m"), False),
    ],
)
def test_only_a_refusal_that_is_of_all_requests_opens_the_breaker(error: ModelError, opens: bool) -> None:
    breaker = Breaker()
    raised = [breaker.failed(breaker.begin(), error) for _ in range(ROUNDS)]
    assert any(each.fatal for each in raised) == opens


def test_a_request_keeps_what_is_not_about_its_reply() -> None:
    known = Window()
    known.tell(100)
    request = replace(asks(10, reply=90), sample=3, assignment=7, left_out=2)
    assert known.fitted(request) == replace(request, max_tokens=50)


@pytest.mark.parametrize("window", [None, 10, 19_999])
@pytest.mark.parametrize("size", [20, 5000])
async def test_what_is_much_shorter_than_what_was_answered_is_refused_for_another_reason(
    size: int, window: int | None
) -> None:
    """llama.cpp says so when its memory is full, and a number may be of something else: it is worth another try."""
    server, known = Server(50_000), Window()
    model = WindowedModel(server, known, keep)
    assert await tried(model, asks(20_000))
    before = known.pack()
    with pytest.raises(ServerFailed) as caught:
        await WindowedModel(Fails(TooLong("full", model="m", window=window, status=500)), known, keep).complete(
            asks(size)
        )
    assert (caught.value.reason, caught.value.status, caught.value.retryable) == ("full", 500, True)
    assert (known.pack(), known.tokens) == (before, None)


@pytest.mark.parametrize("window", [None, 10])
async def test_a_refusal_of_what_is_no_longer_than_what_was_answered_teaches_nothing(window: int | None) -> None:
    known = Window()
    assert await tried(WindowedModel(Server(50_000), known, keep), asks(20_000))
    assert not await tried(WindowedModel(Fails(TooLong("no", model="m", window=window)), known, keep), asks(15_000))
    assert known.tokens is None
    assert not await tried(WindowedModel(Fails(TooLong("no", model="m", window=window)), known, keep), asks(30_000))
    assert 20_000 < known.spare(asks(1)) < 30_000


@dataclass
class Fails:
    """Refuses whatever comes."""

    error: ModelError
    name: str = "openai/m"

    async def complete(self, request: Request) -> Reply:
        raise self.error


async def test_a_window_that_is_learned_while_others_wait_takes_nothing_of_the_limiter() -> None:
    """Neither at once nor after a wait: no slot, no place in a minute, and no time at which it was sent."""
    limiter, known = Limiter(Limits(concurrency=1, requests=3, tokens=10**6)), Window()
    server = Server(1000)
    model = WindowedModel(LimitedModel(server, limiter, urgent=True), known, keep)
    errors: list[TooLong] = []

    async def ask() -> None:
        try:
            await model.complete(asks(5000))
        except TooLong as error:
            errors.append(error)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            ticket = limiter.enter_now(asks(1), urgent=True)
            assert ticket
            for _ in range(6):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            known.tell(1000)
            limiter.leave(ticket, Usage(1, 1))
        held = limiter.enter_now(asks(1), urgent=True)
        assert held
        await ask()  # would wait for ever
        limiter.unsent(held)
        limiter.leave(held, Usage(0, 0))
        assert ([error.sent for error in errors], server.sent) == ([None] * 7, [])
        assert [await tried(model, asks(10)), await tried(model, asks(10))] == [True, True], (
            "one of three a minute was sent"
        )
        assert limiter.in_flight == 0


@given(st.integers(0, 20), st.integers(1, 50))
def test_the_frames_of_turns_take_room(pairs: int, tokens: int) -> None:
    """Of the same bytes in more turns less is spare, by the frame of each."""
    window = Window()
    window.tell(100_000)
    turns = [ChatMessage(speaker, "abcd" * tokens) for _ in range(pairs) for speaker in ("user", "assistant")]
    said = ChatMessage("system", "be brief"), ChatMessage("user", "abcd")
    split = Request((said[0], *turns, said[1]))
    joined = Request((ChatMessage("system", said[0].text + "abcd" * (2 * pairs * tokens)), said[1]))
    assert window.spare(split) == window.spare(joined) - 2 * pairs * TURN
