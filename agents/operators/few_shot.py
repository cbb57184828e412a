"""few_shot: show worked examples from the training split (after Brown et al., arXiv 2005.14165)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from random import Random

import numpy as np

from agents.operators.operator import Context, of_kinds, saved
from agents.programs.bound import Values
from agents.programs.calls import Calls, calls_of
from agents.programs.demonstrations import Demonstration, corrected, demonstrations
from agents.prompting.requests import framed, show_example, show_inputs, show_turns, turned
from agents.prompting.retrieval_slots import EXAMPLES, places
from agents.prompting.shot_policy import COUNTS, POLICIES, ShotPolicy, Situation, choose_policy, shown
from memory.experience import Experience
from protocols.concurrency.threads import in_thread
from protocols.embedding import HashedNgrams, Vector
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome, Partner
from protocols.prompt import Form, Prompt, estimate_tokens, estimate_turn, placeholders
from protocols.task import Example, Task
from protocols.turns import dump_turns, images_of, load_turns

NOISE = 0.5
CHECKED = 8
"""Training examples whose bare answers are parsed, to test whether bare answers can serve as replies."""
CHATTER = 16
"""Maximum number of tokens beside the answer for a reply to count as a bare answer."""


class FewShot:
    """Applies to examples sections. No model is asked: the edit chooses training examples and how to show them.

    The form, the number, and whether each input gets the examples nearest to it are drawn according to the rewards of
    past edits (`shot_policy.py`). A fixed set takes examples in turn from each target, so that no answer is favoured
    (majority label bias, Zhao et al., arXiv 2102.09690), and from each target the example farthest from those already
    taken, preferring those near a failed input. Correct whole replies of the model may be shown instead of bare
    answers (bootstrapping, as in STaR, arXiv 2203.14465, and DSPy, arXiv 2310.03714), and must be if the parser does
    not read bare answers. Examples that do not fit within `prompt.max_tokens`, or into the window of the task's model
    with its longest inputs, are not shown.

    In a program of several prompts, each prompt has worked examples of its own, made of its calls that the parent's
    outcomes tell of (`demonstrations.py`), the same for all inputs: the training examples of the task fit no inner
    prompt.
    """

    name = "few_shot"
    silent = True
    shows = 8

    def __init__(self) -> None:
        self._embedder = HashedNgrams()
        self._embedded: tuple[Task, Vector] | None = None

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The sections of worked examples."""
        return of_kinds(prompt, "examples")

    def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
        """Always: it is told of the others so as not to show what one of them shows."""
        return True

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """Show the chosen examples, most useful last, nearest to the input.

        :raises InapplicableError: there is no training example, no new way to show one, or no room for one.
        """
        return await in_thread(self._edit, assignment, context)

    def _edit(self, assignment: Assignment, context: Context) -> Prompt:
        prompt, task = assignment.prompt, context.task
        if (calls := calls_of(prompt, assignment.outcomes)) is not None:
            return self._of_program(calls, assignment, context)
        reasons = task.kind.name == "reasoning"
        recalled = [edit.recalled.experience for edit in context.recalled]
        own = [experience for experience in recalled if experience.operator == self.name]
        answers = bare_replies(task.train, task)
        readable = are_read(answers.values(), task)
        chatter = CHATTER if readable and not reasons else None
        replies = worked_out(assignment.outcomes, answers, chatter, task.good)
        now = saved(prompt, assignment.section)
        others = {shown(saved(partner.prompt, assignment.section)) for partner in assignment.partners}
        possible = _possible(now, own, task, readable, len(replies), others)
        if not possible:
            reason = "every training example that can be shown is shown already, in every way"
            if not task.has_targets:
                reason = f"there are no targets, and no reply has {task.good:g} or more to be shown instead"
            elif not readable:
                reason = "the parser reads no bare answer, and no reply has come out right to be shown instead"
            raise InapplicableError(reason)
        each = context.slots.each(prompt, EXAMPLES, turns=True)
        situation = Situation(task.name, reasons, frozenset(answers.values()), context.token_price, each)
        policy = choose_policy(own, possible, situation, context.rng)
        return self.show(policy, replies, assignment, context)

    def fits(self, prompt: Prompt, section: str, outcomes: Sequence[Outcome]) -> bool:
        """Whether a prompt of a program has calls to show; nothing else is new there. Always without a program."""
        calls = calls_of(prompt, outcomes)
        name = prompt[section].prompt
        if calls is None or not outcomes or demonstrations(name, outcomes):
            return True
        return name == calls.answers and calls.whole

    def _of_program(self, calls: Calls, assignment: Assignment, context: Context) -> Prompt:
        """Worked examples of the section's prompt.

        :raises InapplicableError: no call can be shown, or there is no room for one.
        """
        section, task, outcomes = assignment.prompt[assignment.section], context.task, assignment.outcomes
        part = assignment.prompt.of(section.prompt)
        answers = bare_replies(task.train, task)
        own = demonstrations(section.prompt, outcomes)
        bare: Mapping[str, Demonstration] = own
        full: Mapping[str, Demonstration] = {}
        labelled = section.prompt == calls.answers and calls.whole and are_read(answers.values(), task)
        if labelled:
            bare = corrected(section.prompt, outcomes, {name: text for name, text in answers.items() if text})
            full = {name: own[name] for name in worked_out(outcomes, answers, CHATTER) if name in own}
        now = saved(assignment.prompt, assignment.section)
        here = shown(now)
        possible = [policy for policy in POLICIES if _shows_calls(policy, here, len(bare), len(full))]
        if not possible:
            raise InapplicableError("no example came out right whose calls of this prompt could be shown")
        texts = [show_call(part, task, one, "turns") for one in bare.values()]
        each = sum(_size(text, "turns") for text in texts if text) / max(1, len(texts))
        own_edits = [e for e in (r.recalled.experience for r in context.recalled) if e.operator == self.name]
        reasons = task.kind.name == "reasoning"
        told = frozenset(answers.values()) if labelled else None
        situation = Situation(task.name, reasons, told, context.token_price, each)
        policy = choose_policy(own_edits, possible, situation, context.rng)
        if not policy.count:
            return assignment.prompt.edit(assignment.section, "", task.placeholders, "system")
        chosen = full if policy.replies else bare
        written = {name: show_call(part, task, one, policy.form) for name, one in chosen.items()}
        return self._shown(policy, [written.get(e.id, "") for e in task.train], assignment, context)

    def show(
        self, policy: ShotPolicy, replies: Mapping[str, str], assignment: Assignment, context: Context
    ) -> Prompt:
        """The parent with worked examples shown this way, or without any. `replies`: correct replies by the ids of
        their examples, used if whole replies are shown.

        :raises InapplicableError: there is no room for an example.
        """
        if not policy.count:
            return assignment.prompt.edit(assignment.section, "", context.task.placeholders, "system")
        if policy.nearest:
            return self._per_input(policy, assignment, context)
        return self._fixed(policy, replies if policy.replies else {}, assignment, context)

    def _per_input(self, policy: ShotPolicy, assignment: Assignment, context: Context) -> Prompt:
        """As many examples for each input, up to the count, as fit beside the longest inputs.

        :raises InapplicableError: there is no room for an example.
        """
        for count in range(policy.count, 0, -1):
            text = per_input(count)
            prompt = assignment.prompt.edit(assignment.section, text, context.task.placeholders, policy.form)
            if context.slots.spare(prompt, assignment.scores) >= 0:
                return prompt
        raise InapplicableError("there is no room for an example beside the prompt and the longest inputs")

    def _fixed(
        self, policy: ShotPolicy, replies: Mapping[str, str], assignment: Assignment, context: Context
    ) -> Prompt:
        """The same examples for all inputs, chosen from those with `replies` (by example id), or from all if there
        are no replies.

        :raises InapplicableError: there is no room for an example.
        """
        prompt, task = assignment.prompt, context.task
        texts = [
            _text(policy, prompt, task, e, replies.get(e.id)) if not replies or e.id in replies else ""
            for e in task.train
        ]
        return self._shown(policy, texts, assignment, context)

    def _shown(self, policy: ShotPolicy, texts: Sequence[str], assignment: Assignment, context: Context) -> Prompt:
        """As many of the `texts` as the policy shows, one for each training example; "": it cannot be shown.

        :raises InapplicableError: there is no room for an example.
        """
        task, prompt = context.task, assignment.prompt
        first = {text: n for n, text in reversed(list(enumerate(texts)))}  # of those that say the same
        left = [n for n, text in enumerate(texts) if text and first[text] == n]
        if policy.form != "turns":  # only in turns, braces are plain text
            left = [n for n in left if not placeholders(texts[n], task.placeholders) and not places(texts[n])]
        room = context.slots.room_for(prompt, assignment.section, scores=assignment.scores)
        sizes = [_size(text, policy.form) for text in texts]
        failed = [outcome for outcome in assignment.outcomes if outcome.score < 1.0]
        fitting = [n for n in left if sizes[n] <= room]
        count = min(policy.count, len(fitting))
        chosen = _within(room, self._choose(task, fitting, failed, count, context.rng), sizes)
        if not chosen:
            raise InapplicableError("no training example can be shown beside the longest inputs")
        between = "\n" if policy.form == "turns" else "\n\n"
        text = between.join(texts[index] for index in reversed(chosen))
        return prompt.edit(assignment.section, text, task.placeholders, policy.form)

    def _choose(
        self, task: Task, left: Sequence[int], failed: Sequence[Outcome], count: int, rng: Random
    ) -> list[int]:
        """Choose `count` of the training examples with the indices `left`, the most useful first."""
        vectors = self._vectors(task)
        wanted = self._nearness(vectors, failed)
        noise = np.array([rng.random() for _ in vectors], np.float32)
        by_target: dict[str, list[int]] = defaultdict(list)
        for index in left:
            by_target[task.kind.show(task.train[index].target)].append(index)
        targets = sorted(by_target, key=lambda target: (-max(wanted[by_target[target]]), rng.random()))
        useful = wanted + NOISE * noise
        closest = np.full(len(vectors), -np.inf, np.float32)  # the similarity to the nearest one taken
        taken: list[int] = []
        while len(taken) < count:
            for candidates in (by_target[target] for target in targets):
                if candidates and len(taken) < count:
                    worth = useful[candidates] - closest[candidates] if taken else useful[candidates]
                    taken.append(candidates.pop(int(worth.argmax())))
                    np.maximum(closest, vectors @ vectors[taken[-1]], out=closest)
        return taken

    def _vectors(self, task: Task) -> Vector:
        """The embedded training inputs, shape (train, dimension), computed once for a task."""
        if self._embedded is None or self._embedded[0] is not task:
            vectors = np.stack([self._embedder.vector(show_inputs(example.inputs)) for example in task.train])
            self._embedded = (task, vectors)
        return self._embedded[1]

    def _nearness(self, vectors: Vector, failed: Sequence[Outcome]) -> Vector:
        """The similarity of each training example to the nearest failed input, shape (train,), in [-1, 1]."""
        if not failed:
            return np.zeros(len(vectors), np.float32)
        lost = np.stack([self._embedder.vector(show_inputs(outcome.inputs)) for outcome in failed])
        nearness: Vector = (vectors @ lost.T).max(axis=1)
        return nearness


