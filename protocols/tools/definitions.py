"""Definitions of tools and the schema of a reply: read from files, described by sections, offered to a model.

A file of tools is a list in the form of OpenAI's API, of Anthropic's, or of an MCP server; a file of a schema is the
JSON schema, or what either API takes around one.
https://platform.openai.com/docs/guides/function-calling, https://platform.claude.com/docs/en/agents-and-tools/tool-use,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from protocols.errors import ConfigError, PromptError
from protocols.model import Offer
from protocols.prompt import Prompt, Section
from protocols.tools.descriptions import TEXT, description_of, dump, replaced

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
KIND: Final = "tool"
REPLY: Final = "reply-schema"
"""The name of the section that describes the fields of the reply's schema."""
NO_PARAMETERS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. `function`: its definition, which has the schema of its parameters at `key`; `around`: what OpenAI's
    form has around it, None in Anthropic's form. `section`: the name of the section with its descriptions."""

    name: str
    section: str
    function: Mapping[str, Any]
    key: str
    around: Mapping[str, Any] | None

    @property
    def schema(self) -> Mapping[str, Any]:
        """The schema of the parameters."""
        schema: Mapping[str, Any] = self.function.get(self.key) or NO_PARAMETERS
        return schema

    @property
    def text(self) -> str:
        """The descriptions as the text of a section."""
        return dump(description_of(self.function), self.schema)

    def described(self, text: str) -> Tool:
        """The tool with the descriptions of this text."""
        if text == self.text:
            return self
        said, schema = replaced(text, description_of(self.function), self.schema)
        function = {**self.function}
        if self.key in function:
            function[self.key] = schema
        return replace(self, function=_with_description(function, said))

    @property
    def openai(self) -> Fields:
        """The definition in OpenAI's form; of one in the other form only what both know."""
        if self.around is not None:
            return {**self.around, "type": "function", "function": {**self.function}}
        return {"type": "function", "function": self._common("parameters")}

    @property
    def anthropic(self) -> Fields:
        """The definition in Anthropic's form; of one in the other form only what both know."""
        return {**self.function} if self.around is None else self._common("input_schema")

    def _common(self, key: str) -> Fields:
        known = {name: self.function[name] for name in ("name", TEXT, "strict") if name in self.function}
        return {**known, key: self.schema}


@dataclass(frozen=True, slots=True)
class ReplySchema:
    """The schema of a reply. `given`: what OpenAI's form has beside it: `name`, and `strict` if the user set it."""

    schema: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The descriptions as the text of a section."""
        return dump(description_of(self.schema), self.schema)

    def described(self, text: str) -> ReplySchema:
        """The schema with the descriptions of this text."""
        if text == self.text:
            return self
        said, schema = replaced(text, description_of(self.schema), self.schema)
        return replace(self, schema=_with_description(schema, said))

    @property
    def openai(self) -> Fields:
        """The field `response_format`."""
        return {"type": "json_schema", "json_schema": {**self.given, "schema": self.schema}}

    @property
    def anthropic(self) -> Fields:
        """The field `output_config`."""
        return {"format": {"type": "json_schema", "schema": self.schema}}


@dataclass(frozen=True, slots=True)
class Definitions:
    """The tools that a prompt offers, and the schema of its replies; the prompt's sections describe them."""

    tools: tuple[Tool, ...] = ()
    schema: ReplySchema | None = None

    @property
    def sections(self) -> tuple[Section, ...]:
        """A section for each tool, and one for the schema, with the descriptions of the files."""
        schema = (Section(REPLY, KIND, self.schema.text),) if self.schema else ()
        return (*(Section(tool.section, KIND, tool.text) for tool in self.tools), *schema)

    def completed(self, prompt: Prompt, file: str | None = None, others: bool = False) -> Prompt:
        """The prompt with those sections that it lacks; the others have its own texts. `others`: further sections may
        describe tools that are defined elsewhere.

        :raises PromptError: a section describes no tool, or has the name of one that does.
        """
        ours = {section.name: section for section in self.sections}
        for section in prompt:
            if section.kind == KIND and section.name not in ours and not others:
                known = ", ".join(ours) or "none: name their file under [prompt], tools = "
                raise PromptError(f"section {section.name} describes a tool that is not there ({known})", file=file)
            if section.kind != KIND and section.name in ours:
                raise PromptError(f"section {section.name} has the name of the one that describes a tool", file=file)
        there = {section.name for section in prompt}
        return Prompt((*prompt, *(section for name, section in ours.items() if name not in there)))

    def offer(self, prompt: Iterable[Section]) -> Offer | None:
        """What a request with this prompt offers, described by its sections; None if that is nothing."""
        if not self.tools and not self.schema:
            return None
        texts = {section.name: section.text for section in prompt if section.kind == KIND}
        tools = [tool.described(texts.get(tool.section, tool.text)) for tool in self.tools]
        openai: Fields = {"tools": [tool.openai for tool in tools]} if tools else {}
        anthropic: Fields = {"tools": [tool.anthropic for tool in tools]} if tools else {}
        if self.schema:
            schema = self.schema.described(texts.get(REPLY, self.schema.text))
            openai["response_format"], anthropic["output_config"] = schema.openai, schema.anthropic
        return Offer(openai, anthropic, tuple(tool.name for tool in tools))


NO_DEFINITIONS: Final = Definitions()


