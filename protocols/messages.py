"""The messages between agents: a closed set of frozen records.

    Controller ─Assignment▶ Proposer ─Candidate▶ Evaluator ─Evaluation▶ Critic ─Critique▶ Controller

Any agent may end an assignment early with a `Failure`, which goes straight to the Controller. A candidate has the
number of its assignment; the first prompt is candidate 0. A person sends a `Command`; the team may send a `Stop` too.
The Controller sends `Conclude` to itself and `Finished` to the team. `Resumed` and `Fault` are only recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from protocols.model import Finish, Instead, Usage
from protocols.program import Step
from protocols.prompt import Prompt
from protocols.task import Counts

Scores = tuple[float | None, ...]
"""One score in [0, 1] per validation example, in the order of the split; None: not asked, or not answered."""


def mean(scores: Scores) -> float:
    """Mean of the scores that are not None; 0 if there is none."""
    answered = [score for score in scores if score is not None]
    return math.fsum(answered) / len(answered) if answered else 0.0


FIRST = 0
"""The number of the first prompt's candidate."""
SHRINK: Final = "shrink"
"""The operator's name in an assignment that shrinks the result."""


@dataclass(frozen=True, slots=True)
class OfModel:
    """One of several models that answer a task: the score of its reply, or the corpus metric over its replies, in
    [0, 1], and their usage. `answer`: of a single reply, the beginning of what was read; None if nothing was, and in
    old journals."""

    value: float
    usage: Usage = field(default_factory=Usage)
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example, the reply to it, how the reply ended, and its judgement. `target`: written as a reply should be.
    `instead`: see `Reply`. `usage`: the metered usage of the reply. `steps`: the calls and notes of the program that
    answered, bounded in size; () if one call answered, and in old journals. `models`: of each of several models that
    answered; then `score` and `counts` are of all, `usage` is the sum, and all else is of the worst reply, which is
    that of `model`: of those with the lowest score one that holds no answer, if there is one."""

    example: str
    inputs: Mapping[str, str]
    target: str
    reply: str
    answer: str | None
    score: float
    feedback: str
    counts: Counts = field(default_factory=dict)
    mistakes: Counts = field(default_factory=dict)
    finish: Finish = "stop"
    instead: Instead | None = None
    usage: Usage = field(default_factory=Usage)
    steps: tuple[Step, ...] = ()
    models: Mapping[str, OfModel] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True, slots=True)
class Credit:
    """The credit of a section's text: how much higher the prompt's mean score is with the text than without it, and
    the standard error of that difference."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Swap:
    """A survivor was run with the prompt `prompt` of the earlier survivor `candidate` in place of its own. `worth`:
    how much higher its mean score is then."""

    candidate: int
    prompt: str
    worth: Credit


