"""Reads the JSON object of an answer, or says why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protocols.errors import BadReply, BadRequest
from protocols.model import Instead, Reply, Usage
from protocols.providers.responses.failures import Answer, classify, is_failure
from protocols.providers.responses.figures import name_of, read_json
from protocols.providers.responses.rate_headers import read_allowance
from protocols.providers.responses.streaming import holds_events

JsonObject = dict[str, object]


def decode(answer: Answer, model: str, key: str | None, billed: Callable[[object], Usage]) -> JsonObject:
    """The JSON object of an answer. `billed` reads its `usage`, for a success whose body reports a failure.

    :raises ModelError: the status or the body reports that the call failed; the class says how.
    :raises BadReply: the body of a success is not a JSON object.
    :raises BadRequest: the body of a success is a stream that was not requested.
    """
    if not 200 <= answer.status < 300:
        raise classify(answer, model, key)
    try:
        payload = read_json(answer.body)
    except ValueError as error:
        if holds_events(answer.body):
            reason = f'the reply is a stream of events; set stream = true under [providers."{model}"]'
            raise BadRequest(
                reason, model=model, status=answer.status, request_id=answer.request_id(key)
            ) from None  # not retryable: the server always streams
        raise unusable(f"is not JSON ({error})", answer, model, key) from None
    if is_failure(payload):
        failure = classify(answer, model, key)
        failure.usage = billed(payload.get("usage") if isinstance(payload, dict) else None)
        raise failure
    if not isinstance(payload, dict):
        raise unusable("is not a JSON object", answer, model, key)
    return payload


def whole_reply(reply: Reply, answer: Answer, payload: JsonObject, instead: Callable[[], Instead]) -> Reply:
    """The reply with what the answer says of it in every format. One that calls tools has come to its own end if the
    server does not say how it ended. `instead`: what there is in place of a text."""
    missing = None if reply.text.strip() or reply.calls or reply.finish == "refusal" else instead()
    return replace(
        reply,
        finish="stop" if reply.calls and reply.finish == "other" else reply.finish,
        latency=answer.latency,
        model=name_of(payload.get("model")),
        allowance=read_allowance(answer.headers, reply.usage),
        instead=missing,
    )


def unusable(what: str, answer: Answer, model: str, key: str | None, usage: Usage | None = None) -> BadReply:
    """The error for a success that cannot be read. `what` completes "the reply …"; `usage`: billed, if known."""
    request_id = answer.request_id(key)
    return BadReply(f"the reply {what}", model=model, status=answer.status, request_id=request_id, usage=usage)
