"""What is said of a search while it works."""

from __future__ import annotations

from agents.history.progress import Progress
from agents.views.live.doing import Doing
from protocols.budget.ledger import Attempt
from protocols.messages import (
    FIRST,
    Assignment,
    Candidate,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Finished,
    Message,
    Resumed,
)
from protocols.prompt import Prompt, Section

PROMPT = Prompt((Section("task", "task", "{text}"),))


def evaluated(number: int) -> Evaluation:
    return Evaluation(number, PROMPT, (1.0,) * 4, True, 0.5, 0.01, 4, 0, value=1.0)


def asked(number: int, operator: str = "merge") -> Assignment:
    return Assignment(number, operator, "task", 0, PROMPT, "", (), ())


class Told:
    """What is said after each message, and after answers to the task's model and to another."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._told = 0
        self.doing = Doing(self.progress)

    def __call__(self, *messages: Message, answers: int = 0) -> str:
        for message in messages:
            self._told += 1
            envelope = Envelope(self._told, None, "a", "b", 0.0, message)
            self.progress.follow(envelope)
            self.doing.follow(envelope)
        for _ in range(answers):
            self.doing.called(Attempt("task", "m", None))
            self.doing.called(Attempt("critic", "m", None))
        return str(self.doing)


def test_each_stage_of_a_search_has_its_words() -> None:
    told = Told()
    assert told() == ""
    assert told(Candidate(FIRST, PROMPT)) == "evaluating the first prompt, 0 answers so far"
    assert told(answers=1) == "evaluating the first prompt, 1 answer so far"
    assert told(Critique(FIRST, evaluated(FIRST), {}), answers=3) == ""
    assert told(asked(1)) == "merge on task, whose edit is being written"
    assert told(Candidate(1, PROMPT)) == "merge on task, whose edit is being measured against its parent"
    assert told(evaluated(1)) == "merge on task, whose edit is being criticised"
    assert told(asked(2), asked(3), Candidate(3, PROMPT)) == (
        "3 edits: 1 criticised, 1 written, 1 measured against its parent"
    )
    assert told(Critique(1, evaluated(1), {}), Failure(2, "rejected", "")) == (
        "merge on task, whose edit is being measured against its parent"
    )
    assert told(Failure(3, "rejected", ""), Finished("assignments")) == "reading the test split, 0 answers so far"
    assert told(answers=2) == "reading the test split, 2 answers so far"
    assert told(Resumed(1.0)) == ""


def test_what_a_person_or_a_model_named_is_one_plain_line() -> None:
    told = Told()
    told(Candidate(FIRST, PROMPT), Critique(FIRST, evaluated(FIRST), {}))
    assert told(asked(1, "a\x1b[2J\nb")) == "a b on task, whose edit is being written"
