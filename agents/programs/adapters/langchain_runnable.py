"""A LangChain runnable as a program: its chat prompt templates are prompts, asked of our models in place of its own.

    adapted = from_langchain(chain, "extract", "decide")
    found = await train({"program": adapted, ...}, prompts=adapted.prompts, ...)
    better = adapted.load(found.prompt)

A template is found where a model stands right behind it, in sequences, parallels, assigns, branches and bindings.
What a function of the user's calls by itself is not seen, and asks its own model. Replies are texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableSequence

from protocols.errors import ConfigError, PromptError
from protocols.model import ChatMessage
from protocols.program import Call, Prompts
from protocols.prompt import Prompt, Section, placeholders
from protocols.task import Json
from protocols.turns import dump_turns

SPEAKERS: Mapping[str, Any] = {"System": "system", "Human": "user", "AI": "assistant"}
ROLES = {"system": "system", "user": "human", "assistant": "ai"}
EXAMPLE = "promptflow"
"""The key of a runnable's configuration under which the prompts and the call of an example travel."""
Change = Callable[[ChatPromptTemplate, Any], list[Any]]
"""What stands in the place of a template and its model."""


class LangChainProgram:
    """`prompts`: the first prompts, for the table `prompts`. See `from_langchain`."""

    def __init__(self, runnable: Any, names: tuple[str, ...]) -> None:
        self._runnable, found = runnable, list[Prompt]()

        def asked(template: ChatPromptTemplate, model: Any) -> list[Any]:
            found.append(first_prompt(template))
            return [asking(names[len(found) - 1] if len(found) <= len(names) else "", model)]

        self._asking = changed(runnable, asked)
        if len(found) != len(names):
            raise ConfigError(f"the runnable has {len(found)} chat prompt templates with a model; name {len(found)}")
        self.prompts = dict(zip(names, found, strict=True))

    async def __call__(self, inputs: Mapping[str, str], prompts: Prompts, call: Call) -> Json:
        """The answer to one example."""
        said = await self._asking.ainvoke(dict(inputs), {"configurable": {EXAMPLE: (prompts, call)}})
        if isinstance(said, BaseMessage):
            return str(said.content)
        return cast("Json", said.model_dump(mode="json") if hasattr(said, "model_dump") else said)

    def load(self, prompt: Prompt) -> Any:
        """The runnable with templates that say what `prompt` says, a `Found.prompt` or a loaded file.

        :raises PromptError: a section is filled for each input from training examples.
        """
        parts = iter([prompt.of(name) if len(self.prompts) > 1 else prompt for name in self.prompts])
        return changed(self._runnable, lambda template, model: [template_of(next(parts), template), model])


def from_langchain(runnable: Any, *names: str) -> LangChainProgram:
    """The runnable as a program. `names`: those of its prompts, in the order of its templates.

    :raises ConfigError: there are more or fewer templates.
    :raises PromptError: a template is not made of system, human and AI messages in f-string form.
    """
    return LangChainProgram(runnable, names)


def asking(name: str, model: Any) -> Runnable[Any, Any]:
    """Renders the prompt and asks its model, with the settings that are bound to LangChain's."""
    bound = {k: v for k, v in getattr(model, "kwargs", {}).items() if not k.startswith("ls_")}

    async def ask(values: Any, config: RunnableConfig) -> AIMessage:
        prompts, call = config["configurable"][EXAMPLE]
        return AIMessage(str(await call(name, prompts[name].render(values), **bound)))

    return RunnableLambda(ask)


def changed(node: Any, change: Change) -> Any:
    """The runnable with each template and the model behind it replaced."""
    if isinstance(node, list | tuple):
        return type(node)(changed(each, change) for each in node)
    if isinstance(node, dict):
        return {name: changed(each, change) for name, each in node.items()}
    if isinstance(node, RunnableSequence):
        steps, done = list(node.steps), list[Any]()
        while steps:
            pair = isinstance(steps[0], ChatPromptTemplate) and len(steps) > 1 and is_model(steps[1])
            done += change(steps.pop(0), steps.pop(0)) if pair else [changed(steps.pop(0), change)]
        return RunnableSequence(*done) if len(done) > 1 else done[0]
    if not isinstance(node, Runnable) or isinstance(node, ChatPromptTemplate) or is_model(node):
        return node
    fields = getattr(type(node), "model_fields", {})
    return node.model_copy(update={name: changed(getattr(node, name), change) for name in fields}) if fields else node


def is_model(node: Any) -> bool:
    """Whether it is a model, with or without bound settings."""
    return isinstance(node, BaseLanguageModel) or isinstance(getattr(node, "bound", None), BaseLanguageModel)


def first_prompt(template: ChatPromptTemplate) -> Prompt:
    """The template's messages: system text, worked examples as turns, and the last human message."""
    said: list[ChatMessage] = []
    for message in template.messages:
        inner = getattr(message, "prompt", None)
        kind = re.match(r"(System|Human|AI)Message", type(message).__name__)
        if kind is None or (inner is not None and getattr(inner, "template_format", "") != "f-string"):
            raise PromptError(f"a template of LangChain must be of system, human and AI messages, not {message!r}")
        text = inner.template.replace("{{", "{").replace("}}", "}") if inner is not None else message.content
        said.append(ChatMessage(SPEAKERS[kind[1]], text))
    system = "\n\n".join(message.text for message in said if message.speaker == "system")
    *turns, last = [message for message in said if message.speaker != "system"]
    if any(placeholders(turn.text, template.input_variables) for turn in turns):
        raise PromptError("worked examples of a LangChain template must not hold variables")
    return Prompt(
        (
            Section("task", "task", system),
            Section("definitions", "definitions"),
            Section("reasoning", "reasoning"),
            Section("examples", "examples", dump_turns(turns), form="turns"),
            Section("reminders", "reminders"),
            Section("input", "task", last.text, form="input"),
        )
    )


def template_of(prompt: Prompt, template: ChatPromptTemplate) -> ChatPromptTemplate:
    """A template that renders to what the prompt does."""
    fields: Collection[str] = template.input_variables
    divided = prompt.template(fields)
    if divided.places:
        raise PromptError(f"{{{divided.places[0]}}} is filled for each input, which a template cannot be")
    said = [(ROLES[message.speaker], escaped(message.text, ())) for message in divided.fixed]
    user = escaped("\n\n".join(divided.varying), fields)
    return ChatPromptTemplate.from_messages([*said, *[("human", user)] * bool(user)])


def escaped(text: str, fields: Collection[str]) -> str:
    """The text in f-string form; only the names of fields are placeholders."""
    doubled = text.replace("{", "{{").replace("}", "}}")
    for name in placeholders(text, fields):
        doubled = doubled.replace(f"{{{{{name}}}}}", f"{{{name}}}")
    return doubled