@dataclass(frozen=True, slots=True)
class Partner:
    """Another member of the archive. `credit`: the estimated credit of each section. `ancestor`: the last common
    ancestor of this member and the assignment's parent, which may be one of them; None in old journals. `trained`:
    its scores by the ids of the training examples that it was run on. `swapped`: by prompt of a program, how much
    higher the parent's mean score is with this member's, where that was measured."""

    candidate: int
    prompt: Prompt
    scores: Scores
    credit: Mapping[str, Credit]
    ancestor: Prompt | None = None
    trained: Mapping[str, float] = field(default_factory=dict)
    swapped: Mapping[str, Credit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tried:
    """A measured edit: the operator, its new text of the section, and the paired mean gain over the parent with its
    standard error, on `n` examples. `survived`: the edit won its race. `before`: the parent's mean; None in old
    journals."""

    operator: str
    text: str
    gain: float
    error: float
    n: int
    survived: bool
    before: float | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Controller to Proposer: apply `operator` to `section` of `parent`.

    `gradient`: what the Critic said of this section ("" if nothing), and `diagnosis` all that it said of the parent.
    `outcomes`: the parent's training minibatch. `scores`: the parent's validation scores, all of them. `credit`: the
    parent's, see `Partner`. `partners`: other members of the archive, best first, for an operator that `combines` and
    for a person's edit; () for all others. `best`: the highest mean score that is known among the parent and the best
    others; None in old journals, where `partners` were told to all. `edited`: the prompt that a person has made, or
    that the phase which shrinks the result has cut: no operator's work. In that phase `scores` are those of the
    prompt that it began with. `tried`: the last edits of this section that were measured, oldest first. `review`: if
    the edit wins its race, it waits for a person's `Accept` or `Reject`. `twins`: assignments in flight of the same
    operator, section and parent; None in old journals. `doubtful`: ids of the parent's outcomes whose expected
    answers the Critic doubts; None in old journals.
    """

    assignment: int
    operator: str
    section: str
    parent: int
    prompt: Prompt
    gradient: str
    outcomes: tuple[Outcome, ...]
    scores: Scores
    credit: Mapping[str, Credit] = field(default_factory=dict)
    partners: tuple[Partner, ...] = ()
    edited: Prompt | None = None
    diagnosis: str = ""
    tried: tuple[Tried, ...] = ()
    best: float | None = None
    review: bool = False
    twins: int | None = None
    doubtful: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Proposer to Evaluator: an edited prompt.

    It races against its parent or, if it took sections from other members, against the best of its sources. The first
    prompt has no opponent: `parent_scores` is () and `parent_tokens` 0. `recalled`: the experiences that the Proposer
    was shown. `section`: the edited section, "" in old journals. `shrunk`: it is the parent with something cut, and
    wins its race if it is no worse. `drafts`: other texts of the same edit; the best of all on training examples
    races. `known`: ids of the training examples that its parent was run on.
    """

    assignment: int
    prompt: Prompt
    parent_scores: Scores = ()
    parent_tokens: int = 0
    recalled: tuple[int, ...] = ()
    section: str = ""
    shrunk: bool = False
    drafts: tuple[Prompt, ...] = ()
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Evaluator to Critic: the result of a candidate.

    `scores`: of the examples asked before the race ended; all of the split if `survived`. `gain`, `error`, `paired`:
    the paired mean gain over the parent on the examples that both answered, its standard error, and their number (all
    0 for the first prompt). `outcomes`: a training minibatch, empty unless `survived`. `value`: the corpus metric
    over all answers.

    `refused`, `truncated` and `unreadable`: numbers of such replies, which are also scored as answers; `quoted`: one
    of the unreadable ones ("" if none). `textless`: numbers of replies without a text, by what came instead.
    `filled`: approximate tokens that are filled into the prompt for each input, besides the input. `unread`: examples
    of the minibatch that were left unanswered. `cut`: the cap (`BudgetExhausted.name`) that refused the minibatch, ""
    if none did. `too_long`: ids of the examples that fit into the model's window neither with this prompt nor with
    its parent; they are not asked, and not counted in `unanswered`. `drafted`: questions asked to choose among
    drafts. `usage`: the total of the validation replies; `models`: of each of several models that answered, the
    corpus metric and the usage. All of these are 0 or empty in old journals.
    """

    assignment: int
    prompt: Prompt
    scores: Scores
    survived: bool
    gain: float
    error: float
    paired: int
    unanswered: int
    outcomes: tuple[Outcome, ...] = ()
    value: float = 0.0
    refused: int = 0
    truncated: int = 0
    filled: int = 0
    unread: int = 0
    cut: str = ""
    too_long: tuple[str, ...] = ()
    unreadable: int = 0
    textless: Mapping[str, int] = field(default_factory=dict)
    quoted: str = ""
    drafted: int = 0
    usage: Usage = field(default_factory=Usage)
    models: Mapping[str, OfModel] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """The approximate length of the prompt as it is sent, without the input."""
        return self.prompt.tokens + self.filled

    @property
    def asked(self) -> int:
        """Validation and training examples that the candidate and its drafts were run on, answered or not."""
        answered = sum(score is not None for score in self.scores)
        return answered + self.unanswered + len(self.outcomes) + self.unread + self.drafted


Missing = Literal["", "unreadable", "refused", "too long", "call", "budget"]
"""Why a critique has no gradients. "": it has some, or needs none. unreadable: the reply was no critique. refused,
too long: the provider refused the request permanently. call: the call failed after its retries. budget: a cap."""


@dataclass(frozen=True, slots=True)
class Critique:
    """Critic to Controller: the evaluation, and textual gradients and measured credit by section name; a section may
    have neither. `cut`: the cap (`BudgetExhausted.name`) that refused them and ends the search, "" if none did.
    `missing`: why gradients are missing. `diagnosis`: the whole text of the critique. `doubtful`: ids of training
    examples whose expected answers seem wrong. `swaps`: of the prompts of a program."""

    assignment: int
    evaluation: Evaluation
    gradients: Mapping[str, str]
    credit: Mapping[str, Credit] = field(default_factory=dict)
    cut: str = ""
    missing: Missing = ""
    diagnosis: str = ""
    doubtful: tuple[str, ...] = ()
    swaps: tuple[Swap, ...] = ()

    @property
    def cut_by(self) -> str:
        """The cap that ends the search and left this critique, or its evaluation, incomplete; "" if none did."""
        return self.cut or self.evaluation.cut


FailureKind = Literal[
    "rejected",
    "unreadable",
    "too long",
    "call",
    "budget",
    "allowance",
    "inapplicable",
    "dropped",
    "raised",
    "stopped",
]
ENDED_WITH_THE_RUN: Final[frozenset[FailureKind]] = frozenset({"budget", "stopped"})
"""Failures that are not the assignment's fault: a resumed run issues it again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Any agent to Controller: this assignment ended without a critique.

    rejected: the edit would break the prompt, or changes nothing. unreadable: the reply was no edit. too long: a
    request for the edit, or with the edited prompt, does not fit into a model's window, or the prompt exceeds the
    limit of its length. call: a model call failed after its retries. budget: a cap that ends the search. allowance: a
    cap of this operator only. inapplicable: the operator had nothing to work with. dropped: an agent sent no message.
    raised: an agent raised an exception; the run fails unless they are to be skipped. stopped: the run ended first.
    `text`: the new text of the section, for an edit that was rejected or too long, if known. `cap`: the cap
    (`BudgetExhausted.name`) of a budget or an allowance; "" in old journals.
    """

    assignment: int
    kind: FailureKind
    reason: str
    text: str = ""
    cap: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Team or person to Controller: issue no more assignments, and finish when the pending ones have ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Person to Controller: issue no assignment until `Continue`, or until another process resumes the run."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Person to Controller: the pause is over."""


@dataclass(frozen=True, slots=True)
class Change:
    """Person to Controller: set the setting of this dotted name to this value; None lifts a cap.
    `instead`: its value in the configuration."""

    setting: str
    value: float | None
    instead: float | None


@dataclass(frozen=True, slots=True)
class Freeze:
    """Person to Controller: no assignment from now on may edit this section."""

    section: str


@dataclass(frozen=True, slots=True)
class Inject:
    """Person to Controller: make this prompt the candidate of the next assignment."""

    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Accept:
    """Person to Controller: the edit of this assignment, which waits for a person, joins the archive."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Reject:
    """Person to Controller: the edit of this assignment, which waits for a person, is not wanted. `reason`: why;
    later edits of the section are told it."""

    assignment: int
    reason: str


Command = Stop | Pause | Continue | Change | Freeze | Inject | Accept | Reject


@dataclass(frozen=True, slots=True)
class Conclude:
    """Controller to itself: the search is over, for the reason `stopped_by`, after `made` assignments of operators;
    the shrinking of its result begins."""

    stopped_by: str
    made: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Controller to team: the search is over, for the reason `stopped_by`."""

    stopped_by: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """Team, recorded only: the run resumes after it ended or was stopped. From here on the earlier reasons to stop
    are void: each `Stop`, each `Failure` of the budget or only recorded, each `Critique` that a cap cut short.
    `seconds`: how long the run had worked until then. `reopened`: operators that are offered again because their own
    caps were raised. `more`: a cap or the number of assignments was raised, or the aim changed, so a search whose
    result was being shrunk continues as a search. `target` and `patience`: the search's aims from now on; None: no
    such aim."""

    seconds: float
    reopened: tuple[str, ...] = ()
    more: bool = False
    target: float | None = None
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Recorded only: an observer raised an exception at the message that is the cause; the run continued."""

    observer: str
    reason: str


Message = Assignment | Candidate | Evaluation | Critique | Failure | Command | Conclude | Finished | Resumed | Fault


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message in transit. `cause`: the id of the envelope that its sender was handling; `time`: Unix seconds."""

    id: int
    cause: int | None
    sender: str
    to: str
    time: float
    message: Message
