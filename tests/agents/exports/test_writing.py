"""Which prompt is exported, and to which files."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import run
from agents.exports.writing import export_to
from protocols.errors import InputError, PromptError

PLAIN = "=== task (task) ===\nSay {json} for {text}\n"


def test_a_prompt_file_has_the_fields_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(PLAIN, encoding="utf-8")
    named = export_to(tmp_path / "p.txt", "messages-json", None, ["text"], False)
    assert "Say {json} for " in named.files["p.json"]
    guessed = export_to(tmp_path / "p.txt", "messages-json", None, (), False)
    assert '"field": "json"' in guessed.files["p.json"]
    assert "json, text" in guessed.remarks[0]


def test_the_prompts_of_a_program_are_files_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    for name in ("extract", "write"):
        (folder / f"{name}.txt").write_text(f"{name} {{text}} of {{inputs}}", encoding="utf-8")
    with pytest.raises(InputError, match="2 files"):
        export_to(folder, "python", None, (), False)
    exported = export_to(folder, "python", tmp_path / "out", (), False)
    assert sorted(Path(name).name for name in exported.files) == ["prompts-extract.py", "prompts-write.py"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("=== e (examples) ===\n{examples:2}\n", "export the run"),
        ("=== t (tool) ===\nfind\n", "export the run"),
        ("", "empty"),
    ],
)
def test_a_file_that_lacks_what_it_needs_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "p.txt").write_text(text, encoding="utf-8")
    with pytest.raises(PromptError, match=reason):
        export_to(tmp_path / "p.txt", "python", None, (), False)


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.txt").write_text(PLAIN, encoding="utf-8")
    command = ["export", "p.txt", "--to", "python", "--field", "text", "--out", "p.py"]
    done = CliRunner().invoke(run.app, command)
    assert (done.exit_code, done.stdout) == (0, "Written: p.py\n"), done.stderr
    again = CliRunner().invoke(run.app, command)
    assert again.exit_code == 2
    assert "is there already" in again.stderr
