"""Runs a program on one example: its prompts are bound, its calls are made and traced, its answer is read."""

from __future__ import annotations

import inspect
import json
import math
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio
import anyio.lowlevel
import orjson
from anyio import get_cancelled_exc_class

from agents.programs.bound import Bound, Fill
from agents.programs.trace import Trace, call_step
from agents.programs.turns import as_messages
from protocols.errors import BudgetExhausted, ConfigError, Interrupted, ModelError, ProgramFailed
from protocols.model import ChatMessage, ChatModel, Offer, Parameters, Reply, Request
from protocols.program import Answered, Prompts, Step, Turn, no_prompt
from protocols.prompt import Prompt, placeholders, without_addresses
from protocols.task import GENEROUS, Example, Json, TaskProgram
from protocols.text import is_unicode
from protocols.tools.definitions import Definitions, read_tools


@dataclass(frozen=True, slots=True)
class Draw:
    """How the calls of an example are drawn. `sample`, `temperature`, `assignment`: see `Request`."""

    sample: int
    temperature: float | None
    assignment: int | None


MOST_CALLS = 1000
"""Most calls of a program on one example: one that makes more goes round in circles."""
REFUSED = 100
"""Calls that are refused after a fatal error before the program is cancelled."""


@dataclass(slots=True)
class _Example:
    """One example at work. `fatal`: an error that ends the example, the search or the run, even if the program
    catches it. `in_flight`: calls that have not ended. `calls`, `refused`: so far. `over`: the example has ended."""

    id: str
    parts: Mapping[str, Prompt]
    bound: Mapping[str, Bound]
    request: Callable[[str, tuple[ChatMessage, ...]], Request]
    patience: anyio.CancelScope
    timeout: float
    trace: Trace = field(default_factory=Trace)
    fatal: Exception | None = None
    in_flight: int = 0
    calls: int = 0
    refused: int = 0
    over: bool = False