def worked_out(
    outcomes: Sequence[Outcome], answers: Mapping[str, str], chatter: int | None, good: float = 1.0
) -> dict[str, str]:
    """The replies with a score of at least `good` that are more than bare answers, by the ids of their examples.
    `answers`: the bare answers, by id; `chatter`: maximum number of tokens beside the answer for a reply to count as
    bare; None: any further text makes it more than a bare answer."""
    right = [
        o for o in outcomes if o.score >= good and o.finish == "stop" and o.reply.strip() and o.example in answers
    ]
    return {
        outcome.example: outcome.reply
        for outcome in right
        if outcome.reply.strip() != answers[outcome.example]
        and (chatter is None or estimate_tokens(outcome.reply) > estimate_tokens(answers[outcome.example]) + chatter)
    }


def per_input(count: int) -> str:
    """The placeholder that is filled, for each input, with the `count` examples nearest to it."""
    return f"{{{EXAMPLES}:{count}}}"


def _text(policy: ShotPolicy, prompt: Prompt, task: Task, example: Example, reply: str | None) -> str:
    """The worked example as text; "" for one with a blank turn, which providers refuse."""
    if policy.form == "turns":
        turns = show_turns(prompt, task, example, reply)
        return dump_turns(turns) if all(turn.text.strip() for turn in turns) else ""
    return show_example(prompt, task, example)


