"""promptolution: CAPO or EvoPromptGA, with their defaults, for labels.

Both need a population to begin with: the first instruction and three variations of it, which promptolution's own
function asks the writer for. Predictions are read as all programs' replies are. CAPO races on blocks of the
validation split, a quarter each; EvoPromptGA scores on half of it, so that 300 calls are three generations and not
one. A call beyond the budget is answered with nothing, which is wrong: a step that it cuts off keeps what it found.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
from promptolution.llms.api_llm import APILLM
from promptolution.optimizers.capo import CAPO
from promptolution.optimizers.evoprompt_ga import EvoPromptGA
from promptolution.predictors.first_occurrence_predictor import FirstOccurrencePredictor
from promptolution.tasks.classification_tasks import ClassificationTask
from promptolution.utils.prompt_creation import create_prompt_variation
from promptolution.utils.templates import DEFAULT_SYS_PROMPT

from benchmarks.peers.programs.job import KEY, TASK, WRITER, Item, Job, taken

VARIATIONS, STEPS = 3, 1000
BLOCKS = {"capo": 4, "evoprompt-ga": 2}


class Budget:
    """A callback that ends the search once no call is left."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def on_step_end(self, optimizer: object) -> bool:
        """Whether to go on."""
        return self._job.left() > 0

    def on_train_end(self, optimizer: object) -> bool:
        """Nothing is left to do."""
        return True


def frame(items: list[Item]) -> pd.DataFrame:
    """Inputs and answers, which promptolution wants in lower case."""
    return pd.DataFrame({"x": [item.asked for item in items], "y": [item.answer.lower() for item in items]})


def optimiser(job: Job, name: str, predictor: Any, writer: Any) -> Any:
    """The one that the command line names, with its first population."""
    varied = create_prompt_variation([job.instruction] * VARIATIONS, writer)
    prompts = [job.instruction, *(text.strip() or job.instruction for text in varied)]
    task = ClassificationTask(
        frame(job.validation),
        task_description=job.instruction,
        eval_strategy="sequential_block",  # of which only CAPO goes beyond the first
        n_subsamples=len(job.validation) // BLOCKS[name],
        seed=job.seed,
    )
    shared = {"predictor": predictor, "task": task, "meta_llm": writer, "initial_prompts": prompts}
    if name == "capo":
        return CAPO(**shared, df_few_shots=frame(job.train), callbacks=[Budget(job)])
    return EvoPromptGA(**shared, callbacks=[Budget(job)])


def main() -> None:
    """Search until no call is left."""
    job = taken()
    np.random.seed(job.seed)
    task, writer = (
        APILLM(
            api_url=job.base,
            model_id=name,
            api_key=KEY,
            max_concurrent_calls=job.at_once,
            call_timeout_s=1800,
            gather_timeout_s=7200,
        )
        for name in (TASK, WRITER)
    )

    def ask(prompts: list[str], systems: list[str]) -> list[str]:
        pairs = zip(systems, prompts, strict=True)
        chats = [[{"role": "system", "content": one}, {"role": "user", "content": two}] for one, two in pairs]
        return [reply or "" for reply in job.ask(chats)]

    task._get_response = ask
    predictor = FirstOccurrencePredictor(task, [label.lower() for label in job.labels])
    predictor._extract_preds = lambda replies: [(job.read(reply) or "").lower() for reply in replies]
    best = str(optimiser(job, sys.argv[2], predictor, writer).optimize(n_steps=STEPS)[0])
    system = {"role": "system", "content": DEFAULT_SYS_PROMPT}
    job.done([[system, {"role": "user", "content": f"{best}\n{item.asked}"}] for item in job.test])


if __name__ == "__main__":
    main()
