"""Common parts of the operators that have a model write the text of a section."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import TypeVar

from agents.operators.operator import Context, of_kinds, part
from agents.programs.calls import Calls, answering, calls_of, scored
from agents.prompting.asking import program_limit
from agents.prompting.blocks import Block, cut, remark
from agents.prompting.groups import Embed
from agents.prompting.inside import place_of
from agents.prompting.material import (
    USES,
    error_blocks,
    right_blocks,
    task_block,
    tried_block,
)
from agents.prompting.requests import (
    PROGRAM_ROLE,
    ROLE,
    complete,
    compose,
    filled,
    instruction,
    read_tagged,
    show_prompt,
)
from agents.prompting.retrieval_slots import places
from agents.prompting.wording import (
    ALOUD,
    ANOTHER,
    BESIDE,
    COVER,
    EXPLAIN,
    NAMED,
    SILENT,
    UNHARMED,
    UNNAMED,
    at_most,
    count_words,
    explained,
    writing_clause,
)
from memory.judgement import Judged
from protocols.concurrency.threads import in_thread
from protocols.embedding import HashedNgrams
from protocols.errors import EditRejected, UnreadableReply
from protocols.files.prompt_file import saved_section
from protocols.messages import Assignment, Outcome
from protocols.model import ChatMessage, Reply, Request
from protocols.prompt import Kind, Prompt, Section, braced, estimate_tokens, placeholders
from protocols.task import Task
from protocols.wrappers.window import spare

Edit = TypeVar("Edit")
Blocks = Callable[[], Sequence[Block]]
SHOWN = 2
"""Maximum number of successful past edits shown to the model; as many unsuccessful ones are shown, too."""
TAGS = re.compile(
    r"</?(?:new|part|task|prompt|errors|errors_in_all|more_errors|right|right_replies|left_out|data|diagnosis|tried|experience|first|second"
    r'|only_first_right|only_second_right|both_wrong)(?: [a-z]+="[^"\n]*")*>'
)
"""The tags of a request's blocks; other tags are plain text."""
WORDS: Mapping[Kind, int] = {
    "task": 40,
    "format": 40,
    "reasoning": 120,
    "reminders": 60,
    "knowledge": 120,
    "tool": 60,
}
"""Maximum number of words of a text, by kind of section. A text that explains the answers may have `DEFINITIONS`
more, and then `EACH_ANSWER` or `EACH_TYPE` for each answer; one that describes a tool, `EACH_FIELD` a line."""
DEFINITIONS = 100
EACH_ANSWER, EACH_TYPE, EACH_FIELD = 15, 50, 15
GROWTH = 1.2
"""Factor by which a text that already exceeds its limit may grow: it has survived, or it is the user's."""
INPUTS = 4096
"""Size of the cache of embedded inputs: the same training examples recur."""
LEAST = 20
"""Minimum number of characters of a sentence to be recognised as copied from the instruction; a shorter one may be
chance."""
REPLY_FORM = (
    "Think first. Then write the whole new text of the part between <new> and </new>; it takes the place of the text "
    "that stands there now."
)
"""Ends every instruction, including a user's own, because the parser needs the tags."""


