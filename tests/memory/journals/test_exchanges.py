"""What was asked and answered comes back from the journal as it was, in few bytes and within its bounds."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.journals.exchanges import MOST_BYTES, TEXT, Exchange, cut, pack, unpack
from memory.journals.journal import open_journal
from memory.journals.reading import read_exchanges
from protocols.errors import StorageFailed
from protocols.model import ChatMessage, Usage
from protocols.program import Step
from tests.strategies import texts

pytestmark = pytest.mark.anyio
speakers = st.sampled_from(("system", "user", "assistant", "tool"))
usages = st.builds(Usage, *[st.integers(0, 10**6)] * 4, st.integers(0, 1))
steps = st.builds(
    Step, texts, texts, st.dictionaries(texts, texts, max_size=2), st.lists(
        st.builds(ChatMessage, speakers, texts), max_size=2).map(tuple), usage=usages
)  # fmt: skip
exchanges = st.lists(
    st.builds(
        Exchange,
        example=texts,
        messages=st.lists(st.tuples(speakers, texts), max_size=3).map(tuple),
        reply=texts,
        finish=st.sampled_from(("stop", "length", "refusal")),
        instead=st.none() | st.just("nothing"),
        usage=usages,
        seconds=st.floats(0, 1e6),
        cached=st.booleans(),
        target=texts,
        answer=st.none() | texts,
        score=st.floats(0, 1),
        feedback=texts,
        inputs=st.dictionaries(texts, texts, max_size=2),
        steps=st.lists(steps, max_size=2).map(tuple),
        error=texts,
    ),
    max_size=4,
)


@given(exchanges)
def test_they_come_back_as_they_were(made: list[Exchange]) -> None:
    assert list(unpack(pack(made), "journal")) == made


def test_a_prompt_that_all_share_is_kept_once() -> None:
    system = "".join(chr(33 + n * n % 90) for n in range(60_000))
    made = [Exchange(f"e{n}", (("system", system), ("user", f"text {n}")), "yes") for n in range(200)]
    assert len(pack(made)) < len(zlib.compress(system.encode())) + 200 * 60


def test_a_text_without_end_is_cut_in_its_middle() -> None:
    text = "a" * TEXT + "b" * TEXT
    kept = cut(text)
    assert len(kept) < TEXT + 50
    assert kept[: TEXT // 2] == "a" * (TEXT // 2)
    assert kept[-TEXT // 2 :] == "b" * (TEXT // 2)
    assert f"{TEXT:,} characters" in kept
    assert cut("a" * TEXT) == "a" * TEXT


@pytest.mark.parametrize(
    "content", [b"", b"no zlib", zlib.compress(b"[]"), zlib.compress(b'{"texts":[],"rows":[{}]}')]
)
def test_another_content_is_an_error_of_the_file(content: bytes) -> None:
    with pytest.raises(StorageFailed, match=r"run/journal"):
        list(unpack(content, "run/journal"))


async def test_the_journal_keeps_them_by_candidate_and_up_to_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = [Exchange("a", (), "1")], [Exchange("b", (), "2"), Exchange("c", (), "3")]
    async with open_journal(tmp_path / "journal") as journal:
        await journal.exchanged(0, "validation", one)
        await journal.exchanged(0, "critic", two)
        await journal.exchanged(1, "validation", [])
    path = tmp_path / "journal"
    assert list(read_exchanges(path, 0)) == [("validation", one), ("critic", two)]
    assert list(read_exchanges(path, 0, "critic")) == [("critic", two)]
    assert not list(read_exchanges(path, 1))
    kept = sum(len(pack(each)) for each in (one, two))
    assert kept < MOST_BYTES
    monkeypatch.setattr("memory.journals.journal.MOST_BYTES", kept)
    async with open_journal(path) as journal:  # an earlier process's count, too
        await journal.exchanged(2, "validation", one)
    assert not list(read_exchanges(path, 2))
