"""A task without targets: a judge grades by the rubric alone, from the data to the held-out report."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from agents.check.doctor import diagnose
from agents.config.configuration import Configuration, build, load
from agents.config.loading import load_first_prompt, load_task
from agents.run.opening import open_run
from memory.journals.reading import read_journal
from protocols.errors import ConfigError, DataError, PromptError
from protocols.messages import Candidate, Evaluation
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
SIZES = {"train": 12, "validation": 16, "test": 10}
TOML = """
[task]
name = "thanks"
kind = "generation"
metric = "judge"
rubric = "10: it thanks, and is warm."
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
fields = { target = "none" }

[prompt]
text = "Thank them for {text}."

[models]
default = "openai/m"

[search]
assignments = 6
width = 1
operators = ["OPERATOR"]
"""
Turns = list[tuple[str, str]]


def replying(turns: Turns) -> str:
    """The judge likes warm answers; the writer asks for warmth; half of the answers are warm, and all that are asked
    to be, or are shown one."""
    said = "\n".join(text for _, text in turns)
    if "Grade one answer by a rubric" in said:
        assert "<reference>" not in said
        answer = said.partition("<answer>")[2].partition("</answer>")[0]
        return f"It could be warmer.\nScore: {9 if 'warmly' in answer else 3}"
    if "<new> and </new>" in said:
        return "<new>Be warm. Thank them for {text}.</new>" if "{text}" in said else "<new>Be warm.</new>"
    if "<critique> and </critique>" in said:
        return "<critique>\n[task] be warm\n</critique>"
    numbers = re.findall(r"number (\d+)", said)
    even = bool(numbers) and int(numbers[-1]) % 2 == 0
    return f"We thank you{' warmly' if 'warm' in said or even else ''} for it."


def write(folder: Path, toml: str = TOML) -> Path:
    begin = 0
    for split, size in SIZES.items():
        rows = [{"text": f"gift number {number}"} for number in range(begin, begin + size)]
        (folder / f"{split}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
        begin += size
    (folder / "thanks.toml").write_text(toml, encoding="utf-8")
    return folder / "thanks.toml"


def configure(folder: Path, **keys: object) -> Configuration:
    write(folder)
    table = {"name": "t", "kind": "generation", "metric": "judge", "rubric": "r", "fields": {"target": "none"}}
    splits = {split: f"{split}.jsonl" for split in SIZES}
    return build({"models": {"default": "openai/m"}, "task": table | splits | keys}, folder)


@pytest.mark.parametrize("operator", ["self_reflection", "few_shot"])
async def test_a_search_without_targets_finds_what_the_judge_likes(operator: str, tmp_path: Path) -> None:
    config = write(tmp_path, TOML.replace("OPERATOR", operator))
    async with WireServer(replying) as server:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.openai_url}
        diagnosis = await diagnose(config, [], environ, offline=False)
        assert diagnosis.exit_code == 0, diagnosis.findings
        assert diagnosis.estimate is not None
        async with open_run(load(config), environ, tmp_path / "out") as run:
            result = await run.search()
        asked = [call.raw.decode() for call in server.received if call.raw]
    assert (result.first.value, result.best.value) == pytest.approx((0.6, 0.9))
    assert result.test is not None
    assert result.test.best == pytest.approx(0.9)
    writers = [text for text in asked if "<critique> and </critique>" in text or "<new> and </new>" in text]
    assert writers
    assert not any(re.search(r"[Ee]xpected( answers (have|seem)|:)|, expected", text) for text in writers)
    assert any("There are no expected answers" in text for text in writers)
    envelopes = read_journal(tmp_path / "out" / "journal.sqlite")
    messages = [envelope.message for envelope in envelopes]
    assert {outcome.target for m in messages if isinstance(m, Evaluation) for outcome in m.outcomes} == {""}
    shown = [m.prompt["examples"].text for m in messages if isinstance(m, Candidate)]
    assert any(shown) == (operator == "few_shot")
    assert all("warmly" in text for text in shown if text), "only what was graded high is shown"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"metric": "token_f1"}, "token_f1 compares answers with targets"),
        ({"metric": {"judge": 1, "exact": 1}}, "exact compares answers with targets"),
        ({"metric": None}, "token_f1 compares answers with targets"),
        ({"kind": "classification"}, 'set kind = "generation"'),
    ],
)
def test_a_metric_or_kind_that_needs_targets_is_refused_without_any(
    keys: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_task(configure(tmp_path, **keys))


def test_data_without_targets_is_refused_with_the_way_to_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'target = "none"'):
        load_task(configure(tmp_path, fields={}))
    (tmp_path / "train.csv").write_text("text\nx\n", encoding="utf-8")
    with pytest.raises(DataError, match=r'target = "none"'):
        load_task(configure(tmp_path, fields={}, train="train.csv"))


def test_training_examples_cannot_be_shown_without_targets(tmp_path: Path) -> None:
    configuration = configure(tmp_path)
    task = load_task(configuration)
    (tmp_path / "p.txt").write_text("=== examples (examples) ===\n{examples:4}\n=== input (task) ===\n{text}\n")
    shots = configuration.prompt.model_copy(update={"file": tmp_path / "p.txt"})
    with pytest.raises(PromptError, match="there are none"):
        load_first_prompt(configuration.model_copy(update={"prompt": shots}), task)
