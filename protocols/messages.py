"""What the agents say to each other: a closed set of frozen records.

    Controller ─Assignment▶ Proposer ─Candidate▶ Evaluator ─Evaluation▶ Critic ─Critique▶ Controller

Any agent may end an assignment early with a `Failure`, which goes straight to the Controller. A candidate has the
number of the assignment that it came from; the first prompt is candidate 0. A `Command` comes from a person, `Stop`
also from the team; `Conclude` is what the Controller tells itself, and `Finished` its answer to the team; `Resumed`
and `Fault` are put on record for nobody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from protocols.model import Finish, Instead, Usage
from protocols.prompt import Prompt
from protocols.task import Counts

Scores = tuple[float | None, ...]
"""One score in [0, 1] per validation example, in the order of the split; None: not asked, or no answer."""


def mean(scores: Scores) -> float:
    """Mean of the scores that are there; 0 for none."""
    answered = [score for score in scores if score is not None]
    return math.fsum(answered) / len(answered) if answered else 0.0


FIRST = 0
"""The number of the first prompt's candidate."""
SHRINK: Final = "shrink"
"""What stands for the operator in an assignment that shrinks the result."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example, the reply to it, how that ended, and the judgement. `target`: written as a reply should.
    `instead`: what came in place of a text, see `Reply`. `usage`: of the reply, as it was metered."""

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


@dataclass(frozen=True, slots=True)
class Credit:
    """What a section's text is worth to its prompt: how much higher the mean score is with it than with none, and the
    standard error of that."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Partner:
    """Another member of the archive. `credit`: by section, what is believed of its text. `ancestor`: the last prompt
    that both this member and the assignment's parent come from, which may be one of them; None in old journals.
    `trained`: its scores on the training examples that it was run on, by their ids."""

    candidate: int
    prompt: Prompt
    scores: Scores
    credit: Mapping[str, Credit]
    ancestor: Prompt | None = None
    trained: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tried:
    """An edit that was measured: the operator, what it made of the section, and the paired mean gain over its parent
    with its standard error, on `n` examples. `survived`: it won its race."""

    operator: str
    text: str
    gain: float
    error: float
    n: int
    survived: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """Controller to Proposer: apply `operator` to `section` of `parent`.

    `gradient`: what the Critic said of this section ("" if nothing), and `diagnosis` all that it said of the parent.
    `outcomes`: the parent's training minibatch. `scores`: the parent's validation scores, all of them. `credit`: the
    parent's, see `Partner`. `partners`: other members of the archive, best first, for an operator that `combines` and
    for a person's edit; () for all others. `best`: the highest mean score that is known among the parent and the best
    others; None in old journals, where `partners` were told to all. `edited`: the prompt that a person has made, or
    that the phase which shrinks the result has cut: no operator's work. In that phase `scores` are those of the
    prompt that it began with. `tried`: the last edits of this section that were measured, oldest first.
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """Proposer to Evaluator: an edited prompt.

    It races against its parent or, if it took sections from other members, the best of those that it came from.
    `parent_scores` () and `parent_tokens` 0 for the first prompt, which has nobody to race against. `recalled`: the
    experiences that the Proposer was shown. `section`: the one that was edited, "" in old journals. `shrunk`: it is
    the parent with something cut, and races for being no worse. `drafts`: other texts of the same edit, of which the
    best on training examples races. `known`: ids of the training examples that its parent was run on.
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
    """Evaluator to Critic: how a candidate did.

    `scores` holds what was asked before the race ended, all of the split if `survived`. `gain`: the paired mean gain
    over the parent on the examples answered by both, its standard error, and their number (0 for the first prompt).
    `outcomes`: a training minibatch, empty unless `survived`. `value`: the corpus metric over all that was answered.
    `refused` and `truncated` replies are answers like others, counted apart; so are those that are `unreadable`, one
    of which is `quoted` ("" for none), and those without a text, by what came instead (`textless`). `filled`: about
    the tokens that are filled into the prompt for each input, beside the input. `unread`: examples of the minibatch
    that were left unanswered. `cut`: the cap that refused the minibatch, as `BudgetExhausted.name` has it; "" if none
    did. `too_long`: ids of the examples that do not fit into the model's window with it, nor with its parent; they
    are not asked, and not `unanswered`. `drafted`: questions that were asked to choose among drafts. `usage`: of the
    validation replies, all together. All 0 or empty in old journals.
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

    @property
    def tokens(self) -> int:
        """About how long the prompt is as it is sent, without the input."""
        return self.prompt.tokens + self.filled

    @property
    def asked(self) -> int:
        """Validation and training examples that the candidate and its drafts were run on, answered or not."""
        answered = sum(score is not None for score in self.scores)
        return answered + self.unanswered + len(self.outcomes) + self.unread + self.drafted