class Writer:
    """An operator whose text a model writes: the base of the built-in ones and of a user's own, which need only
    `name`, `kinds` and `asks` (docs/operators.md)."""

    name: str
    kinds: tuple[Kind, ...] = ()
    """The kinds of section that it edits."""
    asks = ""
    """The instruction; if empty, the text of `file` beside this module."""
    file = ""
    inner_file = ""
    """The same for prompts of a program whose replies are not the answer; if empty, `file`."""
    form = REPLY_FORM
    texts = 1
    """Number of texts in a reply."""
    may_be_empty = False
    """Whether the new text may be empty."""

    def targets(self, prompt: Prompt, task: Task) -> Sequence[str]:
        """The sections of its kinds."""
        return of_kinds(prompt, *self.kinds)

    async def edit(self, assignment: Assignment, context: Context) -> Prompt | Sequence[Prompt]:
        """Ask for the section's text, see `write`."""
        return await self.write(assignment, context)

    @cached_property
    def _embed(self) -> Embed:
        return lru_cache(INPUTS)(HashedNgrams().vector)

    async def write(
        self, assignment: Assignment, context: Context, blocks: Blocks = tuple, words: int | None = None
    ) -> Prompt:
        """The parent with the section's text as the model writes it. `blocks` makes the blocks of this operator.

        :raises UnreadableReply, EditRejected: see `ask` and `edited`.
        """
        question = await in_thread(self.question, assignment, context, words)
        read = partial(self._read, assignment=assignment, context=context, question=question)
        return await ask(self.composed(assignment, context, question, blocks), question, read, context)

    def question(self, assignment: Assignment, context: Context, words: int | None = None) -> str:
        """The instruction, with the facts about the section, the limit on words and the format of the reply."""
        section, calls = assignment.prompt[assignment.section], calls_of(assignment.prompt, assignment.outcomes)
        most = words or most_words(section, assignment.prompt, context.task, calls)
        most = int(min(most, within(assignment, context)))
        told = {
            "part": section.name,
            "use": USES[section.kind],
            "causes": NAMED if assignment.gradient or not assignment.diagnosis else UNNAMED,
            **clauses(context.task, assignment.prompt, section, calls),
        }
        text = self.instruction(told, inner(section, calls))
        limit = at_most(most, assignment.prompt.of(section.prompt), context.task)
        limit = limit.replace(".", " each.") if self.texts > 1 else limit
        place = f"\n{place_of(section, calls)}" if calls else ""
        another = ANOTHER if assignment.twins else ""
        return f"{text}{place}\n{kept(section, context.task)}{another}{limit}\n{self.form}"

    def instruction(self, values: Mapping[str, str], inner: bool = False) -> str:
        """The instruction, with `values` in place of their names in braces. `inner`: for a prompt of a program whose
        reply is not the answer."""
        file = self.inner_file if inner and self.inner_file else self.file
        return filled(self.asks or instruction("agents.operators", file), values)

    def composed(
        self, assignment: Assignment, context: Context, question: str, blocks: Blocks = tuple
    ) -> Callable[[], Request]:
        """A function that composes the request: shared blocks, then `blocks`, then past edits and the question."""

        def request() -> Request:
            now = part(assignment.prompt, assignment.section)
            known = {saved_section(now), *(tried.text for tried in assignment.tried)}
            material = [
                *shared(assignment, context, self._embed),
                *blocks(),
                tried_block(assignment, now.text),
                remark("experience", show_recalled(context.recalled, known)),
            ]
            longest = self.texts * self.longest(assignment, context.task)
            role = PROGRAM_ROLE if len(assignment.prompt.names) > 1 else ROLE
            return compose(material, question, assignment.assignment, longest, context.model, role)

        return request

    def longest(self, assignment: Assignment, task: Task) -> int:
        """Maximum number of tokens of a new text."""
        calls = calls_of(assignment.prompt, assignment.outcomes)
        return longest(assignment.prompt[assignment.section], assignment.prompt, task, calls)

    def _read(self, reply: Reply, assignment: Assignment, context: Context, question: str) -> Prompt:
        text = read_tagged(reply.text, "new", reply.finish, self.may_be_empty)
        return edited(text, question, assignment, context)


async def ask(
    composed: Callable[[], Request], question: str, read: Callable[[Reply], Edit], context: Context
) -> Edit:
    """Ask the model, and return the edit that `read` makes of the reply. A reply that cannot be used is shown to the
    model once, with the reason, and asked for again. Both functions are called in threads.

    :raises UnreadableReply, EditRejected: `read` raises it for the second reply, too.
    """
    request, reply = await complete(context.model, composed)
    try:
        return await in_thread(read, reply)
    except (UnreadableReply, EditRejected) as error:
        reason = f"That cannot be used: {error}. Once more:\n\n{question}"
        said = ChatMessage("assistant", reply.text.strip() or "(nothing)"), ChatMessage("user", reason)
    again = replace(request, messages=(*request.messages, *said))
    if (over := -spare(context.model, again)) > 0:
        shorter = cut(said[0].text, max(1, estimate_tokens(said[0].text) - int(over)))
        again = replace(request, messages=(*request.messages, ChatMessage("assistant", shorter), said[1]))
    return await in_thread(read, await context.model.complete(again))


