"""The file of a quota: shared by processes, readable by its user alone, no obstacle where it cannot be written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from memory.storage.quota_file import QuotaFile
from protocols.leases.lease import Demand, Report
from protocols.pacing.limits import Limits

pytestmark = pytest.mark.anyio
WANTS = Report(limits=Limits(8, requests=600), waiting=50, others=Demand(50))
SECRET = "openai\nhttps://api\n0123456789abcdef"


async def test_two_that_open_it_divide_one_account_and_others_have_their_own(tmp_path: Path) -> None:
    told = list[str]()
    one, other, third = (QuotaFile(tmp_path / "limits", name, told.append) for name in (SECRET, SECRET, "else"))
    assert (await one.exchange("one", WANTS)).places == 8
    assert (await other.exchange("other", WANTS)).places == 0
    assert (await third.exchange("third", WANTS)).places == 8
    one.close()
    await one.exchange("one", Report(ends=True))
    assert (await other.exchange("other", WANTS)).places == 8
    for file in (one, other, third):
        file.close()
    assert told == []


async def test_it_tells_nothing_of_the_account_and_only_its_user_reads_it(tmp_path: Path) -> None:
    file = QuotaFile(tmp_path / "limits", SECRET, print)
    await file.exchange("one", WANTS)
    file.close()
    paths = [*(tmp_path / "limits").iterdir()]
    assert len(paths) >= 2
    for path in paths:
        assert not any(part in path.read_bytes() + path.name.encode() for part in SECRET.encode().split(b"\n"))
        assert sys.platform == "win32" or path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", b"no database", b"{}"])
async def test_what_it_does_not_understand_is_no_obstacle(tmp_path: Path, damage: bytes) -> None:
    told = list[str]()
    file = QuotaFile(tmp_path, SECRET, told.append)
    await file.exchange("one", WANTS)
    file.close()
    [path] = (each for each in os.listdir(tmp_path) if each.endswith(".sqlite"))
    (tmp_path / path).write_bytes(damage)
    file = QuotaFile(tmp_path, SECRET, told.append)
    for _ in range(3):
        assert (await file.exchange("one", WANTS)).places == 8
    file.close()
    assert len(told) == (1 if damage else 0), "once"
    assert all(str(tmp_path) in line for line in told)


async def test_where_no_folder_can_be_made_nothing_is_shared_and_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    told = list[str]()
    for _ in range(2):
        file = QuotaFile(tmp_path / "file" / "limits", SECRET, told.append)
        assert (await file.exchange("one", WANTS)).places == 8
    assert told == []
    assert os.listdir(tmp_path) == ["file"]