def _with_description(node: Fields, text: str) -> Fields:
    """The same with this description in its place, or after the name; without one if the text is blank."""
    if text == node.get(TEXT) or (not text and not description_of(node)):
        return node
    if not text:
        return {key: value for key, value in node.items() if key != TEXT}
    if TEXT in node:
        return {**node, TEXT: text}
    name = {"name": node["name"]} if "name" in node else {}
    return {**name, TEXT: text, **node}


def read_tools(told: object, file: str | None = None) -> tuple[Tool, ...]:
    """The tools in the JSON of a file.

    :raises ConfigError: one has no name, the name of another, or no schema, or it is not a tool that is called.
    """
    match told:
        case {"tools": list(listed)} | list(listed):
            entries = listed
        case {"name": _} | {"function": _}:
            entries = [told]
        case _:
            entries = []
    if not entries:
        raise ConfigError(
            'no tools; write a list such as [{"name": …, "description": …, "parameters": {…}}]', file=file
        )
    tools = [_tool(entry, number, file) for number, entry in enumerate(entries, start=1)]
    for name, count in Counter(tool.name for tool in tools).items():
        if count > 1:
            raise ConfigError(f"two tools are called {name!r}", file=file)
    return _in_sections(tools)


def _in_sections(tools: Sequence[Tool]) -> tuple[Tool, ...]:
    """The tools with names of sections that are distinct."""
    named: dict[str, Tool] = {}
    for tool in tools:
        section = base = f"{KIND}-" + re.sub(r"[^a-z0-9_-]", "-", tool.name.lower())
        number = 1
        while section in named:
            number += 1
            section = f"{base}-{number}"
        named[section] = replace(tool, section=section)
    return tuple(named.values())


def _tool(entry: object, number: int, file: str | None) -> Tool:
    """:raises ConfigError: see `read_tools`."""
    if not isinstance(entry, Mapping):
        raise ConfigError(f"tool {number} is not an object", file=file)
    around: Mapping[str, Any] | None
    match entry:
        case {"function": Mapping() as function}:
            around, key = {name: value for name, value in entry.items() if name != "function"}, "parameters"
        case {"input_schema": _}:
            function, around, key = entry, None, "input_schema"
        case {"inputSchema": schema}:  # an MCP server's; the APIs refuse its other keys
            function = {name: entry[name] for name in ("name", TEXT) if name in entry} | {"input_schema": schema}
            around, key = None, "input_schema"
        case _:
            function = {name: value for name, value in entry.items() if name != "type"}
            around, key = {"type": entry.get("type", "function")}, "parameters"
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"tool {number} has no name", file=file)
    if not NAME.fullmatch(name):
        raise ConfigError(f"tool {name!r}: a name has at most 128 letters, digits, _ and -", file=file)
    if around is not None and around.get("type", "function") != "function":
        raise ConfigError(
            f"tool {name}: {around['type']!r} is none that a reply calls with arguments by a schema", file=file
        )
    schema = function.get(key)
    if schema is not None and not (isinstance(schema, Mapping) and schema.get("type", "object") == "object"):
        raise ConfigError(f'tool {name}: {key} is no JSON schema of an object, {{"type": "object", …}}', file=file)
    if function.get(TEXT) is not None and not isinstance(function[TEXT], str):
        raise ConfigError(f"tool {name}: the description is not a text", file=file)
    return Tool(name, "", function, key, around)


def read_schema(told: object, file: str | None = None) -> ReplySchema:
    """The schema in the JSON of a file. For OpenAI it is strict if it fulfils the conditions, unless the file says
    otherwise.

    :raises ConfigError: there is none.
    """
    given: Fields = {}
    match told:
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema, **beside}}:
            given = {str(key): value for key, value in beside.items()}
        case {"type": "json_schema", "schema": Mapping() as schema}:
            pass
        case {"name": str(), "schema": Mapping() as schema, **beside}:
            given = {str(key): value for key, value in beside.items()}
        case Mapping() as schema if schema and schema.get("type") != "json_schema":
            pass
        case _:
            raise ConfigError('not a JSON schema, such as {"type": "object", "properties": {…}}', file=file)
    title = schema.get("title")
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", title if isinstance(title, str) else "").strip("_")[:64]
    strict = {} if "strict" in given or loose(schema) is not None else {"strict": True}
    return ReplySchema(schema, {"name": name or "reply", **strict, **given})


def loose(schema: object, path: str = "the schema") -> str | None:
    """Where an object of the schema allows other fields, which Anthropic refuses, or does not require all of its own,
    as OpenAI's strict mode demands; None if none does."""
    return next(iter(open_objects(schema, path)), None) or next(iter(_optional(schema, path)), None)


def open_objects(schema: object, path: str = "the schema") -> list[str]:
    """The objects of the schema that allow fields that it does not name."""
    return [place for place, node in _objects(schema, path) if node.get("additionalProperties") is not False]


def _optional(schema: object, path: str) -> list[str]:
    return [
        place
        for place, node in _objects(schema, path)
        if set(node.get("properties") or {}) != set(node.get("required") or [])
    ]


def _objects(node: object, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The nodes of a schema that describe objects, with their places in words."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    if isinstance(node, list):
        return [one for inner in node for one in _objects(inner, path)]
    if not isinstance(node, Mapping):
        return []
    if node.get("type") == "object" or "properties" in node:
        found.append((path, node))
    for group in ("properties", "$defs", "definitions"):
        inner = node.get(group)
        for name, one in inner.items() if isinstance(inner, Mapping) else ():
            found += _objects(one, name)
    for group in ("items", "anyOf", "oneOf", "allOf"):
        found += _objects(node.get(group), path)
    return found
