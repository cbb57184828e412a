"""gepa with its default adapter, a system message that it rewrites, and its other defaults."""

from __future__ import annotations

import gepa
from gepa.adapters.default_adapter.default_adapter import DefaultAdapter, EvaluationResult
from gepa.lm import LM

from benchmarks.peers.programs.job import KEY, TASK, WRITER, Item, taken


def main() -> None:
    """A step that the budget cuts off is gone, and gepa stops then: what it has accepted before stays."""
    job = taken()
    items = {item.id: item for item in (*job.train, *job.validation)}

    def judge(data: dict[str, object], response: str | None) -> EvaluationResult:
        score, feedback = job.judged(items[str(data["id"])], response or "")
        wanted = f"The right answer is: {data['answer']}"
        return EvaluationResult(
            score=score, feedback=" ".join(filter(None, ["" if score == 1 else wanted, feedback]))
        )

    def shape(split: list[Item]) -> list[dict[str, object]]:
        return [{"id": i.id, "input": i.asked, "answer": i.answer, "additional_context": {}} for i in split]

    adapter = DefaultAdapter(
        model=f"openai/{TASK}",
        evaluator=judge,
        max_litellm_workers=job.at_once,
        litellm_batch_completion_kwargs={"api_base": job.base, "api_key": KEY},
    )
    found = gepa.optimize(
        seed_candidate={"instruction": job.instruction},
        trainset=shape(job.train),
        valset=shape(job.validation),
        adapter=adapter,
        reflection_lm=LM(f"openai/{WRITER}", api_base=job.base, api_key=KEY),
        max_metric_calls=job.calls,
        stop_callbacks=[lambda _: job.left() <= 0],
        raise_on_exception=False,
        seed=job.seed,
    )
    best = found.best_candidate["instruction"]
    job.done([[{"role": "system", "content": best}, job.first(item)[1]] for item in job.test])


if __name__ == "__main__":
    main()
