"""A synthetic, deterministic world: a tiny task whose score is a pure function of the prompt, and a scripted model.

The task model answers an example right when the prompt's `rule` section holds the example's key word, so a prompt's
score is the share of key words that it holds. The proposer's model adds a word; which one depends on the request.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import anyio.lowlevel

from agents.archive.choices import Choices
from agents.archive.credit import LeaveOneOut
from agents.operators.operator import Context, Operator, of_kinds
from agents.prompting.forward import Concurrency, Forward
from agents.prompting.retrieval_slots import RetrievalSlots, open_slots
from agents.ring.agent import Agent
from agents.ring.controller import Controller, SearchSettings
from agents.ring.critic import Critic
from agents.ring.evaluator import Evaluator, RaceSettings
from agents.ring.injected_edit import InjectedEdit
from agents.ring.observers import Observer
from agents.ring.proposer import Proposer
from agents.ring.shrinking import Shrink
from agents.ring.team import Opening, Person, Team
from agents.selectors.msgd import MSGD
from protocols.answers.labels import LabelParser
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.bus import Bus
from protocols.embedding import HashedNgrams
from protocols.errors import BadReply, CallTimeout, ConnectionFailed, ModelError
from protocols.messages import FIRST, Assignment, Critique, Envelope, Failure
from protocols.metrics.match import Accuracy
from protocols.model import ChatMessage, ChatModel, Reply, Request, Usage
from protocols.prompt import Prompt, Section
from protocols.providers.responses.figures import about
from protocols.task import Example, Task, TaskKind
from protocols.wrappers.metered import MeteredModel

WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath")


def examples(prefix: str, count: int) -> tuple[Example, ...]:
    return tuple(
        Example(f"{prefix}{n}", {"text": f"{prefix} {n} {WORDS[n % len(WORDS)]}"}, "yes" if n % 3 else "no")
        for n in range(count)
    )


KIND = TaskKind("classification", parse=LabelParser(("no", "yes")))
TASK = Task(
    "synthetic",
    examples("t", 12),
    examples("v", 16),
    examples("h", 8),
    Accuracy(KIND),
    ("text",),
    KIND,
)
NO_CORPUS: RetrievalSlots = open_slots(TASK, ())
SETTINGS = SearchSettings(width=2, assignments=12)
RACE = RaceSettings(alpha=0.3, critique=6, max_unanswered=0.5)
NO_CAPS = Caps()
FIRST_PROMPT = Prompt((Section("rule", "task", "Know: amber"), Section("input", "task", "Text: {text}", frozen=True)))


def one(made: Prompt | Sequence[Prompt]) -> Prompt:
    """What an operator has made; of several drafts the first."""
    return made if isinstance(made, Prompt) else made[0]


def value(prompt: Prompt) -> float:
    """The score of a prompt over all of `WORDS`, from its text alone."""
    return sum(word in prompt["rule"].text for word in WORDS) / len(WORDS)


def digest(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


async def at_once() -> None:
    """No delay at all."""


@dataclass
class Oracle:
    """A scripted `ChatModel`: its answer is a function of the request alone. `calls` and `tokens` are its own books,
    `uncertain` the estimated tokens of calls that ended without an answer and may have been billed.

    `fault` says which error a request meets (None: none). `delay` is awaited before each answer.
    """

    fault: Callable[[Request], ModelError | None] = lambda request: None
    delay: Callable[[], Awaitable[None]] = at_once
    name: str = "scripted"
    calls: int = 0
    answered: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    uncertain: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.delay()
            if (error := self.fault(request)) is not None:
                raise error
        except BaseException as error:
            if not isinstance(error, ModelError) or isinstance(error, BadReply | CallTimeout | ConnectionFailed):
                self.uncertain += about(request)
            raise
        finally:
            self.in_flight -= 1
        text = answer([(message.speaker, message.text) for message in request.messages])
        usage = Usage(sum(len(message.text) for message in request.messages), len(text))
        self.answered += 1
        self.tokens.update(input=usage.input, output=usage.output)
        return Reply(text, usage, latency=0.25, model=self.name)


def answer(turns: list[tuple[str, str]]) -> str:
    """What the world answers to a conversation, as (speaker, text) pairs: an edit, a critique or a label."""
    said = "\n".join(text for _, text in turns)
    if "between <new> and </new>" in said:
        known = "".join(re.findall(r"Know:(.*)", said)[:1])
        return f"<new>Know:{known} {WORDS[digest(said) % len(WORDS)]}</new>"
    if "between <critique> and </critique>" in said:
        return "<critique>\n[rule] name more words\n</critique>"
    number, word = turns[-1][1].split()[-2:]
    right = "yes" if int(number) % 3 else "no"
    wrong = "no" if right == "yes" else "yes"
    return right if word in turns[0][1] else wrong


class AddWord:
    """Asks the model for nothing: adds a word that the seed draws."""

    name = "add_word"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return of_kinds(prompt, "task")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        text = assignment.prompt[assignment.section].text
        return assignment.prompt.edit(assignment.section, f"{text} {context.rng.choice(WORDS)}", context.task.fields)


class AskWord:
    """Asks the proposer's model for the new text."""

    name = "ask_word"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return of_kinds(prompt, "task")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        section = assignment.prompt[assignment.section].text
        asked = f"{section}\nReply between <new> and </new>, please. {assignment.assignment}"
        reply = await context.model.complete(Request((ChatMessage("user", asked),), sample=assignment.assignment))
        new = reply.text.removeprefix("<new>").removesuffix("</new>")
        return assignment.prompt.edit(assignment.section, new, context.task.fields)


