"""Prompts as JSON documents: plain messages, and what OpenAI, MLflow, Langfuse and LangSmith read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agents.exports import notation
from agents.exports.portable import Piece, Portable, Turn, Variable, variables
from protocols.errors import PromptError

Json = dict[str, Any]
Exported = tuple[str, list[str]]
"""The text of a file, and remarks."""
MLFLOW_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
VARIABLE = re.compile(r"\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*(?:\.[a-zA-Z_][a-zA-Z0-9_]*)*)\s*\}\}")
"""A variable of MLflow, as `mlflow/prompt/constants.py` of release 3.17 has it."""
MESSAGES = {"system": "System", "user": "Human", "assistant": "AI"}
"""The kinds of messages in LangChain's names of classes."""


def messages_json(portable: Portable, fixed: bool) -> Exported:
    """Messages whose content is a text or, where it varies, a list of texts and of `{"field": name}`."""
    turns = portable.turns(fixed, "messages-json")
    messages = [{"role": turn.role, "content": _parts(turn)} for turn in turns]
    return _dumps({"fields": variables(portable, turns), "messages": messages, **_offered(portable)}), []


def openai(portable: Portable, fixed: bool) -> Exported:
    """The body of a request for chat completions, with variables as in OpenAI's prompt objects, `{{name}}`."""
    turns = portable.turns(fixed, "openai")
    names = notation.identifiers(portable.fields) | {"inputs": "inputs"}
    for turn in turns:
        known = [names[piece.name] for piece in turn.pieces if isinstance(piece, Variable)]
        if turn.varies:
            notation.check_doubled(_once(notation.doubled(turn.pieces, names), known), _named(turn, names), "openai")
        elif any(f"{{{{{name}}}}}" in turn.text for name in variables_of(turns, names)):
            notation.refuse_doubled("openai")
    messages = [{"role": turn.role, "content": notation.doubled(turn.pieces, names)} for turn in turns]
    return _dumps({"messages": messages, **_offered(portable)}), notation.renamed(_of(portable, turns, names))


def langfuse(portable: Portable, fixed: bool) -> Exported:
    """The arguments of `create_prompt`, a prompt of the type chat."""
    turns = portable.turns(fixed, "langfuse")
    names = notation.identifiers(portable.fields) | {"inputs": "inputs"}
    known = variables_of(turns, names)
    for turn in turns:
        if "@@@langfusePrompt:" in turn.text:
            raise PromptError("the prompt's text has @@@langfusePrompt:, which Langfuse replaces; use python")
        found = _langfuse(notation.doubled(turn.pieces, names), known)
        notation.check_doubled(found, _named(turn, names), "langfuse")
    messages = [{"role": turn.role, "content": notation.doubled(turn.pieces, names)} for turn in turns]
    document = {"name": portable.name, "type": "chat", "prompt": messages, "config": _offered(portable)}
    return _dumps(document), notation.renamed(_of(portable, turns, names))


def mlflow(portable: Portable, fixed: bool) -> Exported:
    """The arguments of `mlflow.genai.register_prompt`. The template is one of Jinja where MLflow's own notation,
    whose variables are replaced one after the other, could give another text."""
    turns = portable.turns(fixed, "mlflow")
    names = notation.identifiers(portable.fields) | {"inputs": "inputs"}
    plain = len(portable.fields) <= 1 and _mlflow_is_exact(turns, names)
    write = notation.doubled if plain else notation.jinja
    messages = [{"role": turn.role, "content": write(turn.pieces, names)} for turn in turns]
    if not plain and not any("{%" in message["content"] and "%}" in message["content"] for message in messages):
        messages[0]["content"] = "{% raw %}{% endraw %}" + messages[0]["content"]  # says that it is Jinja
    document: Json = {"name": MLFLOW_NAME.sub("-", portable.name), "template": messages}
    offered = _offered(portable)
    if schema := offered.get("response_format"):
        document["response_format"] = schema["json_schema"]["schema"]
    if tools := offered.get("tools"):
        document["model_config"] = {"extra_params": {"tools": tools}}
    remarks = notation.renamed(_of(portable, turns, names))
    return _dumps(document), remarks + ([] if plain else ["the template is one of Jinja: MLflow needs jinja2 for it"])


