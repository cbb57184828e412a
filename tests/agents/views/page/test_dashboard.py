"""The server of the page: who is answered, who may steer, and what a browser is told of a run."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import orjson
import pytest
from rich.console import Console

from agents import foreground
from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL, LOG
from agents.run.opening import open_run
from agents.session import show_in_browser
from agents.views.page import feed as feeding
from agents.views.page.dashboard import Dashboard, Json, Steering
from agents.views.page.document import report_document
from agents.views.page.feed import Feed
from agents.views.page.serving import shown
from memory.journals.journal import open_journal
from protocols.errors import ConfigError
from protocols.messages import Envelope
from tests.agents.views.page.runs import said, write_run
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
TOKEN = "the-token-of-a-test"
ROUTES = ("/", "/events", "/candidate/0", "/command", "/label", "/unknown", "/candidate/x", "/%2e%2e/run.py", "//")


class Still:
    """A source that shows one thing, once."""

    async def changes(self) -> AsyncGenerator[Json]:
        yield {"title": "still"}

    async def detail(self, number: int) -> Json | None:
        return {"candidate": number} if number == 7 else None


@asynccontextmanager
async def served(told: list[Sequence[str]]) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A client, and the address of a dashboard without its token."""

    async def command(words: Sequence[str]) -> str:
        if words[0] == "unknown":
            raise ConfigError("'unknown' is no command")
        told.append(words)
        return f"done: {words[0]}"

    async def label(identity: str) -> Json:
        if identity != "a&b=1 退款":
            raise ConfigError("no example has this id")
        return {"target": "invoice"}

    async with (
        Dashboard(Still(), TOKEN, Steering(command, ("search.width",), label)).serve() as url,
        aiohttp.ClientSession() as client,
    ):
        yield client, url.removesuffix(f"/?token={TOKEN}")


async def test_no_request_without_the_token_is_answered() -> None:
    told: list[Sequence[str]] = []
    async with served(told) as (client, url):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            for route in ROUTES:
                for query in ("", "?token=", f"?token={TOKEN}x", f"?token={TOKEN[:-1]}", "?token=%ff%00", "?Token=x"):
                    async with client.request(method, f"{url}{route}{query}", json={"words": ["stop"]}) as answer:
                        assert answer.status == 403, (method, route, query)
                        assert TOKEN.encode() not in await answer.read()
    assert told == []


async def test_another_host_or_origin_is_not_answered() -> None:
    told: list[Sequence[str]] = []
    async with served(told) as (client, url):
        port = url.rpartition(":")[2]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.evil.example:{port}", "[::1]"):
            async with client.get(f"{url}/?token={TOKEN}", headers={"Host": host}) as answer:
                assert answer.status == 403, host
        for origin in ("https://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1", ""):
            headers = {"Origin": origin}
            async with client.post(
                f"{url}/command?token={TOKEN}", headers=headers, json={"words": ["stop"]}
            ) as answer:
                assert answer.status == 403, origin
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            headers = {"Content-Type": kind}
            async with client.post(
                f"{url}/command?token={TOKEN}", headers=headers, data=b'{"words": ["stop"]}'
            ) as answer:
                assert answer.status == 403, kind
        assert told == []
        headers = {"Origin": url}
        async with client.post(f"{url}/command?token={TOKEN}", headers=headers, json={"words": ["stop"]}) as answer:
            assert (answer.status, await answer.json()) == (200, {"said": "done: stop"})
    assert told == [["stop"]]


async def test_what_has_the_token_is_answered() -> None:
    told: list[Sequence[str]] = []
    async with served(told) as (client, url):
        token = f"?token={TOKEN}"
        async with client.get(f"{url}/{token}") as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert TOKEN not in await answer.text()
        async with client.get(f"{url}/candidate/7{token}") as answer:
            assert await answer.json() == {"candidate": 7}
        for identity, status, said in (("a&b=1 退款", 200, "target"), ("", 400, "said")):
            async with client.get(f"{url}/label", params={"token": TOKEN, "id": identity}) as answer:
                assert answer.status == status
                assert [*await answer.json()] == [said]
        async with client.get(f"{url}/events{token}") as answer:
            [data, end] = (await answer.text()).strip().split("\n\n")
            assert orjson.loads(data.removeprefix("data: "))["settings"] == ["search.width"]
            assert end.startswith("event: end")
        for route, status in (("/unknown", 404), ("/command", 405), ("/candidate/1234567890", 404)):
            async with client.get(f"{url}{route}{token}") as answer:
                assert answer.status == status
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for body in (
            b"",
            b"[]",
            b"{}",
            b'{"words": []}',
            b'{"words": "stop"}',
            b'{"words": [1]}',
            b'{"words": ["unknown"]}',
        ):
            headers = {"Content-Type": "application/json"}
            async with client.post(f"{url}/command{token}", headers=headers, data=body) as answer:
                assert answer.status == 400
                assert (await answer.json())["said"]
        large = io.BytesIO(b"x" * 5_000_000)
        async with client.post(f"{url}/command{token}", headers=headers, data=large) as answer:
            assert answer.status == 413
    assert told == []


