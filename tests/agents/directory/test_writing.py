"""Files are written whole, and only where a file may stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.directory.run_directory import RECORD, read_record, write
from protocols.errors import ConfigError, StorageFailed


@pytest.mark.parametrize("place", [".", "", "..", "folder", "/dev/null"])
def test_a_folder_or_a_device_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageFailed, match="no file that can be written"):
        write(Path(place), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert Path("/dev/null").is_char_device()


def test_a_folder_that_is_missing_is_named_as_the_cause(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="make its folder first"):
        write(tmp_path / "no" / "file", b"x")


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "best_prompt.txt").write_bytes(b"x")
    (tmp_path / "runs" / "gym-1").mkdir(parents=True)
    (tmp_path / "runs" / "gym-1" / RECORD).write_text("{}")
    for given, said in (
        ("runs/gym1", r"no such folder; did you mean \S+gym-1\?"),
        ("runs", "it holds runs, such as"),
    ):
        with pytest.raises(ConfigError, match=said):
            read_record(tmp_path / given)
    with pytest.raises(ConfigError, match="is not a run directory"):
        read_record(tmp_path / "best_prompt.txt")
