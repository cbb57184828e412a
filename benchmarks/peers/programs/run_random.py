"""Random demonstrations: k random training examples, as chat turns or as text, whatever is best on validation.

As many draws are scored as the calls allow: first each number and form once, then the best of these drawn anew.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.peers.programs.job import Item, Job, Message, taken

SHAPES = ((8, True), (16, True), (4, True), (8, False))
"""Number of examples, and whether they are turns; the first is also what is drawn anew where nothing is right."""


def shown(job: Job, drawn: list[Item], turns: bool, item: Item) -> list[Message]:
    """The prompt with these examples for one input."""
    system, user = job.first(item)
    if turns:
        pairs = [({"role": "user", "content": d.asked}, {"role": "assistant", "content": d.answer}) for d in drawn]
        return [system, *(message for pair in pairs for message in pair), user]
    examples = "\n\n".join(f"{d.asked} {d.answer}" for d in drawn)
    return [{"role": "system", "content": f"{system['content']}\n\n{examples}"}, user]


def draws(scores: dict[tuple[int, bool], float]) -> Iterator[tuple[int, bool]]:
    """Which number and form to draw next, by what each has scored at best so far."""
    yield from SHAPES
    while True:
        yield max(SHAPES, key=lambda shape: scores.get(shape, 0.0))


def main() -> None:
    """Draw, score and keep the best until a whole validation split can no longer be asked."""
    job, best, found, scores = taken(), -1.0, (list[Item](), True), dict[tuple[int, bool], float]()
    rng = random.Random(job.seed)
    for k, turns in draws(scores):
        if job.left() < len(job.validation):
            break
        drawn = rng.sample(job.train, min(k, len(job.train)))
        replies = job.ask([shown(job, drawn, turns, item) for item in job.validation])
        score = sum(job.judged(item, reply or "")[0] for item, reply in zip(job.validation, replies, strict=True))
        scores[k, turns] = max(score, scores.get((k, turns), 0.0))
        if score > best:
            best, found = score, (drawn, turns)
    job.done([shown(job, *found, item) for item in job.test])


if __name__ == "__main__":
    main()
