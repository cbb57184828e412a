"""Writes a prompt as one file of Python that needs nothing else, and renders what the search has sent."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from importlib import resources

from agents.exports.literals import flat, literal
from agents.exports.portable import Portable
from agents.prompting.retrieval_slots import EXAMPLES, PASSAGES
from protocols.model import ChatMessage
from protocols.providers.openai import message_of

OURS = "agents.exports.standalone"
DOC = '''"""The prompt {name!r}, written by `promptflow export`. It needs Python 3.9 or newer, and nothing else.

    messages = render({{{fields}}})

The messages are those of OpenAI's API, and the same, byte for byte, as the search has sent.{more}
"""
'''
VALUES = """
A value is a text, a conversation (a list of turns), or an image, {"image": "receipt.png"}, alone or among texts."""
FIND = '''

def find(kind: str, query: str, k: int) -> list:
    """The `k` examples ("turns" or "examples") or passages that are most similar to the query, best first."""
    return {found}'''
RENDER = '''

PROMPT = {made}(FIXED, NEAREST, VARYING, FIELDS, REQUIRED, find, of_program={of_program})


def render(inputs: Mapping[str, str]) -> list[Message]:
    """The messages for one input, whose fields are given by name."""
    return PROMPT.render(inputs)


def request(inputs: Mapping[str, str]) -> dict:
    """The messages with the tools and the schema that were sent beside them, for OpenAI's chat completions."""
    return {{"messages": render(inputs), **OFFER}}
'''


def python_file(portable: Portable, after: str = "", imports: Sequence[str] = ()) -> str:
    """The file's text. `after`: code at its end, which needs these `imports`."""
    modules = ["rendering"]
    modules += ["values"] if not portable.texts else []
    modules += ["retrieving"] if portable.saved.slots else []
    parts = [_taken_apart(module) for module in modules]
    needed = _imports("".join([*(lines for lines, _ in parts), *imports]))
    made = "Prompt" if portable.texts else "ChatPrompt"
    fields = ", ".join(f"{field!r}: ..." for field in portable.required)
    doc = DOC.format(name=portable.name, fields=fields, more="" if portable.texts else VALUES)
    head = f"{doc}\nfrom __future__ import annotations\n\n{''.join(needed)}\n{''.join(_data(portable))}"
    code = "\n\n".join(code for _, code in parts)
    end = FIND.replace("{found}", _found(portable)) + RENDER.format(made=made, of_program=portable.saved.of_program)
    return f"{head}\n\n{code}{end}{after}"


def _data(portable: Portable) -> Iterator[str]:
    """The assignments at the beginning."""
    template = portable.template
    yield "# The messages that are the same for every input.\n"
    yield f"FIXED = {literal([_message(message) for message in template.fixed])}\n"
    yield "# The examples that follow as turns: found for each input.\n"
    yield f"NEAREST = {literal(list(template.places))}\n"
    yield "# The parts of the user message, between which there is a blank line; `{field}` is the field's value.\n"
    yield f"VARYING = {literal(list(template.varying))}\n"
    yield f"FIELDS = {literal(portable.fields)}\n"
    yield "# Those that an input must have.\n"
    yield f"REQUIRED = {literal(portable.required)}\n"
    yield f"OFFER = {literal(dict(portable.offer.openai) if portable.offer else {})}\n"
    for name, shelf in sorted(portable.saved.slots.items()):
        columns = "passage" if name == PASSAGES else "text, turns"
        yield f"# What is found for an input. Columns: key, {columns}.\n"
        yield f"{name.upper()} = [\n"
        for key, item in zip(shelf.keys, shelf.items, strict=True):
            turns = [_message(turn) for turn in item.turns] if all(t.text.strip() for t in item.turns) else []
            row = (key, item.text) if name == PASSAGES else (key, item.text, turns)
            yield f"    {flat(row)},\n"
        yield "]\n"


def _message(message: ChatMessage) -> object:
    return message_of(message)


def _found(portable: Portable) -> str:
    """What `find` returns, and what it needs."""
    columns = {EXAMPLES: {"examples": 1, "turns": 2}, PASSAGES: {"passages": 1}}
    used = [name for name in columns if name in portable.saved.slots]
    if not used:
        return "[]\n"
    shelves = [
        f'    "{kind}": Nearest([row[0] for row in {name.upper()}], [row[{column}] for row in {name.upper()}]),\n'
        for name in used
        for kind, column in columns[name].items()
    ]
    return "SHELVES[kind].nearest(query, k)\n\n\nSHELVES = {\n" + "".join(shelves) + "}\n"


def _taken_apart(module: str) -> tuple[str, str]:
    """The imports of a module and its code below them."""
    source = resources.files(OURS).joinpath(f"{module}.py").read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    lines, first, last = source.splitlines(keepends=True), nodes[0].lineno - 1, nodes[-1].end_lineno or 0
    return "".join(lines[first:last]), "".join(lines[last:]).strip("\n") + "\n"


def _imports(lines: str) -> str:
    """The imports, each module once, without ours."""
    whole, parts = set[str](), dict[str, set[str]]()
    for node in ast.parse(lines).body:
        if isinstance(node, ast.Import):
            whole |= {f"import {name.name}" for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__" and not _is_ours(node.module or ""):
            parts.setdefault(node.module or "", set()).update(name.name for name in node.names)
    named = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(parts.items())]
    return "".join(f"{line}\n" for line in [*sorted(whole), *named])


def _is_ours(module: str) -> bool:
    return module.startswith(OURS)
