"""Input fields that are conversations or images: every way to write them, and what is wrong with those refused."""

from __future__ import annotations

import base64
import gzip
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from protocols.data import Fields, Source, load_examples
from protocols.data.values import pictures as limits
from protocols.data.values.inputs import rooted
from protocols.errors import DataError
from protocols.images.image import Image
from protocols.model import ChatMessage
from protocols.turns import Conversation, Mixed, images_of
from tests.pictures import png
from tests.protocols.data.files import load, parquet, write

RECEIPT = png(40, 30)
DATA = f"data:image/png;base64,{base64.b64encode(RECEIPT).decode()}"
URL = "https://example.org/shop/receipt.png?key=secret"
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "receipt.png").write_bytes(RECEIPT)
    return tmp_path


def value(folder: Path, given: Any, name: str = "x", fields: Fields | None = None) -> str:
    """The value of a field in a file of one row."""
    row = orjson.dumps({"input": {name: given}, "target": "t"})
    [example] = load(write(folder / "train.jsonl", row), fields=fields)
    return example.inputs[name]


@pytest.mark.parametrize(
    "given",
    [
        {"image": "receipt.png"},
        {"image": DATA},
        {"image": URL, "detail": "low"},
        [{"type": "image_url", "image_url": {"url": DATA}}],
        [{"type": "image_url", "image_url": DATA}],
        [{"type": "input_image", "image_url": DATA}],
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA.partition(",")[2]}}],
        [{"type": "image", "source": {"type": "url", "url": URL}}],
        [{"type": "image", "image": "receipt.png"}],
        [{"image": "receipt.png"}],
    ],
)
def test_every_way_to_write_an_image(folder: Path, given: Any) -> None:
    [found] = images_of(value(folder, given))
    if found.media:
        assert (found.url, found.media, found.width, found.height) == (DATA, "image/png", 40, 30)
    else:
        assert found.url == URL
        assert "secret" not in found
    assert found.startswith(
        "[image receipt.png " if "data:" not in str(given) and "base64" not in str(given) else "["
    )


def test_parts_are_a_text_with_images_in_their_places(folder: Path) -> None:
    parts = [{"type": "text", "text": "Before:"}, {"image": "receipt.png"}, {"type": "input_text", "text": "after"}]
    found = value(folder, parts)
    assert isinstance(found, Mixed)
    label = images_of(found)[0]
    assert found.parts == ("Before:\n", label, "\nafter")
    assert value(folder, parts[::2]) == "Before:\nafter"
    assert type(value(folder, parts[::2])) is str


