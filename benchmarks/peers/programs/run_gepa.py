"""gepa with its default adapter, a system message that it rewrites, and its other defaults.

A program of two prompts has an adapter of ours, as gepa asks for, and two system messages that it rewrites in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import gepa
from gepa.adapters.default_adapter.default_adapter import DefaultAdapter, EvaluationResult
from gepa.core.adapter import EvaluationBatch, GEPAAdapter
from gepa.lm import LM

from benchmarks.peers.programs.job import KEY, TASK, WRITER, Item, Job, Message, taken
from benchmarks.peers.programs.pipeline import FIELDS, answer, instructed


@dataclass(frozen=True)
class Pipeline(GEPAAdapter):  # type: ignore[misc]
    """Runs the program of two prompts, whose system messages are a candidate's components."""

    job: Job

    def evaluate(
        self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Any, str]:
        """The answers, their scores, and as traces what the prompts took and gave.

        :raises RuntimeError: no call is left.
        """
        prompts = self.prompts(candidate)

        def run(item: Item) -> dict[str, Any]:
            replies = answer(item.inputs, prompts, self._call)
            score, feedback = told(self.job, item, replies["write"])
            return {
                **item.inputs,
                **{FIELDS[n][1]: reply for n, reply in replies.items()},
                "said": feedback,
                "score": score,
            }

        with ThreadPoolExecutor(self.job.at_once) as pool:
            runs = list(pool.map(run, batch))
        return EvaluationBatch([one["line"] for one in runs], [one["score"] for one in runs], runs)

    def prompts(self, candidate: Mapping[str, str]) -> dict[str, list[Message]]:
        """The prompts with the candidate's system messages."""
        return {name: instructed(messages, candidate[name]) for name, messages in self.job.prompts.items()}

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: EvaluationBatch[Any, str], components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """For each prompt: what it took, what it gave, and what was said of the program's answer."""

        def record(one: Mapping[str, Any], takes: str, gives: str) -> dict[str, Any]:
            feedback = f"The answer of the whole program is: {one['line']}\n{one['said']}"
            return {"Inputs": {takes: one[takes]}, "Generated Outputs": one[gives], "Feedback": feedback}

        return {
            name: [record(one, *FIELDS[name]) for one in eval_batch.trajectories] for name in components_to_update
        }

    def _call(self, name: str, messages: list[Message]) -> str:
        reply = self.job.reply(messages, self.job.limits[name])
        if reply is None and self.job.left() <= 0:
            raise RuntimeError("no call is left")
        return reply or ""


def told(job: Job, item: Item, response: str) -> tuple[float, str]:
    """The score of an answer, and what gepa is told of it."""
    score, feedback = job.judged(item, response)
    wanted = f"The right answer is: {item.answer}"
    return score, " ".join(filter(None, ["" if score == 1 else wanted, feedback]))


def default(job: Job) -> Any:
    """gepa's own adapter."""
    items = {item.id: item for item in (*job.train, *job.validation)}

    def judge(data: dict[str, object], response: str | None) -> EvaluationResult:
        score, feedback = told(job, items[str(data["id"])], response or "")
        return EvaluationResult(score=score, feedback=feedback)

    return DefaultAdapter(
        model=f"openai/{TASK}",
        evaluator=judge,
        max_litellm_workers=job.at_once,
        litellm_batch_completion_kwargs={"api_base": job.base, "api_key": KEY},
    )


def main() -> None:
    """A step that the budget cuts off is gone, and gepa stops then: what it has accepted before stays."""
    job = taken()

    def shape(split: list[Item]) -> list[Any]:
        if job.prompts:
            return split
        return [{"id": i.id, "input": i.asked, "answer": i.answer, "additional_context": {}} for i in split]

    first = {name: messages[0]["content"] for name, messages in job.prompts.items()}
    pipeline = Pipeline(job)
    found = gepa.optimize(
        seed_candidate=first or {"instruction": job.instruction},
        trainset=shape(job.train),
        valset=shape(job.validation),
        adapter=pipeline if job.prompts else default(job),
        reflection_lm=LM(f"openai/{WRITER}", api_base=job.base, api_key=KEY),
        max_metric_calls=job.calls // (len(job.prompts) or 1),
        stop_callbacks=[lambda _: job.left() <= 0],
        raise_on_exception=False,
        seed=job.seed,
    )
    best = found.best_candidate
    if job.prompts:
        job.done([pipeline.prompts(best)] * len(job.test))
    else:
        job.done([[{"role": "system", "content": best["instruction"]}, job.first(item)[1]] for item in job.test])


if __name__ == "__main__":
    main()
