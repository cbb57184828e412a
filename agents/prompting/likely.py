"""The requests that an example is expected to take, made without running a program."""

from __future__ import annotations

from collections.abc import Mapping

from agents.programs.bound import INPUTS, Fill, Values
from agents.prompting.asking import TEMPERATURE, program_limit, task_request
from protocols.model import Request
from protocols.prompt import Prompt
from protocols.task import Task


def likely_requests(task: Task, prompt: Prompt, inputs: Mapping[str, str], fill: Fill) -> list[Request]:
    """One request without a program, else one for each of its prompts (`Request.prompt`), in which the names of
    values that the program computes stand for the values."""
    if task.program is None:
        return [task_request(task.kind, prompt, prompt.render(fill(prompt, inputs)))]
    values = {name: f"{{{name}}}" for name in task.program.computed} | {INPUTS: Values(inputs)[INPUTS]} | dict(inputs)
    made = []
    for name, part in task.program.parts(prompt).items():
        filled = fill(part, values)
        messages = part.template(filled).render(filled)
        made.append(Request(messages, TEMPERATURE, program_limit(task, name, part), prompt=name))
    return made
