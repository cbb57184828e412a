"""The prompts of a program in a folder of files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import PromptError
from protocols.files import prompt_file, prompt_folder
from protocols.prompt import Prompt
from tests.strategies import names, prompts


@given(st.dictionaries(names, prompts, min_size=2, max_size=4))
def test_what_is_written_to_a_folder_is_read_from_it(parts: dict[str, Prompt]) -> None:
    whole = Prompt(tuple(replace(s, name=f"{name}.{s.name}") for name, part in parts.items() for s in part))
    with TemporaryDirectory() as folder:
        for name, text in prompt_folder.dumps(whole).items():
            (Path(folder) / name).write_bytes(text.encode("utf-8"))
        read = prompt_folder.load(Path(folder))
    assert sorted(read.names) == sorted(parts)
    assert prompt_folder.in_order(read, whole.names) == whole


def test_a_folder_that_holds_no_prompts_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="the folder holds no prompt"):
        prompt_folder.load(tmp_path)
    (tmp_path / "one.txt").write_text("Say it.", encoding="utf-8")
    assert prompt_folder.load(tmp_path) == prompt_file.load(tmp_path / "one.txt")
    (tmp_path / "Two.txt").write_text("Say it.", encoding="utf-8")
    with pytest.raises(PromptError, match=r"Two\.txt: 'Two' names no prompt"):
        prompt_folder.load(tmp_path)
    (tmp_path / "Two.txt").write_text("=== a.b (task) ===\nSay it.\n", encoding="utf-8")
    (tmp_path / "Two.txt").rename(tmp_path / "two.txt")
    with pytest.raises(PromptError, match=r"two\.txt: a section's name has no dot here"):
        prompt_folder.load(tmp_path)
