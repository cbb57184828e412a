"""Configurations of models on this machine; and searches on the real one, which are skipped where it is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from agents.check.doctor import diagnose
from agents.config.configuration import Configuration, load
from agents.config.roles import embedder_of, model_settings
from agents.directory.resume_fingerprint import FREE_OF_PROVIDERS
from agents.directory.run_directory import JOURNAL
from agents.models.accounts import Accounts
from agents.models.budget import open_ledger, prices
from agents.models.known_names import check_names
from agents.models.stack import Models
from agents.run.opening import open_run
from memory.journals.reading import read_calls
from protocols.errors import ConfigError, TooLong
from protocols.model import ChatMessage, Request
from protocols.providers.local import weights
from protocols.providers.transport.http import open_transport
from protocols.wrappers.window import spare
from tests.gguf_files import real_weights, write_base, write_gguf
from tests.guard import python_path
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[3]
FAKE = ROOT / "tests" / "fake_llama"
CAPS = ("--set", "budget.calls=90", "--set", "search.assignments=1")


def configured(folder: Path, *settings: str) -> Configuration:
    return load(write_task(folder), settings)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("providers.openai.path=x.gguf", r"providers\.openai\.path: only a model local/… has it"),
        ('providers."openai/x".slots=2', "only a model local/… has it"),
        ("providers.anthropic.context=2048", "another is set with context_tokens"),
        ("providers.anthropic.api=completions", "only models openai/… and local/…"),
        ("providers.embedded.threads=2", "only a model local/… has it"),
        ('providers."local/x".base_url="http://x"', "a model on this machine is reached without"),
        ("providers.local.api_key_env=KEY", "a model on this machine is reached without"),
    ],
)
def test_a_key_for_other_providers_is_refused_in_one_line(tmp_path: Path, setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check_names(configured(tmp_path, setting))
    assert "\n" not in str(caught.value)


def test_paths_are_the_configurations_and_slots_are_the_calls_in_flight(tmp_path: Path) -> None:
    settings = ("models.default=local/x", 'providers."local/x".path=models/x.gguf', "providers.local.slots=3")
    configuration = configured(tmp_path, *settings)
    table = configuration.provider("local/x")
    assert (table.path, table.slots, configuration.allowed) == (str(tmp_path / "models/x.gguf"), 3, 3)
    assert model_settings(table).local.path == table.path
    assert configured(tmp_path, *settings, "providers.local.concurrency=2").allowed == 2
    hub = configured(tmp_path, "providers.local.path=hf:owner/repository/x.gguf").provider("local")
    assert hub.path == "hf:owner/repository/x.gguf"
    assert configured(tmp_path).provider("openai/x").concurrency is None


def test_the_general_path_is_of_the_model_named_local_alone(tmp_path: Path) -> None:
    configuration = configured(tmp_path, "providers.local.path=x.gguf", 'providers."local/y".path=y.gguf')
    paths = [configuration.provider(name).path for name in ("local", "local/y", "local/smollm2-135m")]
    assert paths == [str(tmp_path / "x.gguf"), str(tmp_path / "y.gguf"), None]


@pytest.fixture
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", python_path(FAKE))
    monkeypatch.syspath_prepend(str(FAKE))


@pytest.mark.usefixtures("_fake")
@pytest.mark.parametrize("other", ["path=short.gguf", "context=64"])
async def test_searches_of_a_process_that_load_one_name_otherwise_have_windows_of_their_own(
    tmp_path: Path, other: str
) -> None:
    write_gguf(tmp_path / "x.gguf")
    write_gguf(tmp_path / "short.gguf", {"llama.context_length": 64})
    request, accounts, room = Request((ChatMessage("user", "?"),)), Accounts(), []
    async with open_transport({}) as transport:
        for more in ((), (f'providers."local/x".{other}',), ()):
            configuration = configured(tmp_path, "models.default=local/x", 'providers."local/x".path=x.gguf', *more)
            models = Models(configuration, {}, transport, open_ledger(configuration, {}), accounts)
            await models.look_up_windows()
            room.append(spare(models.of("task"), request))
    assert room[0] == room[2] > 64 > room[1]


@pytest.mark.usefixtures("_fake")
async def test_a_text_that_is_longer_than_the_embedders_window_is_not_sent(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf")
    settings = ("memory.embedder=local/x", "memory.dimension=2", 'providers."local/x".path=x.gguf')
    configuration = configured(tmp_path, *settings)
    async with open_transport({}) as transport:
        models = Models(configuration, {}, transport, open_ledger(configuration, {}))
        await models.look_up_windows()
        with pytest.raises(TooLong, match="window of 512 tokens; it was not sent"):
            await models.embedder().embed(["word " * 1000])


def test_a_local_model_costs_nothing_unless_somebody_says_so(tmp_path: Path) -> None:
    free = configured(tmp_path, "models.default=local/x", "budget.dollars=1")
    assert prices(free, {})["local/x"].most(10**6, 10**6) == 0
    paid = configured(tmp_path, "models.default=local/x", "providers.local.price={input = 1.0, output = 0.0}")
    assert prices(paid, {})["local/x"].most(10**6, 0) > 0


def test_how_a_model_is_loaded_may_change_while_a_run_is_interrupted() -> None:
    assert {"path", "context", "slots", "threads"} <= FREE_OF_PROVIDERS


def test_the_memorys_embedder_is_known_by_its_weights(tmp_path: Path) -> None:
    names = []
    for name, tail in (("1.gguf", b"1"), ("2.gguf", b"2")):
        write_gguf(tmp_path / name, tail=tail)
        settings = ("memory.embedder=local/x", "memory.dimension=2", f'providers."local/x".path={name}')
        names.append(embedder_of(configured(tmp_path, *settings), {})[0])
    assert names[0] != names[1]


async def test_the_doctor_says_what_is_missing_or_what_it_takes(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    lost = await diagnose(config, ["models.default=local/x", 'providers."local/x".path=x.gguf'], {}, offline=True)
    assert any("no such file" in finding.text or "extra local" in finding.text for finding in lost.findings)
    assert lost.exit_code == 2
    real_weights()
    found = await diagnose(config, ["models.default=local/smollm2-135m"], {}, offline=True)
    assert any("runs on this machine and chats: about" in finding.text for finding in found.findings)
    assert found.exit_code == 0


@pytest.mark.usefixtures("_fake")
@pytest.mark.parametrize("offline", [True, False])
async def test_the_doctor_downloads_nothing_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    asked = []

    def download(repository: str, file: str, local_files_only: bool = False) -> str:
        asked.append(local_files_only)
        if local_files_only and len(asked) == 1:
            raise FileNotFoundError(file)
        return str(write_gguf(tmp_path / file))

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    monkeypatch.setattr(weights, "find_spec", lambda name: object())
    settings = ["models.default=local/x", 'providers."local/x".path="hf:owner/repository/x.gguf"']
    found = await diagnose(write_task(tmp_path), settings, {}, offline=offline)
    assert asked == ([True] if offline else [True, False])
    said = "not downloaded yet" if offline else "runs on this machine"
    assert [finding.text for finding in found.findings if said in finding.text]
    there = await diagnose(write_task(tmp_path), settings, {}, offline=True)
    assert [finding.text for finding in there.findings if "runs on this machine" in finding.text]
    assert asked.count(False) == (not offline)


def command(folder: Path, *more: str) -> list[str]:
    arguments = ["search", str(folder / "small.toml"), "--out", str(folder / "run"), "--json", *CAPS, *more]
    return [sys.executable, str(ROOT / "run.py"), *arguments]


def small(folder: Path, model: str, **provider: object) -> Path:
    """A task of a few tiny examples for the model."""
    few = {split: [{"input": {"text": f"{n}?"}, "target": "ab"[n % 2]} for n in range(6)] for split in ("train",)}
    few |= {"validation": [{"input": {"text": f"{n}!"}, "target": "ab"[n % 2]} for n in range(4)]}
    few |= {"test": [{"input": {"text": f"{n}."}, "target": "ab"[n % 2]} for n in range(2)]}
    settings: dict[str, Mapping[str, object]] = {
        "models": {"default": model},
        "providers.local": {"threads": 1, "slots": 2, "context": 128, **provider},
        "search": {"operators": ["few_shot"], "width": 1, "critique": 4, "credit_share": 0},
        "agents": {"critic": "none"},
    }
    head = "=== task (task) ===\nSay a or b.\n=== examples (examples) ===\n"
    prompt = f"{head}=== input (task, frozen) ===\n{{text}}\nAnswer:\n"
    return write_task(folder, few, prompt, settings)


def calls(folder: Path) -> int:
    return len([call for call in read_calls(folder / "run" / JOURNAL) if call.error is None])


async def test_a_chat_model_is_searched_with_and_embeds_for_the_memory(tmp_path: Path) -> None:
    real_weights()
    config = small(tmp_path, "local/smollm2-135m")
    embeds = ["memory.embedder=local/smollm2-135m", "memory.dimension=576", "search.assignments=1"]
    async with open_run(load(config, embeds), {}, tmp_path / "run") as run:
        result = await run.search()
        assert [line.partition(" runs on")[0] for line in run.loads] == ["local/smollm2-135m"] * 2
    assert result.assignments == 1
    made = list(read_calls(tmp_path / "run" / JOURNAL))
    assert {call.model for call in made} == {"local/smollm2-135m"}
    assert {"task", "embedder"} <= {call.role for call in made}
    assert result.dollars == 0
    assert not result.estimated


def test_a_base_model_is_searched_with(tmp_path: Path) -> None:
    write_base(tmp_path / "base.gguf")
    small(tmp_path, "local", path="base.gguf")
    done = subprocess.run(command(tmp_path), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["task"] == "small"  # and nothing else was written there
    assert b"completes text, having no chat template" in done.stderr
    assert calls(tmp_path) >= 10


KILLER = """
import os, signal

class Killer:
    def __init__(self, task, directory):
        self.seen = 0

    async def observe(self, envelope):
        self.seen += 1
        if self.seen == 6 and "KILL" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_goes_on_with_the_same_model(tmp_path: Path) -> None:
    real_weights()
    small(tmp_path, "local/smollm2-135m")
    (tmp_path / "killer.py").write_text(KILLER)
    told = command(tmp_path, "--set", 'agents.observers=["killer:Killer"]')
    environ = {**os.environ, "PYTHONPATH": python_path(tmp_path)}
    killed = subprocess.run(told, env={**environ, "KILL": "1"}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    paid = calls(tmp_path)
    done = subprocess.run(told, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert calls(tmp_path) >= paid > 0
    assert orjson.loads(done.stdout)["assignments"] == 1
