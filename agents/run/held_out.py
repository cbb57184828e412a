"""Reads the test split, once, for the first prompt and the winner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agents.archive.archive import Member
from agents.prompting.forward import Forward
from agents.results.comparison import Answer, Held, Parts, answers, held_out, refusal, test_parts
from memory.journals.exchanges import Exchange, Keep
from protocols.concurrency.threads import in_thread
from protocols.errors import BudgetExhausted, Interrupted
from protocols.messages import FIRST
from protocols.prompt import Prompt

Save = Callable[[Sequence[Answer], Sequence[Answer]], None]
"""Writes the scores of both prompts, each in the order of the split; it may block."""


@dataclass(frozen=True, slots=True)
class Tested:
    """The held-out comparison, None if there are no answers, and the reason why it was cut short, None if it was not.
    `parts`: of old and new examples."""

    held: Held | None
    missing: str | None
    parts: Parts = field(default_factory=Parts)


async def read_test(forward: Forward, first: Prompt, winner: Member, keep: Keep | None, save: Save) -> Tested:
    """Compare both prompts. If the first prompt has won, it is run once. Otherwise each example is asked with both
    prompts in turn, so that even a cap leaves whole pairs. `keep` None: what is asked and answered is not kept.

    :raises Exception: as `answers`, but for the cap or the person that cut it short.
    """
    prompts = {FIRST: first, winner.candidate: winner.prompt}
    kept: dict[int, list[Exchange]] = {candidate: [] for candidate in prompts}

    def hear(prompt: Prompt, exchange: Exchange) -> None:
        kept[FIRST if prompt is first else winner.candidate].append(exchange)

    task = forward.task
    asking = forward.heard_by(hear) if keep else forward
    try:
        came = await answers(asking, [(prompt, example) for example in task.test for prompt in prompts.values()])
    except (BudgetExhausted, Interrupted) as error:
        return Tested(None, str(error))
    if keep:
        for candidate, exchanges in kept.items():
            await keep(candidate, "test", exchanges)
    before, best = came[:: len(prompts)], came[len(prompts) - 1 :: len(prompts)]
    await in_thread(save, before, best)
    held = await in_thread(held_out, task.kind.name, task.metric, before, best)
    parts = await in_thread(test_parts, task, before, best) if task.new else Parts()
    return Tested(held, refusal(came), parts)
