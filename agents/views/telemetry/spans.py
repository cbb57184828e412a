"""A run as OpenTelemetry spans: a trace for each assignment, with spans for each agent's work and each model call.

Names and attributes follow the semantic conventions for generative AI, as of 1.38
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ and gen-ai-agent-spans/). They hold no text of
prompts, examples or replies, unless that is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from agents.history.progress import Ending, Progress
from agents.views.telemetry.texts import texts_of
from protocols.messages import Assignment, Candidate, Critique, Envelope, Evaluation, Failure
from protocols.wrappers.recorded import Call


@dataclass(slots=True)
class _Open:
    """An assignment that has not ended: its span, and the times at which its messages were sent."""

    span: Span
    sent: dict[int, float] = field(default_factory=dict)


class Spans:
    """An observer of the bus and of the journal's calls. `run` identifies the run. `texts`: whether the spans of
    calls hold what was asked and answered."""

    def __init__(self, tracer: Tracer, run: str, texts: bool = False) -> None:
        self._tracer, self._run, self._texts = tracer, run, texts
        self._open: dict[int, _Open] = {}
        self._progress = Progress()

    async def observe(self, envelope: Envelope) -> None:
        """Take in a message of the bus: its sender has finished its work on the message that caused it."""
        ending = self._progress.follow(envelope)
        message = envelope.message
        if not isinstance(message, Assignment | Candidate | Evaluation | Critique | Failure):
            return
        number = message.assignment
        if number not in self._open:
            span = self._tracer.start_span(f"assignment {number}", start_time=_nanoseconds(envelope.time))
            span.set_attributes({"promptflow.run": self._run, "promptflow.assignment": number})
            self._open[number] = _Open(span)
        self._worked(self._open[number], envelope)
        if ending is not None:
            self._end(self._open.pop(number).span, ending, envelope.time)

    def called(self, call: Call) -> None:
        """Add the span of a call that has ended."""
        asked = self._open.get(call.assignment) if call.assignment is not None else None
        provider, _, model = call.model.rpartition("/")
        span = self._tracer.start_span(
            f"chat {model}",
            context=trace.set_span_in_context(asked.span) if asked else None,
            kind=SpanKind.CLIENT,
            start_time=_nanoseconds(call.time - call.seconds),
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider or model,
                "gen_ai.request.model": model,
                "gen_ai.usage.input_tokens": call.usage.input,
                "gen_ai.usage.output_tokens": call.usage.output,
                "gen_ai.agent.name": call.role,
                "promptflow.run": self._run,
                "promptflow.tokens_estimated": bool(call.usage.estimated),
            },
        )
        if self._texts and call.request is not None:
            span.set_attributes(texts_of(call.request, call.reply, provider))
        if call.error is not None:
            span.set_attribute("error.type", call.error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(call.time))

    def _worked(self, asked: _Open, envelope: Envelope) -> None:
        """Add the span of the sender's work, if its beginning is known."""
        began = asked.sent.pop(envelope.cause, None) if envelope.cause is not None else None
        asked.sent[envelope.id] = envelope.time
        if began is None:
            return
        self._tracer.start_span(
            f"invoke_agent {envelope.sender}",
            context=trace.set_span_in_context(asked.span),
            start_time=_nanoseconds(began),
            attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": envelope.sender},
        ).end(_nanoseconds(envelope.time))

    def _end(self, span: Span, ending: Ending, moment: float) -> None:
        span.set_attributes(
            {
                "promptflow.operator": ending.operator,
                "promptflow.section": ending.section,
                "promptflow.outcome": ending.kind,
                "promptflow.gain": ending.gain,
            }
        )
        if ending.kind in ("call", "raised"):
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(moment))


@contextmanager
def open_spans(run: str, texts: bool = False) -> Iterator[Spans]:
    """Spans exported by OTLP over HTTP, configured by the standard OTEL_EXPORTER_OTLP_* variables. Pending spans are
    sent when the block ends. `texts`: see `Spans`."""
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "promptflow"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(session=own_session())))
    try:
        yield Spans(provider.get_tracer("promptflow"), run, texts)
    finally:
        provider.shutdown()


def own_session() -> requests.Session | None:
    """A session that does not read the collector's password from ~/.netrc; None if an environment variable names a
    credential provider."""
    if any(name.startswith("OTEL_PYTHON_EXPORTER_OTLP_") and "CREDENTIAL_PROVIDER" in name for name in os.environ):
        return None
    session = requests.Session()
    session.auth = lambda request: request
    return session


def _nanoseconds(moment: float) -> int:
    return int(moment * 1e9)