async def test_a_port_that_is_taken_is_said_to_be() -> None:
    async with Dashboard(Still(), TOKEN).serve() as url:
        port = int(url.partition("?")[0].rpartition(":")[2].strip("/"))
        with pytest.raises(ConfigError, match=f"port {port} cannot be used"):
            async with Dashboard(Still(), TOKEN).serve(port):
                pass


def add(document: dict[str, Any], change: Json) -> None:
    """As the page's script takes in a change."""
    points = [] if change["begin"] else document.get("points", [])
    document.update(change)
    document["points"] = [*points, *change["points"]]


async def test_a_browser_is_told_all_that_a_report_says(tmp_path: Path) -> None:
    """Whether it came before the run began to speak, in its midst, or after."""
    messages = list(said("text", 30))
    directory = await write_run(tmp_path, messages[:20])
    feed, documents = Feed(directory), [dict[str, Any](), dict[str, Any]()]
    half = anyio.Event()

    async def browse(document: dict[str, Any]) -> None:
        async for change in feed.changes():
            add(document, change)
            if document["points"]:
                half.set()

    async with anyio.create_task_group() as tasks, open_journal(directory / JOURNAL) as journal:
        tasks.start_soon(browse, documents[0])
        tasks.start_soon(feed.follow)
        await half.wait()
        tasks.start_soon(browse, documents[1])
        for number, (to, message) in enumerate(messages[20:], start=21):
            await journal.append(Envelope(number, None, "sender", to, 1e9 + number, message))
            feed.wake()
        feed.finish()
    expected = report_document(directory)
    for document in documents:
        for name in expected.keys() - {"details", "experiences", "sections"}:
            assert document[name] == expected[name], name
        assert [row["section"] for row in document["sections"]] == ["task", "input"]
        assert document["age"] == pytest.approx(time.time() - 1e9 - len(messages), abs=100)
        assert document["agents"][0] == {"address": "controller", "busy": 0, "waiting": None}
    detail = await feed.detail(1)
    assert detail is not None
    assert detail["gradients"] == [["task", "text"]]
    assert await feed.detail(99) is None


async def test_endings_that_were_dropped_are_dropped_in_the_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.views.page.run_summary.KEPT", 40)
    monkeypatch.setattr("memory.journals.journal_tail.MOST", 50)
    monkeypatch.setattr(feeding, "INTERVAL", 0)
    directory = await write_run(tmp_path, list(said("text", 150)))
    feed, document = Feed(directory), dict[str, Any]()
    feed.finish()
    begun = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.follow)
        async for change in feed.changes():
            add(document, change)
            begun += change["begin"]
    assert document["points"] == report_document(directory)["points"]
    assert len(document["points"]) < 150 == document["total"] - 1
    assert begun >= 1


async def test_a_run_that_another_process_writes_is_followed(tmp_path: Path) -> None:
    messages = list(said("text", 3))
    directory = await write_run(tmp_path, messages[:3])
    feed, said_to_person, document = Feed(directory), list[str](), dict[str, Any]()
    async with (
        shown(feed, 0, said_to_person.append, directory),
        open_journal(directory / JOURNAL) as journal,
        anyio.create_task_group() as tasks,
    ):
        [url] = said_to_person
        changes = feed.changes()
        add(document, await anext(changes))
        assert document["state"]["phase"] == "halted"
        for number, (to, message) in enumerate(messages[3:], start=4):
            await journal.append(Envelope(number, None, "sender", to, 1e9 + number, message))
        while document["total"] < 4:
            add(document, await anext(changes))
        await changes.aclose()
        tasks.cancel_scope.cancel()
    assert url.startswith("Watch it at http://127.0.0.1:")


async def test_the_token_is_told_to_the_person_and_written_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    errors, configuration = io.StringIO(), load(write_task(tmp_path / "task"), ["search.assignments=2"])
    trained = await foreground.train(configuration, {}, tmp_path / "run", Console(file=errors), 2, 0)
    assert trained.result is not None
    [url] = [line for line in errors.getvalue().splitlines() if "http://" in line]
    token = url.partition("token=")[2]
    assert len(token) >= 32
    assert errors.getvalue().count(token) == 1
    assert token not in caplog.text
    assert (tmp_path / "run" / LOG).is_file()
    for path in (tmp_path / "run").iterdir():
        assert token.encode() not in path.read_bytes(), path


async def test_a_page_that_fails_is_a_line_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(directory: Path) -> None:
        raise RuntimeError("of the test")

    monkeypatch.setattr(feeding, "read_document", broken)
    errors, configuration = io.StringIO(), load(write_task(tmp_path / "task"), [])
    trained = await foreground.train(configuration, {}, tmp_path / "run", Console(file=errors), 0, 0)
    assert trained.result is not None
    assert errors.getvalue().count("The page is shown no longer: RuntimeError: of the test") == 1


async def test_a_run_that_fails_while_it_is_shown_fails_as_it_would(tmp_path: Path) -> None:
    configuration = load(write_task(tmp_path / "task"), [])
    async with open_run(configuration, {}, tmp_path / "run") as run:
        with pytest.raises(ConfigError, match="of the test"):
            async with show_in_browser(run, 0, Console(file=io.StringIO())):
                raise ConfigError("of the test")
