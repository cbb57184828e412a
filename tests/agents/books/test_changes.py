"""What has changed is shipped once, in the order in which it was written, as the head would name it."""

from __future__ import annotations

from pathlib import Path

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.books.changes import Changes, elsewhere
from agents.books.shipments import FILES, Appended, File
from agents.directory.run_directory import CONFIGURATION, LOG, make_folder, remove, write
from tests.memory.helpers import directory

NAMES = [name for name in FILES if name not in (CONFIGURATION, LOG)] + ["given/a.jsonl", "best_prompts/task.txt"]
step = st.tuples(st.sampled_from([*NAMES, LOG, "look"]), st.booleans(), st.binary(max_size=4))


def apply(there: dict[str, bytes], change: File | Appended) -> None:
    match change:
        case Appended(name, offset, content):
            assert len(there.get(name, b"")) == offset
            there[name] = there.get(name, b"") + content
        case File(name, None):
            del there[name]
        case File(name, content):
            assert content is not None
            there[name] = content


@given(st.lists(step, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_changes_lead_to_the_same_files_and_no_change_is_told_twice(
    steps: list[tuple[str, bool, bytes]],
) -> None:
    with directory() as folder:
        changes, here, there = Changes(folder, {}), dict[str, bytes](), dict[str, bytes]()
        for name, kept, content in [*steps, ("look", True, b"")]:
            if name == "look":
                told = changes.since()
                for change in told:
                    apply(there, change)
                assert there == {name: content for name, content in here.items() if name != LOG or content}
                files = [
                    FILES.index(change.name)
                    for change in told
                    if change.name in FILES and change != File(change.name, None)
                ]
                assert files == sorted(files)
                assert not changes.since()
            elif name == LOG:
                with (folder / LOG).open("ab") as file:
                    file.write(content)
                here[LOG] = here.get(LOG, b"") + content
            elif kept:
                make_folder((folder / name).parent)
                write(folder / name, content)
                here[name] = content
            else:
                remove(folder / name)
                here.pop(name, None)


def test_paths_of_this_machine_are_those_of_the_head_wherever_they_stand() -> None:
    places = {"/node": "/head", "/node/copy": "/head/runs/a"}
    document = {
        "a": "/node/x",
        "b": ["/node/copy/given/t.jsonl", "/node", 3],
        "c": {"d": "/nodes", "e": "in /node"},
    }
    assert orjson.loads(elsewhere(orjson.dumps(document), places)) == {
        "a": "/head/x",
        "b": ["/head/runs/a/given/t.jsonl", "/head", 3],
        "c": {"d": "/nodes", "e": "in /node"},
    }


def test_what_was_there_is_known_already(tmp_path: Path) -> None:
    write(tmp_path / "run.json", b"{}")
    (tmp_path / LOG).write_bytes(b"one\n")
    changes = Changes(tmp_path, {})
    changes.seen()
    assert not changes.since()
    (tmp_path / LOG).write_bytes(b"one\ntwo\n")
    assert changes.since() == [Appended(LOG, 4, b"two\n")]
