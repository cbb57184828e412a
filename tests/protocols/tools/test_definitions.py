"""Definitions of tools survive every text of their sections, and the wire formats get what the sections say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ConfigError, PromptError
from protocols.files import prompt_file
from protocols.prompt import Prompt, Section
from protocols.tools.definitions import Definitions, Tool, read_schema, read_tools
from protocols.tools.descriptions import load

INPUT = Section("input", "task", "{text}", frozen=True)
TRAINS: dict[str, Any] = {
    "name": "find_trains",
    "description": "Finds trains.\nfrom: is no parameter here\n\\from: nor here",
    "parameters": {
        "type": "object",
        "properties": {
            "from": {"type": "string", "description": "the station"},
            "to": {"type": "string", "enum": ["A", "B"]},
            "legs": {
                "type": "array",
                "items": {"type": "object", "properties": {"class": {"description": "1 or 2"}}},
            },
        },
        "required": ["from"],
    },
    "strict": False,
}
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "from: x",
        "\\from: x",
        "- `from`: y",
        "**from:** z",
        "a\r\nb",
        " padded \n",
        "\n\nfrom:",
        "{text}",
        "=== a (task) ===",
    ]
)
names = st.sampled_from(["from", "to", "a.b", "a", "b c", "größe", "x:y", "", " z", "description", "properties"])


def fields(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas with descriptions at some of their fields, and keys that nobody knows."""
    described = st.fixed_dictionaries({}, optional={"description": words, "x-own": words, "type": st.just("string")})
    if not depth:
        return described
    inner = fields(depth - 1)
    tables = st.dictionaries(names, inner, max_size=4)
    nested = {"properties": tables, "items": inner, "anyOf": st.lists(inner, max_size=2), "$defs": tables}
    return st.builds(lambda one, more: {**one, **more}, described, st.fixed_dictionaries({}, optional=nested))


functions = st.builds(
    lambda key, parameters, more: {"name": "f", key: {**parameters, "type": "object"}, **more},
    st.sampled_from(["parameters", "input_schema"]),
    fields(2),
    st.fixed_dictionaries({}, optional={"description": words, "strict": st.booleans(), "cache_control": words}),
)


TABLES = ("properties", "$defs")


