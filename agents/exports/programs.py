"""Prompts for tools that run Python: promptfoo, which calls a function for each test, and DSPy."""

from __future__ import annotations

import json

from agents.exports import notation
from agents.exports.literals import literal
from agents.exports.portable import Portable
from agents.exports.python_file import python_file
from protocols.errors import PromptError

PROMPTFOO = '''

def promptfoo(context: dict) -> dict:
    """The prompt for promptfoo. It reads what a function returns as a template of Nunjucks, so braces are escaped."""
    inputs = {name: value for name, value in context["vars"].items() if name in FIELDS}
    messages = [{**message, "content": escaped(message["content"])} for message in render(inputs)]
    return {"prompt": messages, "config": OFFER}


def escaped(content: object) -> object:
    if isinstance(content, str):
        return re.sub(r"\\{(?=[{%#])|#(?=\\})", lambda found: '{{ "%s" }}' % found[0], content)
    return [{**part, "text": escaped(part["text"])} if "text" in part else part for part in content]
'''
CONFIGURATION = """# The prompt {name}, for promptfoo: `promptfoo eval -c {file}`.
# yaml-language-server: $schema=https://promptfoo.dev/config-schema.json
description: {name}
prompts:
  - id: {prompt}
    label: {name}
providers:
  - echo # shows the messages, and asks no model; for example openai:gpt-5-mini
tests:
  - vars: {vars}
"""
DSPY = '''

class Reply(dspy.Signature):
    """The system message is this signature's instructions; demos with the field `message` are sent as they are."""

{inputs}
    reply: str = dspy.OutputField()


SYSTEM = next((message["content"] for message in FIXED[:1] if message["role"] == "system"), "")
# The same as DSPy keeps it: without white space at its ends, and with a text of its own if it is empty.
KEPT = Reply.with_instructions(SYSTEM).instructions


class AsSearched(dspy.Adapter):
    """Sends the messages that the search has sent, in which the instructions and demos may be others."""

    def format(self, signature: type, demos: list, inputs: dict) -> list:
        names = {{name: field for field, name in NAMES.items()}}
        said = SYSTEM if signature.instructions == KEPT else signature.instructions
        system = [{{"role": "system", "content": said}}] if said else []
        filled = render({{names[name]: value for name, value in inputs.items() if name in names}})
        return [*system, *(turn for demo in demos for turn in shown(demo, names)), *filled[len(FIXED) :]]

    def parse(self, signature: type, completion: str) -> dict:
        return {{next(iter(signature.output_fields)): completion}}


def shown(demo: dict, names: dict) -> list:
    """A worked example as two turns."""
    message = demo.get("message")
    if message is None:
        message = PROMPT.said({{names[name]: demo[name] for name in names if name in demo}})[0]["content"]
    return [{{"role": "user", "content": message}}, {{"role": "assistant", "content": demo["reply"]}}]


def program() -> dspy.Predict:
    """The prompt as a module: `dspy.configure(lm=..., adapter=AsSearched())`, then `program()({call}).reply`."""
    turns = FIXED[bool(SYSTEM) :]
    predict = dspy.Predict(Reply.with_instructions(SYSTEM), **OFFER)
    predict.demos = [
        dspy.Example(message=user["content"], reply=assistant["content"])
        for user, assistant in zip(turns[::2], turns[1::2])
    ]
    return predict


# The input fields by the names that the signature has for them.
NAMES = {names}
'''
TAKEN = frozenset({"message", "reply", "instructions", "fields", "signature", "copy", "json", "dict", "schema"})
"""Names that a signature of DSPy cannot have for an input beside ours."""


def promptfoo(portable: Portable, stem: str) -> tuple[dict[str, str], list[str]]:
    """A file of Python, and a configuration that calls it."""
    config = CONFIGURATION.format(
        name=json.dumps(portable.name, ensure_ascii=False),
        file=f"{stem}.yaml",
        prompt=json.dumps(f"file://{stem}.py:promptfoo"),
        vars=json.dumps(dict.fromkeys(portable.required, "write an input here"), ensure_ascii=False),
    )
    return {f"{stem}.py": python_file(portable, PROMPTFOO), f"{stem}.yaml": config}, []


def dspy(portable: Portable) -> tuple[str, list[str]]:
    """A file of Python with a signature, a module, and an adapter that sends the same messages.

    :raises PromptError: the prompt offers tools.
    """
    if portable.offer and "tools" in portable.offer.openai:
        raise PromptError("a DSPy predictor gets tools as inputs, not with its prompt; use python")
    fields = portable.required or portable.fields
    names = notation.identifiers(fields, taken=TAKEN)
    inputs = "\n".join(f"    {name}: str = dspy.InputField()" for name in names.values())
    call = ", ".join(f"{name}=..." for name in names.values())
    code = DSPY.format(inputs=inputs, names=literal(dict(names)), call=call)
    return python_file(portable, code, ["import dspy\n"]), notation.renamed(names)
