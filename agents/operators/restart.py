"""restart: rewrite all parts of a prompt once edits of single parts gain nothing (after GEPA, arXiv 2507.19457)."""

from __future__ import annotations

from agents.operators.operator import WHOLE, Context, Progress, Turn, part
from agents.operators.writing import Writer, ask, check_names, clauses, kept, longest, most_words, written
from agents.programs.calls import calls_of
from agents.prompting.material import USES, data_block
from agents.prompting.requests import read_parts
from agents.prompting.wording import at_most
from protocols.concurrency.threads import in_thread
from protocols.errors import UnreadableReply
from protocols.messages import Assignment
from protocols.model import Reply
from protocols.prompt import Prompt, Section
from protocols.task import Task

PLATEAU = 5
"""A prompt is rewritten once for every this many assignments in a row without a gain."""
SEVERAL = (
    "The parts belong to several prompts, whose names come before the dot. Settle first what each prompt gives to "
    "the next, and in which form; what the program reads out of a reply must stay in it."
)


class Restart(Writer):
    """Applies to the prompt as a whole, except worked examples, knowledge and frozen sections. The prompts of a
    program are written together: no other edit can change what passes from one to the next on both sides."""

    name = "restart"
    file = "restart.txt"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The whole prompt, if there are at least two parts to write."""
        return [WHOLE] if len(_parts(prompt)) > 1 else []

    def turn(self, progress: Progress) -> Turn:
        """Due once for every `PLATEAU` assignments in a row without a gain."""
        return "must" if progress.own_idle < progress.idle // PLATEAU else "never"

    def question(self, assignment: Assignment, context: Context, words: int | None = None) -> str:
        """The instruction, with the parts to write and the format of the reply."""
        parts, task = _parts(assignment.prompt), context.task
        calls = calls_of(assignment.prompt, assignment.outcomes)
        told = "; ".join(
            f"{one.name} ({USES[one.kind]}; {limit.rstrip('.').lower()})"
            for one in parts
            if (limit := at_most(most_words(one, assignment.prompt, task, calls), assignment.prompt, task))
        )
        text = self.instruction({"parts": told, **clauses(task, assignment.prompt)})
        places = f"\n{SEVERAL}" if calls else ""
        return f"{text}{places}\n{''.join(kept(one, task) for one in parts)}{self._form(parts[0].name)}"

    def longest(self, assignment: Assignment, task: Task) -> int:
        """Maximum number of tokens of the new texts of all parts together."""
        calls = calls_of(assignment.prompt, assignment.outcomes)
        return sum(longest(one, assignment.prompt, task, calls) for one in _parts(assignment.prompt))

    def _form(self, name: str) -> str:
        return (
            f'Think first. Then write the whole text of every part as <part name="{name}">…</part>, under its own '
            "name; a part that you leave out stays as it is."
        )

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises UnreadableReply, EditRejected: no part could be parsed, or the text of one cannot be used."""
        question = await in_thread(self.question, assignment, context)
        names = [one.name for one in _parts(assignment.prompt)]

        def read(reply: Reply) -> Prompt:
            prompt = assignment.prompt
            for name, text in read_parts(reply.text, names, reply.finish).items():
                one = written(text, question, assignment, context, name)
                prompt = prompt.edit(name, one[name].text, context.task.placeholders)
            if prompt == assignment.prompt:
                raise UnreadableReply("the reply changes no part")
            check_names(prompt, assignment, context.task, part(prompt, WHOLE).text)
            return prompt

        shown = {outcome.example for outcome in assignment.outcomes}
        composed = self.composed(assignment, context, question, lambda: [data_block(context.task, shown)])
        return await ask(composed, question, read, context)


def _parts(prompt: Prompt) -> list[Section]:
    return [s for s in prompt if not s.frozen and s.kind not in ("examples", "knowledge")]
