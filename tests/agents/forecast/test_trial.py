"""A program is tried on a few examples, and what it called is what a search is expected to call."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import orjson
import pytest

from agents.check.doctor import diagnose
from agents.config.configuration import Configuration, load
from agents.config.loading import load_first_prompt, load_task
from agents.config.metrics import calls_per_example, least_per_example
from agents.directory.run_directory import JOURNAL
from agents.forecast.composed import Asked
from agents.forecast.estimate import estimate
from agents.forecast.least import check_caps, least
from agents.headroom.probe import DRAWS, Probe
from agents.programs.trial import NOTE, Trial, unpack_trial
from agents.prompting.retrieval_slots import open_slots
from agents.run.opening import open_run
from memory.journals.reading import read_notes
from protocols.budget.ledger import Reserve
from protocols.budget.prices import Price
from protocols.errors import ConfigError
from protocols.program import Call, Prompts
from tests.small_task import SIZES, write_task

pytestmark = pytest.mark.anyio
PROMPTS = """
[prompts.extract]
text = "Which words matter? {text}"
[prompts.decide]
text = "Labels: invoice, parcel, 退款. Words: {words}"
"""
MOST = 1000


async def answer(inputs: dict[str, str], prompts: Prompts, call: Call) -> str:
    """Calls `extract` three times, and `decide` never."""
    said = [await call("extract", prompts.extract.render(inputs, text=f"{inputs['text']} {n}")) for n in range(3)]
    return said[-1]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = ModuleType("thrice")
    module.answer = answer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "thrice", module)
    path = write_task(tmp_path / "task")
    text = path.read_text(encoding="utf-8").replace('[prompt]\nfile = "prompt.txt"\n', "")
    path.write_text(text.replace("[task]\n", '[task]\nprogram = "thrice:answer"\n') + PROMPTS, encoding="utf-8")
    return path


async def tried(configuration: Configuration, directory: Path) -> Trial:
    async with open_run(configuration, {}, directory) as run:
        await run.search()
        assert run.seen is not None
        assert run._reserve(10) == Reserve(30, 30)
    return unpack_trial(read_notes(directory / JOURNAL)[NOTE])


async def test_a_search_counts_by_what_it_saw_and_keeps_that(config: Path, tmp_path: Path) -> None:
    configuration = load(config, ["search.assignments=2"])
    seen = await tried(configuration, tmp_path / "run")
    assert (seen.calls, seen.never_called, seen.stands) == (3.0, ("decide",), True)
    assert seen.prompts["extract"].calls == (3, 3, 3)
    assert unpack_trial(orjson.dumps(seen)) == seen
    assert (calls_per_example(configuration, seen), calls_per_example(configuration)) == (3, 2)
    assert least_per_example(configuration) == 1
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    nobody = {"critic": Asked(0, 0, 0)}
    plain, counted = (estimate(configuration, {}, task, first, nobody, seen=one) for one in (None, seen))
    assert plain.roles["task/extract"].calls == plain.roles["task/decide"].calls
    assert counted.roles["task/extract"].calls == pytest.approx(3 * plain.roles["task/extract"].calls)
    assert counted.roles["task/decide"].calls == 0
    assert "the program calls each prompt once" in plain.assumptions
    assert "the program calls extract 3, decide 0 times, as on 3 examples" in counted.assumptions


def test_a_cap_is_refused_by_the_fewest_calls_until_more_were_seen(config: Path) -> None:
    answers = SIZES["validation"] + 2 * SIZES["test"]
    configuration = load(config, [f"budget.calls={2 * answers}"])
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    assert least(configuration, task, first, {}).calls == answers
    check_caps(configuration, task, first, {})
    seen = Trial(("e",), {}, ("a",))
    check_caps(configuration, task, first, {}, seen)
    with pytest.raises(ConfigError, match=f"alone take {answers}, and a search"):
        check_caps(load(config, [f"budget.calls={answers}"]), task, first, {})
    assert (priced := least(configuration, task, first, {"embedded": Price(1.0, 2.0)}).dollars) is not None
    assert priced > 0


def test_headroom_of_several_prompts_is_that_of_the_first_prompts_asked_again(config: Path) -> None:
    configuration = load(config)
    task = load_task(configuration)
    probe = Probe(open_slots(task, ()), load_first_prompt(configuration, task))
    plan = probe.plan()
    assert (plan.ways, plan.traced, plan.each) == ((), (), 2 + DRAWS)
    assert probe.length(plan).input > 0


async def test_doctor_refuses_a_cap_that_the_calls_it_saw_exceed(config: Path) -> None:
    answers = SIZES["validation"] + 2 * SIZES["test"]
    diagnosis = await diagnose(config, [f"budget.calls={2 * answers}"], {}, offline=False)
    (failed,) = [finding for finding in diagnosis.findings if finding.status == "failed"]
    assert f"budget.calls = {2 * answers} is too small" in failed.text
    assert f"alone take {3 * answers}" in failed.text