def shared(assignment: Assignment, context: Context, embed: Embed) -> list[Block]:
    """The blocks that are in every writer's request, in order."""
    prompt, calls = assignment.prompt, calls_of(assignment.prompt, assignment.outcomes)
    marked = assignment.section if assignment.section in {s.name for s in prompt} else ""
    return [
        task_block(
            context.task,
            prompt,
            assignment.scores,
            assignment.best,
            context.slots.spare(prompt),
            calls,
        ),
        show_prompt(calls.ordered(prompt) if calls else prompt, context.task.placeholders, marked),
        *error_blocks(assignment.outcomes, embed, calls, assignment.doubtful or ()),
        *right_blocks(assignment.outcomes, calls),
        remark("diagnosis", diagnosis(assignment)),
    ]


def diagnosis(assignment: Assignment) -> str:
    """The Critic's diagnosis of the parent, and those lines of the section's gradient that are not part of it: a
    user's critic may give gradients only."""
    apart = [line for line in assignment.gradient.splitlines() if line.strip() not in assignment.diagnosis]
    return "\n".join([assignment.diagnosis, *apart]).strip("\n")


def edited(text: str, question: str, assignment: Assignment, context: Context) -> Prompt:
    """The parent with this text in the assigned section.

    :raises UnreadableReply: the text repeats the instruction.
    :raises EditRejected: the text loses or invents a placeholder, or loses a name that the parser needs.
    """
    prompt = written(text, question, assignment, context, assignment.section)
    check_names(prompt, assignment, context.task, text)
    return prompt


def check_names(prompt: Prompt, assignment: Assignment, task: Task, text: str) -> None:
    """Check the names that the parser needs. In a program, they belong into the prompt whose reply is the answer.

    :raises EditRejected: the edit loses one.
    """
    answers = answering(assignment.prompt, assignment.outcomes)
    task.kind.names.check(scored(assignment.prompt, answers), scored(prompt, answers), text)


def inner(section: Section, calls: Calls | None) -> bool:
    """Whether the section belongs to a prompt of a program whose reply is not the answer."""
    return calls is not None and calls.inner(section.prompt)


def written(text: str, question: str, assignment: Assignment, context: Context, name: str) -> Prompt:
    """The parent with this text in the section `name`. Lost names are not checked: another section may have them now.

    :raises UnreadableReply, EditRejected: see `edited`.
    """
    before = assignment.prompt[name].text
    if leaked := _leaked(text, before, question):
        raise UnreadableReply(f"the text repeats the instruction: {leaked!r}")
    if lost := places(before) - places(text):
        raise EditRejected(f"section {name}: the edit loses {braced(lost)}", text=text)
    if invented := places(text) - places(before):
        raise EditRejected(f"section {name}: the edit invents {braced(invented)}", text=text)
    return assignment.prompt.edit(name, text, context.task.placeholders)


def explains(section: Section, prompt: Prompt) -> bool:
    """Whether the section explains the answers: definitions do, and the task if no definitions section of its prompt
    can be edited."""
    beside = prompt.of(section.prompt)
    return section.kind == "definitions" or (
        section.kind == "task" and not any(s.kind == "definitions" and not s.frozen for s in beside)
    )


