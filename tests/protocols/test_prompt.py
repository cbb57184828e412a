"""Prompts: placeholders are exact names, edits keep them, files round-trip to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.errors import EditRejected, PromptError
from protocols.files import prompt_file
from protocols.prompt import Prompt, Section, fill, placeholders
from tests.strategies import FIELDS, Near, prompts, texts


@given(prompts)
def test_a_saved_prompt_loads_identically(prompt: Prompt) -> None:
    assert prompt_file.loads(prompt_file.dumps(prompt)) == prompt


def test_a_file_round_trips_through_the_disk(tmp_path: Path) -> None:
    prompt = Prompt(
        (Section("task", "task", "分类 {text}\r\n=== x (task) ===\n"), Section("e", "examples", frozen=True))
    )
    prompt_file.save(prompt, tmp_path / "prompt.txt")
    assert prompt_file.load(tmp_path / "prompt.txt") == prompt


def test_a_file_that_an_editor_turned_into_crlf_still_loads() -> None:
    prompt = Prompt((Section("task", "task", "one\ntwo"), Section("end", "reminders", "three")))
    windows = "\ufeff" + prompt_file.dumps(prompt).replace("\n", "\r\n")
    assert prompt_file.loads(windows) == prompt


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hello\n=== task (task) ===\n", 1),
        ("hello\n=== task ===\n", 1),
        ("{text}\n== task (task) ==\n", 2),
        (" === task (task) ===\n{text}\n", 1),
        ("=== task (task) ===\nx\n=== task ===\n", 3),
        ("=== task (poem) ===\n", 1),
        ("=== Task (task) ===\n", 1),
    ],
)
def test_a_broken_file_names_the_line(text: str, line: int) -> None:
    with pytest.raises(PromptError) as caught:
        prompt_file.loads(text, "p.txt")
    assert str(caught.value).startswith(f"p.txt:{line}: ")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "text", ["Which? {text}", "Title\n=====\n\n  {text}", "\n- one (task)\n\\=== {text}", "{{text}}"]
)
def test_a_file_without_headers_is_one_section(text: str, end: str) -> None:
    prompt = prompt_file.loads("\ufeff" + f"{text}\n".replace("\n", end))
    assert prompt == Prompt((Section("task", "task", text),))
    assert prompt_file.loads(prompt_file.dumps(prompt)) == prompt


@pytest.mark.parametrize("text", ["", " \n\n", "\ufeff", "=== a (task) ===\n=== a (task) ===\n"])
def test_a_file_without_sections_or_with_twins_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match=r"^p\.txt: "):
        prompt_file.loads(text, "p.txt")


@given(texts, texts, texts)
def test_filling_is_one_pass_of_exact_names(text: str, a: str, b: str) -> None:
    filled = fill(text, {"text": a, "question": b})
    pieces = text.replace("{question}", "{text}").split("{text}")
    if "{text}" not in text and "{question}" not in text:
        assert filled == text
    assert len(filled) == sum(map(len, pieces)) + len(a) * text.count("{text}") + len(b) * text.count("{question}")


@given(texts, texts)
def test_an_edit_keeps_exactly_the_placeholders(before: str, after: str) -> None:
    prompt = Prompt((Section("task", "task", before),))
    if placeholders(before, FIELDS) == placeholders(after, FIELDS):
        assert prompt.edit("task", after, FIELDS)["task"].text == after
    else:
        with pytest.raises(EditRejected):
            prompt.edit("task", after, FIELDS)


def test_a_frozen_section_is_not_edited() -> None:
    prompt = Prompt((Section("task", "task", "as it is", frozen=True),))
    with pytest.raises(EditRejected, match="frozen"):
        prompt.edit("task", "changed", FIELDS)


@given(prompts, st.randoms(use_true_random=False))
def test_reordering_takes_permutations_only(prompt: Prompt, random: object) -> None:
    names = [section.name for section in prompt]
    assert prompt.reorder(names) == prompt
    assert [s.name for s in prompt.reorder(names[::-1])] == names[::-1]
    with pytest.raises(EditRejected):
        prompt.reorder([*names, names[0]])


@given(prompts, texts, texts)
def test_all_examples_share_the_system_message(prompt: Prompt, a: str, b: str) -> None:
    def systems(text: str) -> list[str]:
        messages = prompt.render(Near({"text": text, "question": "?"}))
        return [m.text for m in messages if m.speaker == "system"]

    assert systems(a) == systems(b)


@pytest.mark.parametrize("name", ["Task", "1a", "", "a b", "a\n"])
def test_a_section_name_that_no_file_can_hold_is_refused(name: str) -> None:
    with pytest.raises(PromptError):
        Section(name, "task")


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(PromptError, match="Unicode"):
        Section("task", "task", "\ud800")


PIECES = [
    b"=== task (task) ===\n",
    b"===",
    b"\n",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\0\0\0",
    b"{text}",
    b"\xe9",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=9), max_size=8).map(b"".join))
def test_hostile_bytes_are_a_prompt_or_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "prompt.txt"
    path.write_bytes(data)
    try:
        prompt = prompt_file.load(path)
    except PromptError:
        return
    assert prompt_file.loads(prompt_file.dumps(prompt)) == prompt
