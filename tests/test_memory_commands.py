"""`promptflow memory`, from its arguments to exit code, output and files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from memory.upkeep import NAMES
from tests import command_line
from tests.memory.test_store import EXPERIENCE


def invoke(*args: object) -> tuple[int, str, str]:
    """As `command_line.invoke`, of the commands below `memory`."""
    return command_line.invoke("memory", *args)


def answer(*args: object) -> dict[str, Any]:
    """The same of `command_line.answer`."""
    return command_line.answer("memory", *args)


def write_lines(path: Path, count: int) -> Path:
    good = {name: getattr(EXPERIENCE, name) for name in NAMES}
    path.write_bytes(
        b"".join(orjson.dumps({**good, "evidence": n, "operator": f"[b]分{n % 2}"}) + b"\n" for n in range(count))
    )
    return path


def test_a_memory_goes_out_and_in(tmp_path: Path) -> None:
    """A run directory stands for the memory in it."""
    source, folder, out = write_lines(tmp_path / "in.jsonl", 10), tmp_path / "run", tmp_path / "out.jsonl"
    folder.mkdir()
    assert answer("import", folder, source) == {"imported": 10, "known": 0}
    assert answer("import", folder / "memory.sqlite", source) == {"imported": 0, "known": 10}
    assert answer("export", folder, out) == {"exported": 10, "unreadable": 0}
    assert out.read_bytes() == source.read_bytes()
    found = answer("stats", folder)
    assert (found["count"], found["operators"]["[b]分0"]["count"]) == (10, 5)
    code, shown, _ = invoke("stats", folder)
    assert code == 0
    assert "10 experiences" in shown
    assert "[b]分1" in shown
    assert answer("prune", folder, "--below-evidence", 3) == {"removed": 3, "operators": {"[b]分0": 2, "[b]分1": 1}}
    code, shown, _ = invoke("prune", folder, "--keep", 6)
    assert (code, shown.splitlines()) == (0, ["1 experiences removed", "  [b]分1: 1"])
    assert answer("stats", folder)["count"] == 6


def test_what_can_be_read_of_a_damaged_memory_is_saved(tmp_path: Path) -> None:
    source, memory, out = (
        write_lines(tmp_path / "in.jsonl", 200),
        tmp_path / "memory.sqlite",
        tmp_path / "out.jsonl",
    )
    assert answer("import", memory, source) == {"imported": 200, "known": 0}
    content = bytearray(memory.read_bytes())
    leaves = [
        at for at in range(0, len(content), 4096) if content[at] == 0x0D and "分1".encode() in content[at : at + 4096]
    ]
    for at in leaves[3:5]:
        content[at : at + 200] = b"\xff" * 200
    memory.write_bytes(content)
    code, _, err = invoke("stats", memory)
    assert code == 1
    assert "damaged" in err
    assert "memory export" in err
    found = answer("export", memory, out)
    assert found["exported"] + found["unreadable"] == 200
    assert 0 < found["unreadable"] < 40
    lines, saved = source.read_bytes().splitlines(), out.read_bytes().splitlines()
    assert [line for line in lines if line in saved] == saved
    assert answer("import", tmp_path / "new.sqlite", out) == {"imported": len(saved), "known": 0}


def test_what_a_person_got_wrong_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    source, memory = write_lines(tmp_path / "in.jsonl", 2), tmp_path / "memory.sqlite"
    source.write_bytes(source.read_bytes() + b"{}\n")
    for args, code, says in (
        (("import", memory, source), 2, f"{source}:3: missing: after"),
        (("import", memory, tmp_path / "none"), 2, "cannot read the experiences"),
        (("prune", memory), 2, "say what to prune"),
        (("prune", memory, "--keep", 1), 2, "no such memory"),
        (("stats", memory), 1, "cannot be opened"),
        (("export", memory, tmp_path / "out.jsonl"), 1, "cannot be opened"),
        (("export", memory, source), 2, "is there already"),
        (("stats", source), 1, "damaged, or no SQLite database"),
    ):
        got, out, err = invoke(*args)
        assert (got, out) == (code, "")
        assert says in err
        assert len(err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}


def test_a_memory_that_a_model_embeds_for_is_looked_after_without_it(tmp_path: Path) -> None:
    """All but the import, which would have to ask the model."""
    source, memory, out = (
        write_lines(tmp_path / "in.jsonl", 4),
        tmp_path / "memory.sqlite",
        tmp_path / "out.jsonl",
    )
    assert answer("import", memory, source)["imported"] == 4
    with closing(sqlite3.connect(memory)) as connection, connection:
        connection.execute("UPDATE embedder SET name = 'openai/x at http://localhost/v1', dimension = 3")
    code, said, err = invoke("import", memory, source)
    assert (code, said) == (2, "")
    assert err.endswith("made with the embedder openai/x at http://localhost/v1, and import asks no model\n")
    assert len(err.splitlines()) == 1
    assert answer("stats", memory)["dimension"] == 3
    assert answer("export", memory, out)["exported"] == 4
    assert answer("prune", memory, "--keep", 1)["removed"] == 3