def longest(section: Section, prompt: Prompt, task: Task, calls: Calls | None = None) -> int:
    """Maximum number of tokens of a section's new text, at four tokens for three words."""
    return max(estimate_tokens(section.text), 4 * most_words(section, prompt, task, calls) // 3)


def most_words(section: Section, prompt: Prompt, task: Task, calls: Calls | None = None) -> int:
    """Maximum number of words of a section's new text. `calls`: of a program with several prompts."""
    most = WORDS.get(section.kind, 0)
    if explains(section, prompt):
        most += DEFINITIONS + words_each(task) * len(() if inner(section, calls) else explained(task))
    if section.kind == "tool":
        most += EACH_FIELD * section.text.count("\n")
    if section.kind == "format" and not inner(section, calls):
        most += count_words(", ".join(task.kind.names.all))
    if (there := count_words(section.text)) > most:
        most = round(GROWTH * there)
    return most


def within(assignment: Assignment, context: Context) -> float:
    """Maximum number of words of the section for the prompt to stay within its cap and the window of the task's
    model, at four tokens for three words."""
    room = context.slots.room_for(assignment.prompt, assignment.section, scores=assignment.scores)
    return room if room == math.inf else max(1, 3 * int(room) // 4)


def clauses(task: Task, prompt: Prompt, section: Section | None = None, calls: Calls | None = None) -> dict[str, str]:
    """The clauses of an instruction that depend on the kind of task and of the section, None for several, and on
    whether it has answers to explain, which in a program only the prompt has whose reply is the answer."""
    apart = section is not None and inner(section, calls)
    explaining = section is None or explains(section, prompt)
    closed = bool(explained(task)) and explaining and not apart
    beside = prompt if section is None else prompt.of(section.prompt)
    each = at_most(words_each(task), beside, task).rstrip(".").lower()
    clause = writing_clause(task, section.kind if section else None, explaining, apart)
    return {
        "clause": clause.replace("{steps}", steps_of(task, prompt, section, apart)),
        "cover": COVER if closed else "",
        "unharmed": UNHARMED if section is not None and section.text else "",
        "explain": EXPLAIN.replace("{each}", each) if closed else "",
        "beside": BESIDE if closed else "",
    }


def steps_of(task: Task, prompt: Prompt, section: Section | None, apart: bool) -> str:
    """Where the steps of a section that asks for reasoning are carried out. `apart`: the reply is not the answer."""
    if section is None or section.kind != "reasoning":
        return ""
    if not apart and (task.kind.name == "generation" or not (task.kind.thought or task.kind.name == "reasoning")):
        return SILENT
    then = prompt.edit(section.name, section.text or "-", task.placeholders).of(section.prompt)
    return ALOUD.replace("{tokens}", f"{program_limit(task, section.prompt, then):,}")


def words_each(task: Task) -> int:
    """Words for each answer; an entity type needs more, because its boundaries have to be explained, too."""
    return EACH_TYPE if task.kind.name == "ner" else EACH_ANSWER


def kept(section: Section, task: Task) -> str:
    """The instruction to keep the placeholders of a section; "" if it has none."""
    names = (*sorted(placeholders(section.filled, task.placeholders)), *places(section.filled))
    held = [braced([name]) for name in names]
    they = "as it is: it is" if len(held) == 1 else "as they are: they are"
    return f"Keep {', '.join(held)} {they} filled for each input.\n" if held else ""


def failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes below the full score, worst first."""
    return sorted((o for o in outcomes if o.score < 1.0), key=lambda outcome: outcome.score)


def show_recalled(recalled: Sequence[Judged], known: Collection[str]) -> str:
    """Past edits of similar sections with their measured rewards, without those that resulted in one of the `known`
    texts: the current text, and texts that the request shows elsewhere."""
    others = [edit for edit in recalled if edit.recalled.experience.after not in known]
    worked = [edit for edit in others if edit.recalled.experience.reward > 0][:SHOWN]
    failed = [edit for edit in others if edit.recalled.experience.reward < 0][-SHOWN:]
    return "\n\n".join(_past(edit) for edit in [*worked, *failed])


def _past(edit: Judged) -> str:
    past = edit.recalled.experience
    ending = "kept" if past.outcome == "survived" else "dropped"
    measured = f"{past.reward:+.3f} on {past.evidence} examples, {ending}"
    return f"{past.operator}, on the task {past.task} ({measured}) wrote:\n{past.after}"


def _leaked(text: str, before: str, question: str) -> str:
    """A tag of the request's blocks, or a sentence of its instruction, that the text contains; "" for none."""
    lines = question.split("\n")
    sentences = [*lines, *(sentence for line in lines for sentence in re.split(r"(?<=[.?:])\s", line))]
    signs = [*TAGS.findall(text), *(sentence for sentence in sentences if len(sentence) >= LEAST)]
    return next((sign for sign in signs if sign in text and sign not in before), "")
