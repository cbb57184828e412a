"""A judge is compared with people: what is read, what is asked, and what is refused."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from agents.config.configuration import build
from agents.run.grading import JudgeChecked, check_judge
from protocols.errors import BadReply, ConfigError, DataError
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
ROWS = [{"text": f"gift {n}", "answer": f"thanks {n}", "grade": n % 5, "id": f"g{n}"} for n in range(20)]


async def checked(
    folder: Path, rows: list[dict[str, object]], reply: str = "", keys: dict[str, object] | None = None
) -> JudgeChecked:
    for split in ("train", "validation", "test"):
        lines = [orjson.dumps({"text": f"{split} {n}", "target": "x"}) for n in range(3)]
        (folder / f"{split}.jsonl").write_bytes(b"\n".join(lines))
    (folder / "grades.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    table = {"name": "t", "kind": "generation", "metric": "judge", "rubric": "r", "fields": {"target": "none"}}
    splits = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}

    def judge(turns: list[tuple[str, str]]) -> str:
        number = int(turns[-1][1].partition("thanks ")[2].split("\n")[0])
        return reply or f"So so.\nScore: {number % 5 * 2}"

    tables = {"models": {"default": "openai/m"}, "task": table | splits | (keys or {})}
    found: JudgeChecked | Exception
    async with WireServer(judge) as server:  # what is raised inside would come out as a group
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.openai_url}
        try:
            found = await check_judge(build(tables, folder), environ, folder / "grades.jsonl")
        except (ConfigError, DataError, BadReply) as error:
            found = error
    if isinstance(found, Exception):
        raise found
    return found


async def test_the_judge_grades_every_answer_by_the_rubric(tmp_path: Path) -> None:
    found = await checked(tmp_path, ROWS)
    assert (found.n, found.calls, found.ungraded, found.measure) == (20, 20, 0, "correlation")
    assert found.value == pytest.approx(1)
    assert found.means == pytest.approx((2, 4))


async def test_words_are_yes_and_no_and_disagreements_have_the_reasons(tmp_path: Path) -> None:
    rows = [row | {"grade": "good" if int(str(row["grade"])) > 1 else "Bad"} for row in ROWS]
    found = await checked(tmp_path, rows)
    assert found.measure == "accuracy"
    assert found.value == pytest.approx(16 / 20)
    assert {one.reasons for one in found.disagreements} == {"So so."}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (ROWS[:19], "19 graded answers tell too little"),
        ([row | {"grade": 3} for row in ROWS], "all grades are the same"),
        ([*ROWS, {"text": "x", "grade": 1}], "jsonl:21: no answer"),
        ([*ROWS, {"text": "x", "answer": "y", "grade": "so so"}], "jsonl:21: the grade is 'so so'"),
        ([row | {"more": "x"} for row in ROWS], "has the input fields more, text, and the task text"),
    ],
)
async def test_grades_that_tell_nothing_are_refused(
    rows: list[dict[str, object]], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=reason):
        await checked(tmp_path, rows)


async def test_there_must_be_a_judge_and_it_must_give_a_grade(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no judge to check"):
        await checked(tmp_path, ROWS, keys={"metric": "regex", "pattern": "x"})
    with pytest.raises(BadReply):
        await checked(tmp_path, ROWS, reply="I cannot tell.")