def shuffled(rng: Random, most: int = 4) -> Callable[[], Awaitable[None]]:
    """A delay of a random number of checkpoints, so that tasks overtake each other."""

    async def delay() -> None:
        for _ in range(rng.randrange(most + 1)):
            await anyio.lowlevel.checkpoint()

    return delay


@dataclass
class Ring:
    """A whole ring around one model, with a tap of its own; `wrap` may replace or wrap agents. `last`: the id of the
    last envelope of an earlier ring."""

    model: Oracle = field(default_factory=Oracle)
    settings: SearchSettings = SETTINGS
    race: RaceSettings = RACE
    caps: Caps = NO_CAPS
    scopes: Mapping[str, Caps] | None = None
    seed: int = 0
    operators: tuple[Operator, ...] = (AddWord(), AskWord())
    wrap: Callable[[Agent], Agent] = lambda agent: agent
    first: Prompt = FIRST_PROMPT
    credit_share: float = 0.0
    last: int = 0
    observers: Mapping[str, Observer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log: list[Envelope] = []
        self.bus = Bus(lambda: 0.0, self.last)
        self.bus.tap(self._record)
        self.ledger = Ledger(self.caps, {}, lambda: 0.0, self.scopes)
        operators = {operator.name: operator for operator in self.operators}
        self.controller = Controller(
            TASK,
            Choices(operators, TASK, HashedNgrams()),
            MSGD(Random(self.seed)),
            self.settings,
            None,
            Random(self.seed),
            lambda: 0.0,
        )
        forward = Forward(self.metered("task"), TASK, NO_CORPUS, Concurrency(5))
        others: list[Agent] = [
            Evaluator(forward, TASK, self.race, self.seed),
            Critic(self.metered("critic"), TASK, self.credit()),
            InjectedEdit(NO_CORPUS),
            Shrink(NO_CORPUS),
            *(self.proposer(operator) for operator in self.operators),
        ]
        wrapped = [self.wrap(agent) for agent in others]
        self.team = Team(self.controller, wrapped, self.bus, observers=self.observers)

    def proposer(self, operator: Operator) -> Proposer:
        return Proposer(operator, self.metered(f"proposer/{operator.name}"), NO_CORPUS, None, self.seed, 1e-5)

    def credit(self) -> LeaveOneOut | None:
        if not self.credit_share:
            return None
        forward = Forward(self.metered("credit"), TASK, NO_CORPUS, Concurrency(5))
        return LeaveOneOut(forward, self.credit_share)

    def metered(self, role: str) -> ChatModel:
        return MeteredModel(self.model, self.ledger, role)

    async def _record(self, envelope: Envelope) -> None:
        self.log.append(envelope)

    async def run(self, person: Person | None = None) -> str:
        return await self.team.run(Opening([(self.controller.begin(self.first), None)]), person)

    def endings(self) -> Counter[int]:
        """How often each assignment on the bus has ended; an ending without a beginning counts too."""
        begun = Counter({e.message.assignment: 0 for e in self.log if isinstance(e.message, Assignment)})
        for envelope in self.log:
            if isinstance(envelope.message, Critique | Failure) and envelope.message.assignment != FIRST:
                begun[envelope.message.assignment] += 1
        return begun
