"""A search over conversations and images, in both wire formats: it sends and counts them, and keeps no bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from agents.api import load_prompt, train
from agents.check.doctor import diagnose
from agents.config.configuration import Configuration, build
from agents.config.loading import load_task
from agents.directory.run_directory import BEST_EXAMPLES
from agents.forecast.composed import Recorder
from agents.operators.few_shot import FewShot
from agents.operators.operator import Context
from agents.prompting.requests import show_example, show_turns
from agents.prompting.retrieval_slots import open_slots
from agents.run.opening import open_run
from memory.journals.reading import read_calls
from protocols.errors import ConfigError, PromptError
from protocols.messages import Assignment
from protocols.prompt import Prompt, Section
from protocols.providers import anthropic, openai
from protocols.turns import images_of
from tests.pictures import png
from tests.small_task import SIMULATED
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
SIDE = 280
TOKENS = 100
"""Of an image with this side."""
PROMPT = """\
=== task (task) ===
Is the picture dark or light?
=== examples (examples, turns) ===
{examples:2}
=== input (task, frozen) ===
The shop says: {shop}
{talk}
Picture: {photo}
"""
LABELS = ("dark", "light")
MODELS = {"openai": "openai/some-model", "anthropic": "anthropic/some-model"}


def row(folder: Path, split: str, number: int) -> Mapping[str, Any]:
    """An example with an image of its own."""
    name = f"{split}{number}.png"
    (folder / name).write_bytes(png(SIDE, SIDE, number + 20 * "tv".find(split[0])))
    talk = [{"role": "assistant", "content": f"Yes, {split} {number}?"}, {"role": "user", "content": "See"}]
    fields = {"shop": "ours", "talk": talk, "photo": {"image": name}}
    return {"input": fields, "target": LABELS[number % 2], "id": f"{split}-{number}"}


def rows(folder: Path) -> dict[str, list[Mapping[str, Any]]]:
    return {split: [row(folder, split, number) for number in range(6)] for split in ("train", "validation", "test")}


def configured(folder: Path, url: str, model: str, prompt: str = PROMPT, **search: Any) -> Configuration:
    folder.mkdir(exist_ok=True)
    for split, made in rows(folder).items():
        (folder / f"{split}.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in made))
    (folder / "prompt.txt").write_text(prompt, encoding="utf-8")
    base = url if model.startswith("anthropic") else f"{url}/v1"
    return build(
        {
            "task": {"name": "seen", **{split: f"{split}.jsonl" for split in ("train", "validation", "test")}},
            "prompt": {"file": "prompt.txt"},
            "models": {"default": model},
            "providers": {model.partition("/")[0]: {"base_url": base, "price": {"input": 1.0, "output": 1.0}}},
            "search": {"assignments": 2, "width": 1, "critique": 4, "shrink": 0, "operators": ["self_reflection"]}
            | search,
        },
        folder,
    )


def answer(turns: list[tuple[str, str]]) -> str:
    return "<new>Is it dark?</new>" if "You write prompts" in turns[0][1] else "dark"


@pytest.mark.parametrize("provider", MODELS)
async def test_a_search_sends_what_is_seen_and_keeps_no_bytes(tmp_path: Path, provider: str) -> None:
    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.url, MODELS[provider])
        async with open_run(configuration, {}, tmp_path / "run") as run:
            await run.search()
        calls: list[Any] = [call.body for call in server.received]
        seen = [body["messages"] for body in calls if isinstance(body["messages"][-1]["content"], list)]
        assert len(seen) >= 12
        for messages in seen:
            said = [turn for turn in messages if turn["role"] != "system"]
            kinds = [part["type"] for part in said[-1]["content"]]
            assert kinds[-1] == ("image_url" if provider == "openai" else "image")
            shots, last = said[:4], said[4:]
            assert [turn["role"] for turn in shots] == ["user", "assistant"] * 2
            assert all(isinstance(turn["content"], list) for turn in shots[::2])
            assert "assistant: Yes, train" in shots[0]["content"][0]["text"]
            assert last[0] == {"role": "user", "content": "The shop says: ours"}
            assert last[1]["role"] == "assistant"
        others = [body for body in calls if body["messages"] not in seen]
        assert others
        assert all(isinstance(turn["content"], str) for body in others for turn in body["messages"])
        assert any("[image train" in str(body) for body in others)
        made = len(server.received)
        more = configured(tmp_path / "task", server.url, MODELS[provider], assignments=3)
        async with open_run(more, {}, tmp_path / "run") as run:
            result = await run.search()
        assert result.test is not None
        assert made < len(server.received) < 2 * made
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and path.name != BEST_EXAMPLES:
            content = path.read_bytes()
            assert b"iVBORw0KGgo" not in content, path
            assert b"\x89PNG" not in content, path
    given: Any = row(tmp_path / "task", "test", 0)["input"]
    shown = {**given, "photo": {"image": str(tmp_path / "task" / "test0.png")}}
    rendered = load_prompt(tmp_path / "run").render(shown)
    write = openai.content_of if provider == "openai" else anthropic.content_of
    users = [write(message) for message in rendered if message.speaker == "user"]
    assert any([turn["content"] for turn in messages if turn["role"] == "user"][:2] == users[:2] for messages in seen)
    with pytest.raises(PromptError, match=r"the field photo: the image 'no.png' cannot be read"):
        load_prompt(tmp_path / "run").render({**shown, "photo": {"image": "no.png"}})
    assert all(call.usage.total for call in read_calls(tmp_path / "run" / "journal.sqlite"))


async def test_another_image_of_the_same_name_is_another_run(tmp_path: Path) -> None:
    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.url, MODELS["openai"], assignments=0)
        async with open_run(configuration, {}, tmp_path / "run") as run:
            await run.search()
        (tmp_path / "task" / "train0.png").write_bytes(png(SIDE, SIDE, 200))
        with pytest.raises(ConfigError, match="the train examples differ"):
            async with open_run(configuration, {}, tmp_path / "run"):
                pass


@pytest.mark.parametrize(
    ("models", "providers"),
    [
        ({"default": "embedded", "task": "local/small"}, {}),
        ({"default": "embedded", "task": "openai/base"}, {"openai/base": {"api": "completions"}}),
    ],
)
async def test_a_model_without_eyes_is_refused_before_anything_is_spent(
    tmp_path: Path, models: Mapping[str, str], providers: Mapping[str, Any]
) -> None:
    tables = configured(tmp_path / "task", "", MODELS["openai"]).model_dump(mode="json", exclude_unset=True)
    tables.pop("origin", None)
    configuration = build({**tables, "models": models, "providers": providers}, tmp_path / "task")
    with pytest.raises(ConfigError, match=f"field photo holds images, and {models['task']} reads text alone"):
        async with open_run(configuration, {}, tmp_path / "run"):
            pass
    assert not (tmp_path / "run").exists()


async def test_the_simulator_answers_by_labels_and_doctor_counts_tokens(tmp_path: Path) -> None:
    configured(tmp_path, "", MODELS["openai"])
    config = tmp_path / "seen.toml"
    splits = "".join(f'{split} = "{split}.jsonl"\n' for split in ("train", "validation", "test"))
    config.write_text(
        f'[task]\nname = "seen"\n{splits}[prompt]\nfile = "prompt.txt"\n[models]\ndefault = "embedded"\n',
        encoding="utf-8",
    )
    diagnosis = await diagnose(config, (), {}, offline=True)
    said = {finding.what: finding.text for finding in diagnosis.findings}
    assert diagnosis.exit_code == 0, said
    assert f"photo (images of about {TOKENS} tokens), shop, talk (conversations)" in said["task"]
    [sent] = diagnosis.sent
    assert images_of(sent.messages[-1].parts[-1])
    assert diagnosis.estimate is not None
    use = diagnosis.estimate.roles["task"]
    assert use.input / use.calls > 3 * TOKENS  # two worked examples and the input


async def test_rows_given_in_python_name_images_beside_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "Is the picture dark or light?\n{photo}\n{talk}\n{shop}"
    given = {"name": "seen", **rows(tmp_path)}
    found = await train(given, prompt=text, models=SIMULATED["default"], search={"assignments": 1, "critique": 4})
    assert found.result.test is not None


def test_a_worked_example_is_a_transcript_with_its_image(tmp_path: Path) -> None:
    task = load_task(configured(tmp_path / "task", "", MODELS["openai"]))
    prompt = Prompt((Section("in", "task", "{talk}\nPicture: {photo}\nLabel:"),))
    example = task.train[0]
    question, reply = show_turns(prompt, task, example)
    photo = example.inputs["photo"]
    transcript = "assistant: Yes, train 0?\nuser: See"
    assert question.parts == (f"{transcript}\nPicture: ", photo, "\nLabel:")
    assert reply.text == "dark"
    assert show_example(prompt, task, example) == f"{transcript}\nPicture: {photo}\nLabel: dark"


async def test_worked_examples_that_are_seen_are_turns_filled_for_each_input(tmp_path: Path) -> None:
    task = load_task(configured(tmp_path / "task", "", MODELS["openai"]))
    prompt = Prompt((Section("shots", "examples"), Section("in", "task", "{talk}\nPicture: {photo}\nLabel:")))
    assignment = Assignment(1, "few_shot", "shots", 0, prompt, "", (), (), {}, ())
    for seed in range(8):
        context = Context(task, Recorder(""), (), Random(seed), open_slots(task, ()), 0.0)
        shots = (await FewShot().edit(assignment, context))["shots"]
        assert (shots.form, shots.text.partition(":")[0]) == ("turns", "{examples")