Missing = Literal["", "unreadable", "refused", "too long", "call", "budget"]
"""Why a critique says nothing: "": it need not, or it does. unreadable: the reply was no critique. refused, too long:
the provider refuses the request for good. call: it failed after its retries. budget: a cap."""


@dataclass(frozen=True, slots=True)
class Critique:
    """Critic to Controller: the evaluation, and by section name textual gradients and measured credit; a section may
    have neither. `cut`: the cap that refused them and ends the search, as `BudgetExhausted.name` has it; "" if none
    did. `missing`: why there are no gradients where there should be some. `diagnosis`: all that was said.
    `doubtful`: ids of training examples whose expected answers seem wrong."""

    assignment: int
    evaluation: Evaluation
    gradients: Mapping[str, str]
    credit: Mapping[str, Credit] = field(default_factory=dict)
    cut: str = ""
    missing: Missing = ""
    diagnosis: str = ""
    doubtful: tuple[str, ...] = ()

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
"""Failures that say nothing of an assignment: a run that goes on takes it up again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Anyone to Controller: this assignment ended without a critique.

    rejected: the edit would break the prompt, or changes nothing. unreadable: the reply was no edit. too long: a
    request for it, or with it, does not fit into a model's window, or the prompt is longer than any may be. call: a
    model call failed after its retries. budget: a cap that ends the search. allowance: a cap of this operator alone.
    inapplicable: the operator had nothing to work with. dropped: an agent answered with nothing. raised: an agent's
    exception, which fails the run unless such are to be skipped. stopped: the run ended first.
    `text`: what the section would have held, for an edit that was rejected or too long, if that is known. `cap`: of a
    budget or an allowance, as `BudgetExhausted.name` has it; "" in old journals.
    """

    assignment: int
    kind: FailureKind
    reason: str
    text: str = ""
    cap: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Team or person to Controller: issue no more assignments, and finish when those in flight have ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Person to Controller: issue no assignment until told to continue, or until another process goes on."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Person to Controller: the pause is over."""


@dataclass(frozen=True, slots=True)
class Change:
    """Person to Controller: the setting of this dotted name has this value from now on; None: a cap is lifted.
    `instead`: the value that the configuration has for it."""

    setting: str
    value: float | None
    instead: float | None


@dataclass(frozen=True, slots=True)
class Freeze:
    """Person to Controller: no assignment that is issued from now on may edit this section."""

    section: str


@dataclass(frozen=True, slots=True)
class Inject:
    """Person to Controller: let this prompt be the candidate of the next assignment."""

    prompt: Prompt


Command = Stop | Pause | Continue | Change | Freeze | Inject


@dataclass(frozen=True, slots=True)
class Conclude:
    """Controller to itself: the search is over, stopped by this, after `made` assignments of operators; from here on
    its result is shrunk."""

    stopped_by: str
    made: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Controller to team: the search is over. `stopped_by` says what ended it."""

    stopped_by: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """Team, on record: the run goes on after it had ended or was ended. What stopped it before is void from here on:
    each `Stop`, each `Failure` of the budget, each `Critique` that a cap cut short, and those that nobody was told
    of. `seconds`: how long the run had worked until then. `reopened`: operators whose own caps were raised, and who
    are offered again. `more`: there is more to spend than before, a cap or the number of assignments, or another aim:
    a search whose result was being shrunk is a search again. `target` and `patience`: the search's aims from now on;
    None: it has none."""

    seconds: float
    reopened: tuple[str, ...] = ()
    more: bool = False
    target: float | None = None
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Of an observer, on record: it raised at the message that caused this, and the run went on."""

    observer: str
    reason: str


Message = Assignment | Candidate | Evaluation | Critique | Failure | Command | Conclude | Finished | Resumed | Fault


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message on its way. `cause`: the id of the envelope that its sender was handling; `time`: Unix seconds."""

    id: int
    cause: int | None
    sender: str
    to: str
    time: float
    message: Message