class _GiveWay:
    """Gives way once; also while its coroutine is closed, when there may be no event loop any more."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Running:
    """Runs `program`. `model` answers the calls, by `Request.prompt`. `known`: the placeholders that a section may
    show. `limit`: most tokens of a reply to a prompt, given its name. `fill`: see `Fill`."""

    def __init__(
        self,
        program: TaskProgram,
        model: ChatModel,
        known: Collection[str],
        limit: Callable[[str, Prompt], int],
        fill: Fill,
    ) -> None:
        self._program, self._model, self._known = program, model, frozenset(known)
        self._limit, self._fill = limit, fill
        self._offered: tuple[Prompt, Mapping[str, Offer]] | None = None

    async def answer(self, prompt: Prompt, example: Example, draw: Draw) -> tuple[Reply, tuple[Step, ...]]:
        """The program's answer as a reply, whose usage is that of all calls, and the steps that led to it.

        :raises ProgramFailed: the program raised, gave no answer, or made no call for its `timeout`.
        :raises ModelError, BudgetExhausted: a call failed and the program did not catch the error.
        """
        parts = self._program.parts(prompt)
        offers = self._offers(prompt)
        bound = {name: Bound(name, part, self._shown(part), self._fill) for name, part in parts.items()}

        def request(name: str, messages: tuple[ChatMessage, ...]) -> Request:
            most = self._limit(name, parts[name]) if name else GENEROUS
            offer = offers.get(name)
            return Request(messages, draw.temperature, most, draw.sample, draw.assignment, offer=offer, prompt=name)

        began = time.perf_counter()
        with anyio.CancelScope(deadline=anyio.current_time() + self._program.timeout) as patience:
            at_work = _Example(example.id, parts, bound, request, patience, self._program.timeout)
            try:
                said = await self._said(at_work, example)
            finally:
                at_work.over = True
        if at_work.fatal is not None:
            raise at_work.fatal
        if patience.cancelled_caught:
            raise ProgramFailed(
                f"it made no call and gave no answer for {self._program.timeout:g} s, on the example {example.id}"
            )
        reply = Reply(_text(said, example), at_work.trace.usage, latency=time.perf_counter() - began)
        return reply, at_work.trace.steps

    def _offers(self, prompt: Prompt) -> Mapping[str, Offer]:
        """What the calls of each prompt offer: made once for a program that runs on one example after the other."""
        offered = self._offered
        if offered is None or offered[0] is not prompt:
            offered = self._offered = prompt, self._program.offered(prompt)
        return offered[1]

    def _shown(self, prompt: Prompt) -> frozenset[str]:
        return frozenset(name for section in prompt for name in placeholders(section.filled, self._known))

    async def _said(self, at_work: _Example, example: Example) -> Json:
        async def call(
            prompt: str,
            messages: Sequence[Turn],
            *,
            temperature: float | None = None,
            max_tokens: int | None = None,
            tools: Sequence[Mapping[str, object]] | None = None,
            **parameters: object,
        ) -> Answered:
            asked = self._asked(at_work, prompt, messages, temperature, max_tokens, parameters)
            if tools is not None:
                asked = replace(asked, offer=offer_of(tools, at_work.parts.get(prompt), asked.offer))
            return await self._call(at_work, asked)

        try:
            return await self._program.program.answer(example, Prompts(at_work.bound), call, at_work.trace.note)
        except Exception:
            if at_work.fatal is None:
                raise
            return None

    def _asked(
        self,
        at_work: _Example,
        prompt: str,
        messages: Sequence[Turn],
        temperature: float | None,
        max_tokens: int | None,
        parameters: Mapping[str, object],
    ) -> Request:
        """:raises ProgramFailed: no prompt has this name, or the messages are none."""
        if prompt and prompt not in at_work.bound:
            raise ProgramFailed(no_prompt(prompt, at_work.bound))
        blank = at_work.request(prompt, as_messages(messages))
        if not blank.messages:
            raise ProgramFailed(f"the call of {prompt} has no messages")
        if not all(is_unicode(message.text) for message in blank.messages):
            raise ProgramFailed(f"a message of the call of {prompt} holds half of a surrogate pair")
        return Request(
            blank.messages,
            blank.temperature if temperature is None else temperature,
            max_tokens or blank.max_tokens,
            blank.sample,
            blank.assignment,
            parameters=Parameters(parameters) if parameters else blank.parameters,
            offer=blank.offer,
            prompt=prompt,
        )

    async def _call(self, at_work: _Example, request: Request) -> Answered:
        """Make a call. The program's time does not run out while it waits for one."""
        await self._admit(at_work)
        began, bound = time.perf_counter(), at_work.bound.get(request.prompt)
        rendered = bound.rendered if bound else None
        at_work.in_flight += 1
        at_work.patience.deadline = math.inf
        try:
            reply = await self._model.complete(request)
        except (ModelError, BudgetExhausted, Interrupted) as error:
            if not isinstance(error, ModelError) or error.fatal:
                at_work.fatal = at_work.fatal or error
            at_work.trace.add(call_step(request, None, rendered, time.perf_counter() - began, str(error)))
            raise
        except get_cancelled_exc_class():
            seconds = time.perf_counter() - began
            at_work.trace.add(call_step(request, None, rendered, seconds, f"cancelled after {seconds:.2f} s"))
            raise
        finally:
            at_work.in_flight -= 1
            if not at_work.in_flight:
                at_work.patience.deadline = anyio.current_time() + at_work.timeout
        at_work.trace.add(call_step(request, reply, rendered, time.perf_counter() - began))
        return Answered(reply)

    async def _admit(self, at_work: _Example) -> None:
        """Count a call.

        :raises ProgramFailed: the example is over, or has made too many calls.
        :raises Exception: the fatal error of an earlier call.
        """
        if at_work.over:
            await _GiveWay()  # one that catches even its end and tries again must not hold up everything
            raise ProgramFailed("the example is over, and no call may be made for it any more")
        at_work.calls += 1
        if at_work.calls > MOST_CALLS and at_work.fatal is None:
            at_work.fatal = ProgramFailed(
                f"it made {MOST_CALLS:,} calls and gave no answer, on the example {at_work.id}"
            )
        if at_work.fatal is None:
            return
        at_work.refused += 1
        if at_work.refused > REFUSED:
            at_work.patience.cancel()
        await anyio.lowlevel.checkpoint()  # for the same reason
        raise at_work.fatal


def offer_of(tools: Sequence[Mapping[str, object]], part: Prompt | None, own: Offer | None) -> Offer | None:
    """What a call with these definitions offers: the tools, described by the sections of the prompt `part` where it
    has them, and the schema of the prompt's `own` offer.

    :raises ProgramFailed: they cannot be read.
    """
    openai, anthropic = ({k: v for k, v in fields.items() if k != "tools"} for fields in _fields(own))
    if not tools:
        return Offer(openai, anthropic) if openai else None
    try:
        given = Definitions(read_tools(list(tools))).offer(without_addresses(part) if part else ())
    except (ConfigError, TypeError, ValueError) as error:
        raise ProgramFailed(f"the tools of a call: {error}") from None
    return given and Offer({**openai, **given.openai}, {**anthropic, **given.anthropic}, given.names)


def _fields(offer: Offer | None) -> tuple[Mapping[str, object], Mapping[str, object]]:
    return (offer.openai, offer.anthropic) if offer else ({}, {})


def _text(said: Json, example: Example) -> str:
    """:raises ProgramFailed: the answer is none, or cannot be written as JSON."""
    if said is None:
        raise ProgramFailed(f"it returned None for the example {example.id}; return a text or an object")
    if isinstance(said, str):
        if not is_unicode(said):
            raise ProgramFailed(f"its answer to the example {example.id} holds half of a surrogate pair")
        return str(said)
    if inspect.isawaitable(said):
        raise ProgramFailed(f"its answer to the example {example.id} was not awaited; write: return await call(...)")
    try:
        text = orjson.dumps(said).decode()
        if "null" in text:  # which stands for NaN and infinity, too
            json.dumps(said, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ProgramFailed(
            f"its answer to the example {example.id}, of the type {type(said).__name__}, cannot be written as JSON: "
            f"{error}; return a text, or an object of texts, numbers and lists"
        ) from None
    return text
