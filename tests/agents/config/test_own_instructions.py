"""Instructions of the user's and the task in their words: where they are used, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.check.doctor import diagnose
from agents.config.catalogue import OPERATORS, open_operators
from agents.config.configuration import load
from agents.config.loading import load_first_prompt, load_task
from agents.config.own_instructions import critic_instruction
from agents.directory.resume_fingerprint import check_fingerprint, resume_fingerprint
from agents.operators.few_shot import FewShot
from agents.operators.operator import WHOLE
from agents.operators.writing import Writer
from agents.run.opening import open_run, read_inputs
from protocols.errors import ConfigError
from protocols.files.named import Named
from protocols.files.prompt_file import dumps
from protocols.prompt import Prompt, Section
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
OWN = "Write {part} boldly.\n"


def task(folder: Path, **tables: Mapping[str, object]) -> Path:
    path = write_task(folder, tables=tables)
    (folder / "mine.txt").write_text(OWN, encoding="utf-8")
    (folder / "empty.txt").write_text(" \n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_that_asks_a_model_takes_an_instruction_and_no_other_does(name: str) -> None:
    assert isinstance(OPERATORS[name](), Writer) == (name not in {"few_shot", "rag", "define_sort", "merge"})
    if isinstance(OPERATORS[name](), Writer):
        [operator] = open_operators([Named(name)], {name: OWN}).values()
        assert isinstance(operator, Writer)
        assert operator.instruction({"part": "x"}) == "Write x boldly."
    else:
        with pytest.raises(ConfigError, match=rf"operators\.{name}\.instruction: {name} asks no model"):
            open_operators([Named(name)], {name: OWN})


def test_a_users_files_are_read_from_beside_the_configuration(tmp_path: Path) -> None:
    path = task(tmp_path, operators={"self_reflection.instruction": "mine.txt"}, critic={"instruction": "mine.txt"})
    configuration = load(path)
    operator = read_inputs(configuration).operators["self_reflection"]
    assert isinstance(operator, Writer)
    assert operator.instruction({"part": "task"}) == "Write task boldly."
    assert critic_instruction(configuration) == OWN


NAMED = "search.operators=['few_shot', 'self_reflection', 'tests.agents.config.test_own_instructions:Mine']"


class Mine(FewShot):
    """An operator of a user's own."""

    name = "mine"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("operators.self_reflection.instruction=nowhere.txt", r"nowhere\.txt"),
        ("operators.self_reflection.instruction=empty.txt", r"empty\.txt.*the instruction is empty"),
        ("operators.few_shot.instruction=mine.txt", r"few_shot asks no model"),
        ("operators.rag.instruction=mine.txt", r"operators\.rag: no such operator in search\.operators"),
        ("operators.self_refection.instruction=mine.txt", r"operators\.self_refection: no such operator"),
        ("operators.mine.instruction=mine.txt", r"operators\.mine\.instruction: mine is not built on Writer"),
        ("operators.self_reflection.instructions=mine.txt", r"operators\.self_reflection\.instructions"),
        ("critic.instruction=nowhere.txt", r"nowhere\.txt"),
        ("critic.instruction=empty.txt", r"empty\.txt.*the instruction is empty"),
    ],
)
async def test_what_cannot_be_used_is_one_line_in_a_run_and_in_doctor(
    tmp_path: Path, setting: str, said: str
) -> None:
    path = task(tmp_path)
    with pytest.raises(ConfigError, match=said) as caught:
        async with open_run(load(path, [NAMED, setting]), {}, tmp_path / "run"):
            pass
    assert "\n" not in str(caught.value)
    diagnosis = await diagnose(path, [NAMED, setting], {}, offline=True)
    assert diagnosis.exit_code == 2


async def test_without_a_critic_its_instruction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"critic\.instruction: nobody reads it"):
        read_inputs(load(task(tmp_path), ["agents.critic=none", "critic.instruction=mine.txt"]))


def test_another_text_of_an_instruction_is_another_search_and_another_place_is_not(tmp_path: Path) -> None:
    path = task(tmp_path, operators={"self_reflection.instruction": "mine.txt"}, critic={"instruction": "mine.txt"})
    prompt = Prompt((Section("input", "task", "{text}"),))

    def means() -> dict[str, object]:
        configuration = load(path)
        return resume_fingerprint(configuration, load_task(configuration), (), prompt)

    before = means()
    (tmp_path / "other.txt").write_text(OWN, encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace("mine.txt", "other.txt"), encoding="utf-8")
    assert means() == before
    (tmp_path / "other.txt").write_text("Write.", encoding="utf-8")
    changed = {name for name, value in means().items() if before[name] != value}
    assert changed == {"the instruction of self_reflection", "the instruction of the critic"}


def test_the_description_is_told_to_writers_and_is_no_part_of_the_prompt(tmp_path: Path) -> None:
    path = task(tmp_path)
    said = "Whatever 客户 write, {text} included."
    configuration = load(path, [f"task.description={said}"])
    described = load_task(configuration)
    assert described.description == said
    first = load_first_prompt(configuration, described)
    assert said not in dumps(first)
    assert WHOLE not in {section.name for section in first}
    without = load(path)
    counts = resume_fingerprint(without, load_task(without), (), first)
    there = {name: value for name, value in counts.items() if name != "task.description"}
    check_fingerprint(there, counts, tmp_path)  # as runs of earlier releases have it
    assert resume_fingerprint(configuration, described, (), first)["task.description"] == said