def bare(node: Any, schema: bool = True) -> Any:
    """All of a schema but its descriptions, with the order of its keys."""
    if isinstance(node, list):
        return [bare(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    return [
        (key, bare(inner, not (schema and key in TABLES)))
        for key, inner in node.items()
        if not (schema and key == "description" and isinstance(inner, str))
    ]


@given(functions, words)
def test_a_text_changes_nothing_but_descriptions(function: dict[str, Any], text: str) -> None:
    [tool] = read_tools([function])
    for said in (text, f"from: {text}\n{tool.text}", ""):
        assert bare(dict(tool.described(said).function)) == bare(function)
    assert tool.described(tool.text).function == function


def renamed(node: Any, text: str, schema: bool = True) -> Any:
    """The same with this text in place of each description."""
    if isinstance(node, list):
        return [renamed(inner, text) for inner in node]
    if not isinstance(node, dict):
        return node
    return {
        key: text if schema and key == "description" else renamed(inner, text, not (schema and key in TABLES))
        for key, inner in node.items()
    }


@given(functions)
def test_a_text_brings_all_its_descriptions_back(function: dict[str, Any]) -> None:
    [tool], [other] = read_tools([function]), read_tools([renamed(function, "old")])
    back = other.described(tool.text)
    said, wanted = (load(one.text, tool.schema) for one in (back, tool))
    assert said == wanted


def tools(*given: Mapping[str, Any]) -> Definitions:
    return Definitions(read_tools(list(given)))


def sent_of(definitions: Definitions, prompt: Prompt, form: str) -> dict[str, Any]:
    """The first tool in the fields of a body."""
    tool: dict[str, Any] = getattr(definitions.offer(prompt), form)["tools"][0]
    return tool


@given(functions)
def test_sections_survive_prompt_files(function: dict[str, Any]) -> None:
    definitions = tools(function)
    prompt = definitions.completed(Prompt((INPUT,)))
    assert prompt_file.loads(prompt_file.dumps(prompt)) == prompt
    sent = sent_of(definitions, prompt, "anthropic" if "input_schema" in function else "openai")
    assert sent.get("function", sent) == function


def test_a_section_shows_each_parameter_and_is_put_back() -> None:
    definitions = tools({"type": "function", "function": TRAINS, "x": 1})
    prompt = definitions.completed(Prompt((INPUT,)))
    section = prompt["tool-find_trains"]
    assert section.text.split("\n") == [
        "Finds trains.", "\\from: is no parameter here", "\\\\from: nor here", "from: the station", "to:", "legs:",
        "legs[].class: 1 or 2",
    ]  # fmt: skip
    edited = prompt.edit(section.name, "Only trains.\n- **to**: where to\nnot by bus\nfrom:", ["text"])
    sent = sent_of(definitions, edited, "openai")
    assert sent["x"] == 1
    function = sent["function"]
    assert list(function) == list(TRAINS)
    assert function["description"] == "Only trains."
    properties = function["parameters"]["properties"]
    assert properties["from"] == {"type": "string"}
    assert properties["to"] == {"type": "string", "enum": ["A", "B"], "description": "where to\nnot by bus"}
    assert sent_of(definitions, edited, "anthropic") == {
        "name": "find_trains",
        "description": "Only trains.",
        "strict": False,
        "input_schema": function["parameters"],
    }


def test_a_tool_section_is_part_of_no_message_and_has_no_placeholders() -> None:
    prompt = tools({"name": "f", "description": "{text} {examples:3}"}).completed(Prompt((INPUT,)))
    assert [message.text for message in prompt.render({"text": "a"})] == ["a"]
    assert prompt["tool-f"].filled == ""
    assert prompt.edit("tool-f", "other", ["text"])["tool-f"].text == "other"
    with pytest.raises(PromptError, match="in no message"):
        Section("tool-f", "tool", "", form="input")


def test_names_of_sections_are_distinct() -> None:
    named = tools({"name": "Get"}, {"name": "get"}, {"name": "get-2"})
    assert [tool.section for tool in named.tools] == ["tool-get", "tool-get-2", "tool-get-2-2"]


def test_equal_offers_have_equal_keys_and_orders_differ() -> None:
    one, other = {"name": "a"}, {"name": "b"}
    prompt = Prompt((INPUT,))
    assert tools(one, other).offer(prompt) == tools(one, other).offer(prompt)
    assert tools(one, other).offer(prompt) != tools(other, one).offer(prompt)
    assert Definitions().offer(prompt) is None


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([], "no tools"),
        ("a", "no tools"),
        ([1], "tool 1 is not an object"),
        ([{"name": "a"}, {"description": "b"}], "tool 2 has no name"),
        ([{"name": "a b"}], "letters, digits"),
        ([{"name": "a"}, {"name": "a"}], "two tools are called 'a'"),
        ([{"name": "a", "parameters": "string"}], "no JSON schema"),
        ([{"name": "a", "input_schema": {"type": "string"}}], "no JSON schema"),
        ([{"name": "a", "description": 3}], "not a text"),
        ([{"type": "web_search_20250305", "name": "web_search"}], "web_search_20250305"),
    ],
)
def test_what_is_no_list_of_tools_is_refused(told: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_tools(told, "tools.json")


def test_an_mcp_servers_list_is_read() -> None:
    [tool] = read_tools({"tools": [{"name": "a", "inputSchema": {"type": "object"}, "annotations": {}}]})
    assert tool.anthropic == {"name": "a", "input_schema": {"type": "object"}}


@pytest.mark.parametrize("text", ["", "A person.\nname: the name", "name:\nother: x"])
def test_a_schemas_fields_are_described_by_a_section(text: str) -> None:
    schema = {
        "title": "A Person",
        "type": "object",
        "description": "A person.",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    definitions = Definitions((), read_schema(schema))
    prompt = definitions.completed(Prompt((INPUT,)))
    assert prompt["reply-schema"].text == "A person.\nname:"
    offer = definitions.offer(prompt.edit("reply-schema", text, ["text"]))
    assert offer is not None
    sent: Any = offer.openai["response_format"]
    assert sent["json_schema"]["name"] == "A_Person"
    assert sent["json_schema"]["strict"] is True
    assert bare(sent["json_schema"]["schema"]) == bare(schema)
    assert offer.anthropic["output_config"] == {
        "format": {"type": "json_schema", "schema": sent["json_schema"]["schema"]}
    }


def test_a_schema_is_strict_if_it_can_be() -> None:
    assert "strict" not in read_schema({"type": "object", "properties": {"a": {}}}).given
    wrapped = {"type": "json_schema", "json_schema": {"name": "n", "strict": False, "schema": {"type": "string"}}}
    assert read_schema(wrapped).openai == wrapped
    wrongs: list[object] = [[], 1, {}, {"type": "json_schema"}]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match="not a JSON schema"):
            read_schema(wrong)


def test_a_prompt_with_sections_of_no_tool_is_refused() -> None:
    stray = Prompt((INPUT, Section("tool-g", "tool", "x")))
    with pytest.raises(PromptError, match="tool-g describes a tool that is not there"):
        tools({"name": "f"}).completed(stray)
    with pytest.raises(PromptError, match="has the name"):
        tools({"name": "f"}).completed(Prompt((INPUT, Section("tool-f", "task", "x"))))
    known: Tool = tools({"name": "f", "description": "a"}).tools[0]
    assert known.text == "a"
