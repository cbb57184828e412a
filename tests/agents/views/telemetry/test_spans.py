"""A run as spans: a trace for each assignment, with every call in it and no text."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import orjson
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agents.config.configuration import load
from agents.run.opening import open_run
from agents.views.telemetry.spans import Spans, open_spans
from agents.views.telemetry.texts import texts_of
from memory.journals.reading import read_calls, read_exchanges
from protocols.images.image import Image
from protocols.messages import Envelope, Failure
from protocols.model import ChatMessage, Reply, Request, ToolCall, spoken
from protocols.wrappers.recorded import Call
from tests.small_task import write_task

pytestmark = pytest.mark.anyio


def spans(texts: bool = False) -> tuple[Spans, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(provider.get_tracer("test"), "run-1", texts), exporter


def of(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_every_assignment_is_a_trace_with_its_agents_and_calls(tmp_path: Path) -> None:
    it, exporter = spans()
    async with open_run(load(write_task(tmp_path / "task")), {}, tmp_path / "run") as run:
        run.bus.tap(it.observe)
        run.journal.tap(it.called)
        await run.search()
    done = exporter.get_finished_spans()
    roots = {of(span)["promptflow.assignment"]: span for span in done if span.name.startswith("assignment ")}
    assert set(roots) == set(range(7))
    calls = [span for span in done if of(span).get("gen_ai.operation.name") == "chat"]
    made = list(read_calls(tmp_path / "run" / "journal.sqlite"))
    assert len(calls) == len(made)
    assert sum(int(str(of(span)["gen_ai.usage.input_tokens"])) for span in calls) == sum(c.usage.input for c in made)
    for number, root in roots.items():
        within = [span for span in done if span.parent and span.parent.span_id == root.context.span_id]
        if of(root)["promptflow.outcome"] in ("first", "survived", "lost"):
            assert {"invoke_agent evaluator", "invoke_agent critic"} <= {span.name for span in within}
        assert sum(of(span).get("gen_ai.operation.name") == "chat" for span in within) == sum(
            call.assignment == number for call in made
        )
        assert all((root.start_time or 0) <= (span.start_time or 0) + 10**9 for span in within)
    text = "".join(str(of(span)) + span.name for span in done)
    assert "invoice" not in text
    assert "退款" not in text


async def test_texts_are_sent_if_they_are_wanted(tmp_path: Path) -> None:
    """What was asked and answered, for every call of the journal."""
    it, exporter = spans(texts=True)
    async with open_run(load(write_task(tmp_path / "task"), ["search.assignments=0"]), {}, tmp_path / "run") as run:
        run.journal.tap(it.called)
        await run.search()
        prompt = run.first
    sent = [of(span) for span in exporter.get_finished_spans()]
    kept = [each for _, some in read_exchanges(tmp_path / "run" / "journal.sqlite", 0, "test") for each in some]
    asked = [str(attributes["gen_ai.input.messages"]) for attributes in sent]
    for each in kept:
        messages = [{"role": who, "parts": [{"type": "text", "content": text}]} for who, text in each.messages]
        assert json.dumps(messages, ensure_ascii=False) in asked
    assert kept
    assert all(orjson.loads(str(attributes["gen_ai.output.messages"])) for attributes in sent)
    assert prompt["task"].text.split("\n")[0] in asked[0]


def test_messages_have_the_form_of_the_conventions() -> None:
    """Tools, images and a system message that is sent apart; half a surrogate pair breaks nothing."""
    call = ToolCall("find", '{"city": "Köln"}', "c1")
    image = Image("a.png", "data:image/png;base64,AAAA", "0", media="image/png", size=(3, 2))
    system = ChatMessage("system", "Be brief.")
    request = Request(
        (
            system,
            spoken("user", ["Look: ", image]),
            ChatMessage("assistant", "", calls=(call,)),
            ChatMessage("tool", "12 °C", calls=(call,)),
        )
    )
    told = texts_of(request, Reply("\ud800", finish="length"), "openai")
    [first, second, third, fourth] = orjson.loads(told["gen_ai.input.messages"])
    assert first == {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
    assert [part["type"] for part in second["parts"]] == ["text", "image"]
    assert "AAAA" not in told["gen_ai.input.messages"]
    assert third["parts"] == [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"city": "Köln"}}]
    assert fourth == {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "12 °C"}]}
    assert told["gen_ai.response.finish_reasons"] == ["length"]
    apart = texts_of(request, Reply("", calls=(call,)), "anthropic")
    assert orjson.loads(apart["gen_ai.system_instructions"]) == first["parts"]
    assert orjson.loads(apart["gen_ai.input.messages"]) == [second, third, fourth]
    assert orjson.loads(apart["gen_ai.output.messages"])[0]["finish_reason"] == "tool_call"
    assert "gen_ai.output.messages" not in texts_of(request, None, "openai")


async def test_what_failed_is_an_error() -> None:
    it, exporter = spans()
    await it.observe(Envelope(1, None, "evaluator", "controller", 5.0, Failure(3, "call", "no")))
    it.called(Call(6.0, 3, "task", "openai/gpt-x", error="ServerFailed"))
    root, call = exporter.get_finished_spans()
    assert not root.status.is_ok
    assert not call.status.is_ok
    assert (call.name, of(call)["gen_ai.provider.name"], of(call)["error.type"]) == (
        "chat gpt-x",
        "openai",
        "ServerFailed",
    )


def test_the_collector_gets_no_password_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords: list[str | None] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            passwords.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    (tmp_path / ".netrc").write_text("default login me password netrc-secret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with open_spans("run-1") as it:
            it.called(Call(6.0, 3, "task", "openai/gpt-x"))
        collector.shutdown()
    assert passwords == [None]
