"""What other tools make of an export: each renderer written anew from its documentation or source, so that the suite
needs none of them. `python -m benchmarks.exports` asks the real ones."""

from __future__ import annotations

import inspect
import json
import re
import string
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from protocols.model import ChatMessage

Inputs = Mapping[str, str]
Messages = list[dict[str, Any]]
STRING = r'"(?:[^"\\]|\\.)*"'
TAG = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}|\{#(.*?)#\}", re.DOTALL)
LINES = re.compile(r"\r\n|\r|\n")


def jinja_value(expression: str, inputs: Inputs) -> str:
    """Literals and variables, joined by `~`."""
    token = re.compile(rf"\s*(?:({STRING})|(\w+))\s*(~|$)", re.DOTALL)
    said, place = "", 0
    while place < len(expression):
        found = token.match(expression, place)
        assert found, expression[place:]
        literal = LINES.sub("\n", found[1] or '""')[1:-1]
        said += literal.encode("ascii", "backslashreplace").decode("unicode-escape") + (
            inputs[found[2]] if found[2] else ""
        )
        place = found.end()
    return said


def template(text: str, inputs: Inputs, nunjucks: bool = False) -> str:
    """A template of Jinja, or of Nunjucks, which keeps line ends and refuses the end of a comment by itself."""
    source = text if nunjucks else LINES.sub("\n", text)
    source = source[:-1] if source.endswith("\n") and not nunjucks else source
    said, place = "", 0
    for tag in TAG.finditer(source):
        data = source[place : tag.start()]
        assert not (nunjucks and "#}" in data)
        said += data
        place = tag.end()
        if tag[1] is not None:
            said += jinja_value(tag[1], inputs)
        else:
            assert (tag[2] or "").strip() in ("raw", "endraw"), tag[0]
    rest = source[place:]
    assert not re.search(r"\{[{%#]" + (r"|#\}" if nunjucks else ""), rest)
    return said + rest


def jinja(text: str) -> Callable[[Inputs], Messages]:
    def render(inputs: Inputs) -> Messages:
        body = re.sub(r"\{#-.*?-#\}\s*", "", LINES.sub("\n", text))
        say = re.compile(r"\{\{ \((.*?)\) \| tojson \}\}(?=\}(?:,\n|\n\]\n))", re.DOTALL)
        return json.loads(say.sub(lambda found: json.dumps(jinja_value(found[1], inputs)), body))  # type: ignore[no-any-return]

    return render


def python(text: str, **modules: object) -> dict[str, Any]:
    """The names of an exported file."""
    names: dict[str, Any] = {"__name__": "exported"}
    with patch.dict("sys.modules", {name: module for name, module in modules.items()}):
        exec(compile(text, "exported.py", "exec"), names)
    return names


def promptfoo(text: str) -> Callable[[Inputs], Messages]:
    """Calls the function and reads what it returns as Nunjucks, as release 0.123 does."""
    names = python(text)

    def render(inputs: Inputs) -> Messages:
        prompt = names["promptfoo"]({"vars": {**inputs, "another": "{{x}}"}})["prompt"]
        return [{**turn, "content": template(turn["content"], inputs, nunjucks=True)} for turn in prompt]

    return render


def dspy(text: str) -> Callable[[Inputs], Messages]:
    """The adapter's messages. Of DSPy 3.4, what it does with instructions and demos."""

    class Signature:
        instructions = "Given the fields, produce the fields."

        @classmethod
        def with_instructions(cls, said: str) -> type[Signature]:
            kept = {"instructions": inspect.cleandoc(said)} if inspect.cleandoc(said) else {}
            return type("Signature", (cls,), kept)

    library = ModuleType("dspy")
    library.__dict__.update(
        Signature=Signature,
        Adapter=object,
        InputField=lambda: None,
        OutputField=lambda: None,
        Example=dict,
        Predict=lambda signature, **config: SimpleNamespace(signature=signature, demos=[], config=config),
    )
    names = python(text, dspy=library)

    def render(inputs: Inputs) -> Messages:
        predict = names["program"]()
        given = {names["NAMES"][name]: value for name, value in inputs.items()}
        return names["AsSearched"]().format(predict.signature, predict.demos, given)  # type: ignore[no-any-return]

    return render


def messages_json(text: str) -> Callable[[Inputs], Messages]:
    def content(said: Any, inputs: Inputs) -> str:
        return (
            said if isinstance(said, str) else "".join(p if isinstance(p, str) else inputs[p["field"]] for p in said)
        )

    document = json.loads(text)
    return lambda inputs: [
        {"role": m["role"], "content": content(m["content"], inputs)} for m in document["messages"]
    ]


def openai(text: str) -> Callable[[Inputs], Messages]:
    """Checks the body against the SDK's types, and fills it in one pass."""
    body = json.loads(text)
    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python({"model": "m", **body})

    def render(inputs: Inputs) -> Messages:
        names = re.compile(r"\{\{(" + "|".join(map(re.escape, inputs)) + r")\}\}")
        return [{**m, "content": names.sub(lambda found: inputs[found[1]], m["content"])} for m in body["messages"]]

    return render


def langfuse(text: str) -> Callable[[Inputs], Messages]:
    """As `TemplateParser.compile_template`: a variable is whatever stands between `{{` and the next `}}`."""
    document = json.loads(text)
    assert document.keys() == {"name", "type", "prompt", "config"}

    def compiled(content: str, inputs: Inputs) -> str:
        head, opened, rest = content.partition("{{")
        name, closed, tail = rest.partition("}}")
        if not opened or not closed:
            return content
        value = inputs.get(name.strip(), f"{{{{{name}}}}}")
        return head + value + compiled(tail, inputs)

    return lambda inputs: [{**m, "content": compiled(m["content"], inputs)} for m in document["prompt"]]


def mlflow(text: str) -> Callable[[Inputs], Messages]:
    """Jinja where a message has a tag of it, else one replacement after the other (`format_prompt`)."""
    document = json.loads(text)
    turns = document["template"]
    variable = re.compile(r"\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*(?:\.[a-zA-Z_][a-zA-Z0-9_]*)*)\s*\}\}")
    if any("{%" in m["content"] and "%}" in m["content"] for m in turns):
        return lambda inputs: [{**m, "content": template(m["content"], inputs)} for m in turns]

    def filled(content: str, inputs: Inputs) -> str:
        for name, value in inputs.items():
            content = re.sub(r"\{\{\s*" + name + r"\s*\}\}", value.replace("\\", "\\\\"), content)
        return content

    def render(inputs: Inputs) -> Messages:
        assert set(variable.findall(json.dumps(turns))) <= inputs.keys()
        return [{**m, "content": filled(m["content"], inputs)} for m in turns]

    return render


def langsmith(text: str) -> Callable[[Inputs], Messages]:
    """Format strings in the constructors that `langchain_core.load` knows."""
    whole = json.loads(text)
    roles = {"System": "system", "Human": "user", "AI": "assistant"}

    def render(inputs: Inputs) -> Messages:
        said = []
        for one in whole["kwargs"]["messages"]:
            prompt = one["kwargs"]["prompt"]["kwargs"]
            assert set(prompt["input_variables"]) == {
                name for _, name, *_ in string.Formatter().parse(prompt["template"]) if name
            }
            content = string.Formatter().vformat(prompt["template"], (), inputs)
            said.append({"role": roles[one["id"][-1].removesuffix("MessagePromptTemplate")], "content": content})
        return said

    return render


RENDERERS: Mapping[str, Callable[[str], Callable[[Inputs], Messages]]] = {
    "messages-json": messages_json,
    "python": lambda text: python(text)["render"],
    "jinja": jinja,
    "promptfoo": promptfoo,
    "dspy": dspy,
    "mlflow": mlflow,
    "langfuse": langfuse,
    "langsmith": langsmith,
    "openai": openai,
}


def plainly(messages: tuple[ChatMessage, ...]) -> Messages:
    """What was sent, as the API takes it."""
    return [{"role": message.speaker, "content": message.text} for message in messages]
