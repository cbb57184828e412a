"""Renders what `benchmarks.exports` has written with the library that reads it, and compares: run by an interpreter
that has the library, and needs nothing of ours. The last line of its output is the result."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Inputs = Mapping[str, str]
Render = Callable[[Inputs], Any]


def module(path: Path) -> Any:
    """The names of a file of Python."""
    return SimpleNamespace(**runpy.run_path(str(path)))


def plain(folder: Path) -> Render:
    document = json.loads((folder / "messages-json.json").read_text("utf-8"))

    def content(said: Any, inputs: Inputs) -> str:
        return (
            said if isinstance(said, str) else "".join(p if isinstance(p, str) else inputs[p["field"]] for p in said)
        )

    return lambda inputs: [
        {"role": m["role"], "content": content(m["content"], inputs)} for m in document["messages"]
    ]


def python(folder: Path) -> Render:
    render: Render = module(folder / "python.py").render
    return render


def jinja(folder: Path) -> Render:
    import jinja2

    text = (folder / "jinja.json.jinja").read_bytes().decode("utf-8")
    made = [
        jinja2.Environment(**o).from_string(text)
        for o in ({}, {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True})
    ]

    def render(inputs: Inputs) -> Any:
        one, other = (json.loads(template.render(**inputs)) for template in made)
        assert one == other
        return one

    return render


def mlflow(folder: Path) -> Render:
    from mlflow.entities.model_registry.prompt_version import PromptVersion

    document = json.loads((folder / "mlflow.json").read_text("utf-8"))
    made = PromptVersion(document["name"], 1, document["template"])
    again = PromptVersion(document["name"], 1, json.loads(json.dumps(document["template"])))
    assert made.template == again.template
    return lambda inputs: made.format(**inputs)


def langfuse(folder: Path) -> Render:
    from langfuse.api import Prompt_Chat
    from langfuse.model import ChatPromptClient

    document = json.loads((folder / "langfuse.json").read_text("utf-8"))
    made = Prompt_Chat.model_validate({**document, "version": 1, "labels": [], "tags": []})
    client = ChatPromptClient(made)
    return lambda inputs: [{"role": m["role"], "content": m["content"]} for m in client.compile(**inputs)]


def langsmith(folder: Path) -> Render:
    from langchain_core.load import load
    from langchain_core.messages import convert_to_openai_messages
    from langsmith.wrappers import _openai  # noqa: F401 - says that langsmith is there

    made = load(json.loads((folder / "langsmith.json").read_text("utf-8")), allowed_objects="core")
    return lambda inputs: [
        {"role": m["role"], "content": m["content"]}
        for m in convert_to_openai_messages(made.invoke(inputs).to_messages())
    ]


def openai(folder: Path) -> Render:
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from pydantic import TypeAdapter

    document = json.loads((folder / "openai.json").read_text("utf-8"))
    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python({"model": "m", **document})
    import re

    def render(inputs: Inputs) -> Any:
        names = re.compile(r"\{\{(" + "|".join(map(re.escape, inputs)) + r")\}\}")
        return [
            {"role": m["role"], "content": names.sub(lambda f: inputs[f[1]], m["content"])}
            for m in document["messages"]
        ]

    return render


def dspy(folder: Path) -> Render:
    import dspy

    made = module(folder / "dspy.py")
    seen = []

    class Recorder(dspy.BaseLM):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("recorder")

        def __call__(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> list[str]:
            seen.append(messages)
            return ["yes"]

    def render(inputs: Inputs) -> Any:
        with dspy.context(lm=Recorder(), adapter=made.AsSearched()):
            assert made.program()(**inputs).reply == "yes"
        return seen[-1]

    return render


def promptfoo(folder: Path, command: Sequence[str]) -> Render:
    """All inputs in one evaluation with the provider `echo`."""
    cases = json.loads((folder.parent / "cases.json").read_text("utf-8"))[int(folder.name[4:])]
    config = (folder / "promptfoo.yaml").read_text("utf-8").partition("\ntests:")[0]
    tests = json.dumps([{"vars": one} for one in cases["inputs"]])
    (folder / "tested.yaml").write_text(f"{config}\ntests: {tests}\n", "utf-8")
    done = subprocess.run(
        [
            *command,
            "eval",
            "-c",
            "tested.yaml",
            "-o",
            "out.json",
            "--no-cache",
            "--no-table",
            "--no-progress-bar",
            "-j",
            "1",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if not (folder / "out.json").exists():
        raise RuntimeError((done.stderr or done.stdout)[-600:])
    results = json.loads((folder / "out.json").read_text("utf-8"))["results"]["results"]
    said = {
        json.dumps(r["testIdx"]): json.loads(r["response"]["output"]) if r.get("response") else r.get("error")
        for r in results
    }
    order = iter([said[str(n)] for n in range(len(cases["inputs"]))])
    return lambda inputs: next(order)


def main() -> None:
    form, folder, command = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    open_one = {"messages-json": plain, "promptfoo": lambda one: promptfoo(one, command)}.get(form) or globals()[form]
    equal = total = refused = made = 0
    different = []
    for n, case in enumerate(json.loads((folder / "cases.json").read_text("utf-8"))):
        if form in case["refused"]:
            refused += 1
            continue
        if form == "promptfoo" and n >= 14:
            break
        try:
            render = open_one(folder / f"case{n}")
        except (ImportError, FileNotFoundError) as error:
            print(f"skipped: {error}")
            return
        made += 1
        for inputs, sent in zip(case["inputs"], case["sent"], strict=True):
            total += 1
            got = render(inputs)
            equal += got == sent
            if got != sent:
                different.append((n, inputs, sent, got))
    for one in different[:3]:
        print(json.dumps(one, ensure_ascii=True))
    print(f"{equal} of {total} renderings equal, of {made} prompts; {refused} refused")


if __name__ == "__main__":
    main()