def show_call(part: Prompt, task: Task, shown: Demonstration, form: Form) -> str:
    """A call of the prompt `part` as a worked example in this form; "" if it would have a blank turn, or show nothing
    that the prompt was rendered with."""
    values = Values({name: value.strip() for name, value in shown.values.items()})
    if form != "turns":
        rendered = any(placeholders(section.filled, values) for section in part)
        return framed(part, values, shown.reply) if rendered else ""
    turns = turned(part, task, values, shown.reply.strip())
    return dump_turns(turns) if all(turn.text.strip() for turn in turns) else ""


def _shows_calls(policy: ShotPolicy, here: ShotPolicy, bare: int, full: int) -> bool:
    """Whether so many calls, or calls with full replies, can be shown this way in a section that shows `here`."""
    if not policy.count:
        return policy != here
    there = full if policy.replies else bare
    return not policy.nearest and there > 0 and policy.count <= max(COUNTS[0], there)


def _size(text: str, form: Form) -> int:
    """Estimated tokens of a worked example as sent, including the separator."""
    if form == "turns":
        return sum(map(estimate_turn, load_turns(text)))
    return estimate_tokens(f"{text}\n\n")


def _within(room: float, chosen: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """The chosen examples that together fit into the room, the most useful first."""
    taken: list[int] = []
    for index in chosen:
        if sizes[index] <= room:
            taken.append(index)
            room -= sizes[index]
    return taken


def _possible(
    now: str, own: Sequence[Experience], task: Task, bare: bool, replies: int, others: Collection[ShotPolicy]
) -> list[ShotPolicy]:
    """The ways to show examples in a section whose text is now `now`; with bare answers if the parser reads these
    (`bare`). A placeholder filled for each input is always the same text, so it counts as new only if it has not lost
    on this task, and no other member has it. Images can be seen only in turns that are filled for each input."""
    here = shown(now)
    lost = {shown(p.after) for p in own if p.before == now and p.task == task.name and p.outcome != "survived"}
    tried, most = {here, *others, *lost}, max(COUNTS[0], len(task.train))
    sees = any(images_of(value) for example in task.train[:CHECKED] for value in example.inputs.values())

    def works(policy: ShotPolicy) -> bool:
        if sees and policy.count and not (policy.nearest and policy.form == "turns"):
            return False
        if policy.replies:
            return policy.count <= replies
        if not policy.count:
            return policy != here
        if policy.nearest:
            return bare and policy not in tried and policy.count <= most and bool(task.train)
        return bare and policy.count <= len(task.train)

    return [policy for policy in POLICIES if works(policy)]


def bare_replies(examples: Iterable[Example], task: Task) -> dict[str, str]:
    """The bare replies, which give the right answer and nothing else, by example id."""
    return {example.id: task.kind.replied(example.target).strip() for example in examples}


def are_read(answers: Iterable[str], task: Task) -> bool:
    """Whether the parser reads most bare answers; a user's parser may need more than that."""
    some = list(islice(filter(None, answers), CHECKED))
    return 2 * sum(_is_read(task, text) for text in some) > len(some)


def _is_read(task: Task, text: str) -> bool:
    try:
        return task.kind.read(text, "stop") is not None
    except Exception:  # the user's parser, on a text that no model has written
        return False