def test_a_list_of_turns_is_a_conversation(folder: Path) -> None:
    asked = [{"type": "text", "text": "This?"}, {"type": "image", "image": "receipt.png"}]
    odd = [
        {"role": "developer", "content": "Be kind", "name": "n"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": []},
    ]
    found = value(folder, [*odd, {"role": "user", "content": asked}, *TURNS])
    assert isinstance(found, Conversation)
    assert [(turn.speaker, len(turn.images)) for turn in found.turns] == [
        ("system", 0),
        ("user", 1),
        ("user", 0),
        ("assistant", 0),
    ]
    [label] = images_of(found)
    assert found == f"system: Be kind\nuser: This?\n{label}\nuser: Hi\nassistant: Yes?"
    empty = value(folder, [])
    assert isinstance(empty, Conversation)
    assert empty == ""


def test_a_cell_is_text_unless_its_field_is_said_to_be_more(folder: Path) -> None:
    cell = orjson.dumps(TURNS).decode().replace('"', '""')
    table = write(folder / "train.csv", f'talk,photo,target\n"{cell}",receipt.png,a\n,{URL},b\n'.encode())
    plain, _ = load(table, fields=Fields())
    assert {type(kept) for kept in plain.inputs.values()} == {str}
    said, empty = load(table, fields=Fields(conversations=("talk",), images=("photo",)))
    talk = said.inputs["talk"]
    assert isinstance(talk, Conversation)
    assert talk.turns == (ChatMessage("user", "Hi"), ChatMessage("assistant", "Yes?"))
    assert empty.inputs["talk"] == ""
    assert isinstance(said.inputs["photo"], Image)
    several = value(folder, ["receipt.png", URL], fields=Fields(images=("x",)))
    assert [image.url for image in images_of(several)] == [DATA, URL]


def test_parquet_holds_images_as_the_hub_does(folder: Path) -> None:
    rows = [{"photo": {"bytes": RECEIPT, "path": "a/b.png"}, "talk": TURNS, "target": "t"}]
    [example] = load(write(folder / "train.parquet", parquet(rows)))
    assert example.inputs["photo"].startswith("[image b.png ")
    assert isinstance(example.inputs["talk"], Conversation)


def test_the_library_of_the_hub_gives_images_as_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    Path("owner/seen").mkdir(parents=True)
    features = datasets.Features({"photo": datasets.Image(), "target": datasets.Value("string")})
    rows = {"photo": [{"bytes": RECEIPT, "path": "a/b.png"}], "target": ["t"]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet("owner/seen/train.parquet")
    [example] = load_examples(Source("hf:owner/seen"), "train")
    [found] = images_of(example.inputs["photo"])
    assert (found.url, found.name) == (DATA, "b.png")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"image": "no.png"}, "input field 'x': the image 'no.png' cannot be read: No such file or directory"),
        ({"image": "."}, "input field 'x': the image '.' cannot be read: it is a directory; name a file in it"),
        ({"image": "train.jsonl"}, "the image 'train.jsonl' is no PNG, JPEG, GIF or WebP; save it as one of these"),
        ({"image": "data:image/png;base64,%%"}, "the data URL of an image is damaged: it is not base64"),
        ({"image": "data:image/svg+xml,<svg/>"}, "is not in base64"),
        ({"image": DATA[:50]}, "damaged"),
        ({"image": 3}, "input field 'x' has an image that cannot be read"),
        ({"image": "receipt.png", "size": 3}, "input field 'x' is not a text"),
        ([{"type": "text", "text": 3}], "input field 'x' has a part without a text"),
        ([{"type": "video", "video": "a.mp4"}], "input field 'x' is not a text"),
        (["a"], "input field 'x' is not a text"),
        ([{"role": "tool", "content": "a"}], "input field 'x' has a turn 1 of the role 'tool'; roles are system"),
        ([*TURNS, {"role": "user", "content": 3}], "has a turn 3 whose content is not a text"),
        ([{"role": "assistant", "content": None, "tool_calls": [{}]}], "has a turn 1 that calls tools"),
        ([{"role": "user", "content": TURNS}], "has a turn 1 whose content is a conversation again"),
        ([{"role": "system", "content": {"image": "receipt.png"}}], "a turn 1 of the system with an image"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(folder: Path, given: Any, reason: str) -> None:
    rows = orjson.dumps({"x": "a", "target": "t"}) + b"\n" + orjson.dumps({"x": given, "target": "t"})
    with pytest.raises(DataError) as caught:
        load(write(folder / "train.jsonl", rows))
    assert str(caught.value).startswith(f"{folder / 'train.jsonl'}:2: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "given", "reason"),
    [
        (Fields(conversations=("x",)), "[{", "input field 'x' is not a conversation in JSON"),
        (Fields(conversations=("x",)), '{"role": "user"}', "input field 'x' is not a conversation, a list of turns"),
        (Fields(images=("x",)), 3, "input field 'x' is not the name of an image"),
        (Fields(images=("x",)), "", "the image '' cannot be read"),
        (Fields(images=("y",)), "a", "no input field 'y', which [task.fields] names; there are x"),
    ],
)
def test_what_a_field_is_said_to_be_it_must_be(folder: Path, fields: Fields, given: Any, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        value(folder, given, fields=fields)
    assert reason in str(caught.value)


@pytest.mark.parametrize("limit", ["LARGEST", "ROW", "TOGETHER"])
def test_images_are_bounded(folder: Path, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, limit, len(RECEIPT) - 1 if limit == "LARGEST" else 2 * len(RECEIPT) - 1)
    (folder / "other.png").write_bytes(png(40, 30, 1) + bytes(len(RECEIPT)))
    one, other = {"image": "receipt.png"}, {"image": "other.png"}
    rows = {"LARGEST": [[one]], "ROW": [[one], [one, one]], "TOGETHER": [[one], [one], [other]]}[limit]
    data = b"\n".join(orjson.dumps({"x": row, "target": "t"}) for row in rows)
    with pytest.raises(DataError, match=rf":{len(rows)}: .* bytes.*; make (it|them) smaller$"):
        load(write(folder / "train.jsonl", data))


def test_a_file_is_read_once_and_a_pipe_never(folder: Path) -> None:
    rows = [{"x": {"image": "receipt.png"}, "target": "t"}, {"x": {"image": "receipt.png"}, "target": "t"}]
    packed = gzip.compress(b"\n".join(orjson.dumps(row) for row in rows))
    first, second = load(write(folder / "train.jsonl.gz", packed))
    assert first.inputs["x"] is second.inputs["x"]
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(DataError, match="a pipe or a device"):
        value(folder, {"image": "pipe.png"})


def test_rows_are_rooted_where_they_name_images(folder: Path) -> None:
    row = {
        "input": {
            "image": "a text",
            "x": {"image": "a.png"},
            "y": [{"role": "user", "content": [{"type": "image", "image": Path("b.png")}, {"image": URL}]}],
            "z": ["c.png", DATA],
        },
        "target": {"image": "a.png"},
    }
    placed: Any = rooted(row, folder, ["z"])
    assert placed["input"] == {
        "image": "a text",
        "x": {"image": str(folder / "a.png")},
        "y": [{"role": "user", "content": [{"type": "image", "image": str(folder / "b.png")}, {"image": URL}]}],
        "z": [str(folder / "c.png"), DATA],
    }
    assert placed["target"] == {"image": "a.png"}