def langsmith(portable: Portable, fixed: bool) -> Exported:
    """A `ChatPromptTemplate`, or a `StructuredPrompt` for a schema, as LangChain stores it, in format strings."""
    turns = portable.turns(fixed, "langsmith")
    offered = _offered(portable)
    if "tools" in offered:
        raise PromptError("langsmith keeps tools with a model, not with a prompt; use python, or openai for both")
    names = notation.identifiers(portable.fields) | {"inputs": "inputs"}
    shown = variables(portable, turns)
    kwargs: Json = {
        "input_variables": [names[name] for name in shown],
        "messages": [_langchain_message(turn, names) for turn in turns],
    }
    place = ["langchain", "prompts", "chat", "ChatPromptTemplate"]
    if schema := offered.get("response_format"):
        place = ["langchain_core", "prompts", "structured", "StructuredPrompt"]
        kwargs["schema_"] = {"title": schema["json_schema"].get("name", "reply"), **schema["json_schema"]["schema"]}
    return _dumps(_constructor(place, kwargs)), notation.renamed(_of(portable, turns, names))


def variables_of(turns: Sequence[Turn], names: Mapping[str, str]) -> list[str]:
    """The variables of all turns, as they are called in the notation."""
    return [names[piece.name] for turn in turns for piece in turn.pieces if isinstance(piece, Variable)]


def _langchain_message(turn: Turn, names: Mapping[str, str]) -> Json:
    shown = dict.fromkeys(names[piece.name] for piece in turn.pieces if isinstance(piece, Variable))
    template = {
        "input_variables": list(shown),
        "template": notation.format_string(turn.pieces, names),
        "template_format": "f-string",
    }
    prompt = _constructor(["langchain", "prompts", "prompt", "PromptTemplate"], template)
    place = ["langchain", "prompts", "chat", f"{MESSAGES[turn.role]}MessagePromptTemplate"]
    return _constructor(place, {"prompt": prompt})


def _constructor(place: Sequence[str], kwargs: Json) -> Json:
    return {"lc": 1, "type": "constructor", "id": place, "kwargs": kwargs}


def _parts(turn: Turn) -> str | list[str | Json]:
    if not turn.varies:
        return turn.text
    return [piece if isinstance(piece, str) else {"field": piece.name} for piece in turn.pieces]


def _named(turn: Turn, names: Mapping[str, str]) -> list[Piece]:
    return [piece if isinstance(piece, str) else Variable(names[piece.name]) for piece in turn.pieces]


def _of(portable: Portable, turns: Sequence[Turn], names: Mapping[str, str]) -> Mapping[str, str]:
    return {name: names[name] for name in variables(portable, turns)}


def _offered(portable: Portable) -> Json:
    return dict(portable.offer.openai) if portable.offer else {}


def _once(text: str, names: Sequence[str]) -> list[Piece]:
    """The pieces that are left if each `{{name}}` is replaced once, from left to right."""
    if not names:
        return [text] if text else []
    split = re.split(r"\{\{(" + "|".join(map(re.escape, names)) + r")\}\}", text)
    return [Variable(one) if n % 2 else one for n, one in enumerate(split) if n % 2 or one]


def _langfuse(text: str, names: Sequence[str]) -> list[Piece]:
    """The pieces that Langfuse finds: from each `{{` to the next `}}` a name, which stays where it is unknown
    (`TemplateParser` of its SDK for Python, release 5.0)."""
    pieces, start, begun = list[Piece](), 0, 0
    while (opens := text.find("{{", start)) >= 0 and (closes := text.find("}}", opens)) >= 0:
        start = closes + 2
        if (name := text[opens + 2 : closes].strip()) in names:
            pieces += [*filter(None, [text[begun:opens]]), Variable(name)]
            begun = start
    return [*pieces, *filter(None, [text[begun:]])]


def _mlflow_is_exact(turns: Sequence[Turn], names: Mapping[str, str]) -> bool:
    """Whether MLflow's own notation finds our variables in these texts, and no others."""
    texts = [notation.doubled(turn.pieces, names) for turn in turns]
    marked = any("{%" in text and "%}" in text for text in texts)
    found = all(
        [*filter(None, re.split(VARIABLE, text)[::2])] == [p for p in turn.pieces if isinstance(p, str) and p]
        and VARIABLE.findall(text) == variables_of([turn], names)
        for turn, text in zip(turns, texts, strict=True)
    )
    return found and not marked


def _dumps(document: Json) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"
