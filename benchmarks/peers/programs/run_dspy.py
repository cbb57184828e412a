"""DSPy: MIPROv2 (`auto = "light"`) or BootstrapFewShotWithRandomSearch, with their defaults.

Both go on when the calls are used up, and what they try then scores 0: so the budget, and no setting of ours, says
how much they try. Replies are cached, as is DSPy's default, but not beyond this process. A reply of the task's model
that the chat format cannot read is not asked for again in JSON, which would take half of the calls. One of the writer
that neither can read would end MIPROv2 with an error: it is taken as it stands.
"""

from __future__ import annotations

import sys
from typing import Any

import dspy
from dspy.teleprompt import BootstrapFewShotWithRandomSearch, MIPROv2
from dspy.utils.exceptions import AdapterParseError

from benchmarks.peers.programs.job import KEY, TASK, WRITER, Item, Job, taken
from benchmarks.peers.programs.pipeline import FIELDS, shown

MANY = 10**6


class Chat(dspy.ChatAdapter):  # type: ignore[misc]
    """DSPy's adapter, which asks only the writer again in JSON, and takes what still is unreadable as it stands."""

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
        """The fields of a reply."""
        if lm.model == f"openai/{TASK}":
            return dspy.ChatAdapter(use_json_adapter_fallback=False)(lm, lm_kwargs, signature, demos, inputs)
        try:
            return super().__call__(lm, lm_kwargs, signature, demos, inputs)
        except AdapterParseError as error:
            return [dict.fromkeys(signature.output_fields, error.lm_response)]


class Pipeline(dspy.Module):  # type: ignore[misc]
    """The program of two prompts as a module of two predictors, which begin with its instructions and examples."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.extract, self.write = (self._predictor(job, name) for name in FIELDS)

    def _predictor(self, job: Job, name: str) -> Any:
        messages, (takes, gives) = job.prompts[name], FIELDS[name]
        signature = dspy.Signature(f"{takes} -> {gives}", messages[0]["content"])
        made = dspy.Predict(signature, max_tokens=job.limits[name])
        made.demos = [dspy.Example(**fields).with_inputs(takes) for fields in shown(name, messages)]
        return made

    def forward(self, text: str) -> Any:
        """The prediction of the second."""
        return self.write(order=self.extract(text=text).order)


def searched(job: Job, student: Any, metric: Any, writer: Any) -> Any:
    """The program that the optimiser named on the command line finds."""

    def shape(split: list[Item]) -> list[Any]:
        rows = [{"id": item.id, **item.inputs, job.field: item.answer} for item in split]
        return [dspy.Example(**row).with_inputs(*item.inputs) for row, item in zip(rows, split, strict=True)]

    splits = {"trainset": shape(job.train), "valset": shape(job.validation)}
    if sys.argv[2] == "miprov2":
        optimiser = MIPROv2(
            metric=metric, prompt_model=writer, auto="light", num_threads=job.at_once, max_errors=MANY, seed=job.seed
        )
        return optimiser.compile(student, seed=job.seed or MANY, **splits)  # it takes a seed of 0 for none
    return BootstrapFewShotWithRandomSearch(metric=metric, num_threads=job.at_once, max_errors=MANY).compile(
        student, **splits
    )


def main() -> None:
    """Search with the optimiser that is named, and write the prompt as DSPy's own adapter formats it."""
    job = taken()
    items = {item.id: item for item in (*job.train, *job.validation)}
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    task, writer = (
        dspy.LM(f"openai/{name}", api_base=job.base, api_key=KEY, num_retries=0) for name in (TASK, WRITER)
    )
    adapter = Chat()
    dspy.configure(lm=task, adapter=adapter)

    def metric(gold: Any, predicted: Any, trace: Any = None) -> float | bool:
        score, _ = job.judged(items[gold.id], str(predicted[job.field]))
        return score if trace is None else score == 1

    if job.prompts:
        named = searched(job, Pipeline(job), metric, writer).named_predictors()
        job.done([{n: adapter.format(p.signature, p.demos, template(n)) for n, p in named}] * len(job.test))
        return
    fields = ", ".join(job.train[0].inputs)
    student = dspy.Predict(dspy.Signature(f"{fields} -> {job.field}", job.instruction))
    [predictor] = searched(job, student, metric, writer).predictors()
    job.done([adapter.format(predictor.signature, predictor.demos, item.inputs) for item in job.test])


def template(name: str) -> dict[str, str]:
    """The input of the prompt `name`, as its name in braces."""
    takes, _ = FIELDS[name]
    return {takes: f"{{{takes}}}"}


if __name__ == "__main__":
    main()
