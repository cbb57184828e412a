"""A DSPy module as a program: each predictor's instructions and demos are a prompt, and the trained ones load back.

    adapted = from_dspy(module)
    found = await train({"program": adapted, ...}, prompts=adapted.prompts, ...)
    better = adapted.load(found.prompt)

The messages are those of `dspy.ChatAdapter`, except that `{field}` in its explanations is written `{ field }`, so
that it is not taken for a value. A module runs in a thread; predictors that it calls from threads of its own cannot
ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import dspy
from dspy.adapters.utils import parse_value
from dspy.utils.exceptions import AdapterParseError

from protocols.errors import PromptError
from protocols.model import ChatMessage
from protocols.program import Prompts
from protocols.prompt import NAMED, Prompt, Section
from protocols.task import Json
from protocols.turns import dump_turns

ADAPTER = dspy.ChatAdapter()
HEADER = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*\n?", re.MULTILINE)


class DSPyProgram:
    """`prompts`: the first prompts, for the table `prompts`. See `from_dspy`."""

    def __init__(self, module: Any, answer: str) -> None:
        self._module, self._answer = module, answer
        self.prompts = {name: first_prompt(predictor) for name, predictor in named(module).items()}

    def __call__(self, inputs: Mapping[str, str], prompts: Prompts, call: Callable[..., str]) -> Json:
        """The answer to one example; the raw reply where DSPy finds no fields in it, so that it counts as wrong."""
        module = self._module.deepcopy()
        for name, predictor in named(module).items():
            predictor.lm = dspy.BaseLM(name)  # is not called: `Asking` is, and finds the prompt's name here
        try:
            with dspy.context(adapter=Asking(prompts, call)):
                said = module(**inputs)
        except AdapterParseError as error:
            return str(error.lm_response)
        return cast("Json", said[self._answer or list(said.keys())[-1]])

    def load(self, prompt: Prompt) -> Any:
        """A copy of the module with the instructions and demos of `prompt`, a `Found.prompt` or a loaded file.

        :raises PromptError: worked examples cannot be demos: they are filled for each input, or in another form.
        """
        module = self._module.deepcopy()
        for name, predictor in named(module).items():
            part = prompt.of(name) if len(self.prompts) > 1 else prompt
            texts = [s.text for s in part if not s.frozen and s.kind != "examples" and s.text]
            predictor.signature = predictor.signature.with_instructions("\n\n".join(texts))
            predictor.demos = [demo for s in part if s.kind == "examples" for demo in demos(s, predictor.signature)]
        return module


class Asking(dspy.ChatAdapter):  # type: ignore[misc]
    """Asks the prompt that the predictor's model is named after."""

    def __init__(self, prompts: Prompts, call: Callable[..., str]) -> None:
        super().__init__(use_json_adapter_fallback=False)
        self._prompts, self._ask = prompts, call

    def __call__(self, lm: Any, lm_kwargs: Mapping[str, Any], signature: Any, demos: Any, inputs: Any) -> list[Any]:
        request = self.format_user_message_content(signature, inputs, main_request=True)
        settings = {name: lm_kwargs[name] for name in ("temperature", "max_tokens") if name in lm_kwargs}
        reply = self._ask(lm.model, self._prompts[lm.model].render(request=request), **settings)
        return [self.parse(signature, str(reply))]


def from_dspy(module: Any, answer: str = "") -> DSPyProgram:
    """The module as a program. `answer`: the output field that is scored, else the last."""
    return DSPyProgram(module, answer)


def named(module: Any) -> dict[str, Any]:
    """The predictors by the names of their prompts."""
    return {re.sub(r"[^a-z0-9_-]", "_", path.lower()): predictor for path, predictor in module.named_predictors()}


def first_prompt(predictor: Any) -> Prompt:
    """The predictor's prompt. What explains its fields is frozen, since it could not be loaded back."""
    signature = predictor.signature
    fields = [ADAPTER.format_field_description(signature), ADAPTER.format_field_structure(signature)]
    explained = "\n".join([*fields, "In adhering to this structure, your objective is:"])
    shown = [ChatMessage(m["role"], m["content"].strip()) for m in ADAPTER.format_demos(signature, predictor.demos)]
    return Prompt(
        (
            Section("fields", "format", NAMED.sub(r"{ \1 }", explained), frozen=True),
            Section("task", "task", NAMED.sub(r"{ \1 }", signature.instructions)),
            Section("definitions", "definitions"),
            Section("reasoning", "reasoning"),
            Section("reminders", "reminders"),
            Section("demos", "examples", dump_turns(shown), form="turns"),
            Section("request", "task", "{request}", frozen=True),
        )
    )


def demos(section: Section, signature: Any) -> list[Any]:
    """The worked examples of a section as demos."""
    turns = section.turns
    if section.text and not turns:
        raise PromptError(f"section {section.name}: only turns that are the same for every input can be demos")
    required = ADAPTER.user_message_output_requirements(signature)
    found = []
    for user, assistant in zip(turns[::2], turns[1::2], strict=True):
        _, *pieces = HEADER.split(user.text.removesuffix(required))
        given = dict(zip(pieces[::2], map(str.strip, pieces[1::2]), strict=True))
        try:
            values = {n: parse_value(v, signature.input_fields[n].annotation) for n, v in given.items()}
            found.append(dspy.Example(**values, **ADAPTER.parse(signature, assistant.text)).with_inputs(*values))
        except (AdapterParseError, KeyError, ValueError) as error:
            raise PromptError(f"section {section.name}: a turn is not in DSPy's form: {error}") from None
    return found
