"""Whole searches whose memory a model embeds for."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.check.doctor import diagnose
from agents.config.configuration import Configuration, load
from agents.directory.run_directory import JOURNAL, MEMORY
from agents.results.result import Result
from agents.run.opening import open_run
from agents.study.engine import InThisProcess
from agents.study.grid import load_grid
from agents.study.sweep import Sweep
from memory.journals.reading import read_calls, read_journal
from memory.upkeep import stats
from protocols.errors import ConfigError, MemoryMismatch
from protocols.messages import Candidate
from tests.agents.study.test_sweep import unattended, write_grid
from tests.embedding_server import DIMENSION, EmbeddingServer, serving
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
MODEL = "openai/small"
REFUSED = {"error": {"message": "too long"}}


def configured(folder: Path, server: EmbeddingServer, *more: str) -> Configuration:
    config = folder / "task" / "small.toml"
    return load(config if config.exists() else write_task(folder / "task"), [*settings(server), *more])


def settings(server: EmbeddingServer) -> list[str]:
    price = "providers.openai.price={input = 1.0, output = 0.0}"
    return [
        f"memory.embedder={MODEL}",
        f"memory.dimension={DIMENSION}",
        f"providers.openai.base_url={server.url}",
        price,
    ]


async def search(folder: Path, server: EmbeddingServer, *more: str) -> Result:
    async with open_run(configured(folder, server, *more), {}, folder / "run") as run:
        return await run.search()


def recalled(folder: Path) -> set[int]:
    """The experiences that any proposer was shown."""
    messages = [envelope.message for envelope in read_journal(folder / "run" / JOURNAL, (Candidate,))]
    return {number for message in messages if isinstance(message, Candidate) for number in message.recalled}


async def test_a_search_recalls_by_the_models_vectors_and_asks_for_no_text_twice(tmp_path: Path) -> None:
    """Nor does the run that goes on, not even to remember all anew."""
    one_kind = 'search.operators=["self_reflection"]'  # past edits of other kinds are not recalled
    async with serving(EmbeddingServer()) as server:
        result = await search(tmp_path, server, one_kind)
        found = stats(tmp_path / "run" / MEMORY)
        assert (found.embedder, found.dimension) == (f"{MODEL} at {server.url}", DIMENSION)
        assert found.count > 0
        assert recalled(tmp_path)
        assert result.models["embedder"] == MODEL
        assert result.calls["embedder"] == len(server.texts) == len(set(server.texts)) > 0
        assert result.tokens["embedder"] == sum(map(len, server.texts))
        assert result.dollars == pytest.approx(result.tokens["embedder"] / 1e6)
        assert [call.role for call in read_calls(tmp_path / "run" / JOURNAL)].count("embedder") == len(server.texts)
        (tmp_path / "run" / MEMORY).unlink()
        result = await search(tmp_path, server, one_kind, "search.assignments=12")
        assert stats(tmp_path / "run" / MEMORY).count > found.count
        assert result.calls["embedder"] == len(server.texts) == len(set(server.texts))
        assert result.unremembered == 0


async def test_what_cannot_be_embedded_is_counted_and_remembered_when_the_run_goes_on(tmp_path: Path) -> None:
    """The search itself goes on without it."""
    async with serving(EmbeddingServer()) as server:
        async with open_run(configured(tmp_path, server), {}, tmp_path / "run") as run:
            server.answer, server.status = (lambda text: REFUSED), 400
            result = await run.search()
        assert (result.stopped_by, result.assignments) == ("assignments", 6)
        assert "call" not in result.failures
        there = stats(tmp_path / "run" / MEMORY).count
        assert result.unremembered > 0
        server.answer, server.status = EmbeddingServer.answer, 200
        again = await search(tmp_path, server, "search.assignments=7")
        assert again.unremembered == 0
        assert stats(tmp_path / "run" / MEMORY).count >= there + result.unremembered


@pytest.mark.parametrize(("reads", "stopped_by"), [("true", "budget: calls of embedder"), ("false", "assignments")])
async def test_a_cap_of_its_role_ends_a_search_that_recalls(tmp_path: Path, reads: str, stopped_by: str) -> None:
    async with serving(EmbeddingServer()) as server:
        own = ("search.selector=uniform", "budget.roles.embedder.calls=1", f"memory.read={reads}")
        result = await search(tmp_path, server, *own)
        assert result.stopped_by == stopped_by
        assert result.calls["embedder"] == len(server.texts) == 1


async def test_another_dimension_is_one_line_before_anything_is_asked_of_the_others(tmp_path: Path) -> None:
    async with serving(EmbeddingServer()) as server:
        with pytest.raises(ConfigError) as caught:
            await search(tmp_path, server, "memory.dimension=3")
    says = f"{MODEL} gives vectors of {DIMENSION} numbers: set memory.dimension = {DIMENSION}"
    assert str(caught.value) == says


async def test_the_embedder_is_part_of_what_a_run_means(tmp_path: Path) -> None:
    async with serving(EmbeddingServer()) as server:
        async with open_run(configured(tmp_path, server), {}, tmp_path / "run"):
            pass
        for other in ("memory.embedder=openai/large", "memory.dimension=3"):
            with pytest.raises(ConfigError, match=other.partition("=")[0]):
                await search(tmp_path, server, other)


@pytest.mark.parametrize("named", [True, False])
async def test_the_searches_of_a_sweep_ask_for_no_text_twice_and_share_a_memory_that_is_named(
    tmp_path: Path, named: bool
) -> None:
    own = tmp_path / "of-all.sqlite"
    async with serving(EmbeddingServer()) as server:
        asked = [*settings(server), *([f"memory.path={own}"] * named)]
        sweep = Sweep(load_grid(write_grid(tmp_path), asked), {}, InThisProcess({}, unattended), lambda row: None)
        await sweep.run()
        results = [row.result for row in sweep.rows if row.result is not None]
        assert len(results) == 4
        assert sum(result["calls"].get("embedder", 0) for result in results) == len(server.texts)
        assert len(server.texts) == len(set(server.texts))
        each = [stats(path) for path in (tmp_path / "out").glob(f"*/{MEMORY}")]
        remembered = [stats(own)] if named else each
        assert {found.embedder for found in remembered} == {f"{MODEL} at {server.url}"}
        assert len(remembered) == (1 if named else 4)
        assert sum(found.count for found in remembered) > 6, "more than one search has remembered"


async def test_doctor_calls_the_embedder_and_looks_at_whose_the_memory_is(tmp_path: Path) -> None:
    async with serving(EmbeddingServer()) as server:
        config, own = write_task(tmp_path / "task"), settings(server)
        well = await diagnose(config, own, {}, offline=False)
        assert well.exit_code == 0
        assert f"call to {MODEL}" in {finding.what for finding in well.findings if finding.call}
        assert well.estimate is not None
        assert well.estimate.roles["embedder"].calls >= 6
        ill = await diagnose(config, [*own, "memory.dimension=3"], {}, offline=False)
        assert f"set memory.dimension = {DIMENSION}" in str(ill.findings)
        await search(tmp_path, server)
        memory = f"memory.path={tmp_path / 'run' / MEMORY}"
        assert (await diagnose(config, [*own, memory], {}, offline=True)).exit_code == 0
        for other in ([memory], [*own, memory, "memory.dimension=3"]):
            assert f"made with the embedder {MODEL}" in str(
                (await diagnose(config, other, {}, offline=True)).findings
            )
            with pytest.raises(MemoryMismatch, match=f"made with the embedder {MODEL}"):
                async with open_run(load(config, other), {}, tmp_path / "other"):
                    pass
