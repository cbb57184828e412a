"""Every export renders, byte for byte, what the search sends: for any texts, any inputs, and examples that are found
for each input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agents.exports.formats import FORMATS, TEMPLATES, Format, write_as
from agents.exports.portable import Portable
from agents.exports.source import open_prompts
from agents.prompting.retrieval_slots import RetrievalSlots, open_slots, slots_of
from agents.results.saving import save_best
from protocols.errors import PromptError
from protocols.prompt import Prompt, Section
from protocols.task import Example
from tests.renderers import RENDERERS, plainly
from tests.strategies import FIELDS, prompts, texts
from tests.world import TASK

values = texts | st.sampled_from(["{{question}}", "{{ text }}", "{% raw %}", "{#", "#}", "}}", "a parcel", "付款"])
inputs = st.fixed_dictionaries(dict.fromkeys(FIELDS, values))
pools = st.lists(st.tuples(inputs, st.sampled_from(["yes", "no", "付款"])), min_size=1, max_size=8)
spiced = st.lists(
    st.sampled_from(["{{", "}}", "{", "{%", "%}", "{#", "#}", "{text}", "\r", "\n", "x", '"']), max_size=9
)


NO_ESCAPES = ("langfuse", "openai")
"""Notations that cannot write braces where they look for a variable."""


def slots_for(
    pool: list[tuple[dict[str, str], str]], corpus: tuple[str, ...] = ("a card", "付款 {text}")
) -> RetrievalSlots:
    train = tuple(Example(f"t{n}", given, target) for n, (given, target) in enumerate(pool))
    return open_slots(replace(TASK, train=train, fields=FIELDS), corpus)


def saved(folder: Path, prompt: Prompt, slots: RetrievalSlots) -> Portable:
    save_best(folder, prompt, slots)
    [portable], _ = open_prompts(folder)
    return replace(portable, texts=True)


def render(form: Format, portable: Portable, given: Mapping[str, str]) -> object:
    exported = write_as(form, portable, "exported")
    text = next(text for name, text in exported.files.items() if not name.endswith(".yaml"))
    shown = {name: value for name, value in given.items() if name in (portable.required or given)}
    return RENDERERS[form](text)(shown if form == "dspy" else given)


@pytest.mark.parametrize("form", FORMATS)
@given(drawn=prompts, more=spiced.map("".join), pool=pools, given=st.lists(inputs, min_size=1, max_size=3))
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_export_sends_what_the_search_sends(
    tmp_path_factory: pytest.TempPathFactory,
    form: Format,
    drawn: Prompt,
    more: str,
    pool: list[tuple[dict[str, str], str]],
    given: list[dict[str, str]],
) -> None:
    assume("spice" not in {section.name for section in drawn})
    prompt = Prompt((*drawn, Section("spice", "task", f"{more}{{text}}{more}")))
    slots = slots_for(pool)
    portable = saved(tmp_path_factory.mktemp("run"), prompt, slots)
    for one in given:
        try:
            got = render(form, portable, one)
        except PromptError as refused:
            reasons = (form in TEMPLATES and bool(slots_of(prompt)), form in NO_ESCAPES and "{{" in refused.reason)
            if not any(reasons):
                raise
            return
        assert got == plainly(prompt.render(slots.inputs(prompt, one)))


@pytest.mark.parametrize("form", FORMATS)
def test_ten_inputs_with_braces_other_scripts_and_the_nearest_examples(tmp_path: Path, form: Format) -> None:
    """The templates refuse it in one line, or show the same examples to all inputs if a person says so."""
    told = [
        "a {parcel}",
        '{"a": {"b": 1}}',
        "付款 退款",
        "😀 👩‍🚀",
        "{{text}}",
        "{% if %}",
        "\x00\x1b[0m\t",
        "a\r\nb",
        "card \\n",
        "parcel 2",
    ]
    slots = slots_for([({"text": text, "question": f"{n}?"}, "yes") for n, text in enumerate(told)])
    shown = Section("shown", "examples", "{examples:3}", form="turns")
    prompt = Prompt(
        (
            Section("task", "task", 'Say {"label": "付款"} 😀'),
            shown,
            Section("know", "knowledge", "{passages:1}\n{examples:2}"),
            Section("in", "task", "Text: {text}\n{question}"),
        )
    )
    portable = saved(tmp_path, prompt, slots)
    asked = [{"text": text, "question": "which?"} for text in told]
    if form in TEMPLATES:
        with pytest.raises(PromptError, match=r"nearest to each input, and .* cannot find them: .*--fixed-examples"):
            write_as(form, portable, "exported")
        exported = (
            write_as(form, portable, "exported", fixed_examples=True) if form not in ("langfuse", "openai") else None
        )
        assert exported is None or "no run has scored" in exported.remarks[0]
        return
    for one in asked:
        assert render(form, portable, one) == plainly(prompt.render(slots.inputs(prompt, one)))


@pytest.mark.parametrize("form", FORMATS)
def test_fields_whose_names_are_no_identifiers_get_others(tmp_path: Path, form: Format) -> None:
    names = ("my text", "class", "文本", "x.y", "1st", "my_text", "reply")
    prompt = Prompt((Section("in", "task", "\n".join(f"{{{name}}}" for name in names)),))
    slots = open_slots(replace(TASK, train=(Example("a", dict.fromkeys(names, "v"), "yes"),), fields=names), ())
    portable = saved(tmp_path, prompt, slots)
    given = {name: f"{{{n}}} {name}" for n, name in enumerate(names)}
    exported = write_as(form, portable, "exported")
    text = next(text for name, text in exported.files.items() if name.endswith((".py", ".json", ".jinja")))
    if form not in ("python", "promptfoo", "dspy", "messages-json"):
        from agents.exports.notation import identifiers

        given = {new: given[old] for old, new in identifiers(tuple(sorted(names))).items()}
        assert len(given) == len(names)
        assert "'my text' is " in exported.remarks[0]
    assert RENDERERS[form](text)(given) == plainly(prompt.render({n: f"{{{i}}} {n}" for i, n in enumerate(names)}))


def test_the_tools_and_the_schema_go_along_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "best_prompt.txt").write_text("=== in (task) ===\n{text}\n", encoding="utf-8")
    (tmp_path / "best_prompt.fields.json").write_text('["text"]', encoding="utf-8")
    tool = {
        "type": "function",
        "function": {"name": "find", "description": "付款 {x}", "parameters": {"type": "object", "properties": {}}},
    }
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    openai = {"tools": [tool], "response_format": schema}
    offered = json.dumps([openai, {"tools": [{"name": "find", "input_schema": {}}]}])
    (tmp_path / "best_prompt.offer.json").write_text(offered, encoding="utf-8")
    [portable], _ = open_prompts(tmp_path)
    for form in FORMATS:
        if form in ("jinja", "langsmith", "dspy"):
            with pytest.raises(PromptError, match="tools"):
                write_as(form, portable, "exported")
            continue
        text = next(iter(write_as(form, portable, "exported").files.values()))
        assert "find" in text
        if form == "python":
            assert RENDERERS["python"](text)({"text": "x"}) == [{"role": "user", "content": "x"}]
        else:
            RENDERERS[form](text)
