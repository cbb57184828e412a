"""Files with all the keys that the documentation of each tool shows, with data of our own: what comes in is what is
sent, and the configuration passes `doctor`.

https://www.promptfoo.dev/docs/configuration/modular-configs/, https://www.promptfoo.dev/docs/configuration/test-cases/,
https://github.com/openai/evals/blob/main/docs/build-eval.md, https://developers.openai.com/api/reference/resources/evals,
https://developers.openai.com/api/docs/guides/supervised-fine-tuning, https://docs.openwebui.com/features/evaluation/,
https://huggingface.co/docs/trl/dataset_formats, https://langfuse.com/docs/api-and-data-platform/features/export-from-ui,
https://langfuse.com/faq/all/export-single-trace-or-session,
https://mlflow.org/docs/latest/genai/tracing/search-traces/, https://mlflow.org/docs/latest/genai/datasets/
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agents.check.doctor import diagnose
from agents.config.configuration import load
from agents.config.loading import load_task
from agents.imports.writing import Origin, import_to
from protocols.files import prompt_file

pytestmark = pytest.mark.anyio
N = 16
LABELS = ("kitchen", "reception")
SYSTEM = "Which desk answers a guest? Name it."
Files = Mapping[str, str]


def asked(n: int) -> str:
    return f'Zimmer {n}: {{wo}} ist "das" Frühstück? 付款 😀'


def answered(n: int) -> str:
    return LABELS[n % 2]


def lines(make: Callable[[int], Any]) -> str:
    return "".join(json.dumps(make(n), ensure_ascii=False) + "\n" for n in range(N))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, [*rows[0]])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def turns(n: int, *, reply: bool = True, **of_reply: Any) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked(n)}]
    return [*said, {"role": "assistant", "content": answered(n), **of_reply}] if reply else said


PROMPTFOO = """\
# yaml-language-server: $schema=https://promptfoo.dev/config-schema.json
description: Which desk answers a guest
tags: {env: production}
prompts: file://configs/prompts.yaml
providers: file://configs/providers.yaml
tests: file://configs/tests/
defaultTest: file://configs/default-test.yaml
outputPath: results.json
evaluateOptions: {maxConcurrency: 4}
"""
OF_PROMPTFOO: Files = {
    "promptfooconfig.yaml": PROMPTFOO,
    "configs/prompts.yaml": "- file://prompts/desk.json\n- {id: short, label: Short, raw: 'Desk? {{message}}'}\n",
    "prompts/desk.json": json.dumps(
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "{{ message }}"}]
    ),
    "configs/providers.yaml": "- id: fast\n  provider: openai:chat:gpt-5-mini\n  config: {temperature: 0.7}\n",
    "configs/default-test.yaml": "assert:\n  - type: latency\n    threshold: 5000\n",
    "configs/tests/1.yaml": "".join(
        f"- description: guest {n}\n  vars: {{message: {json.dumps(asked(n), ensure_ascii=False)}}}\n"
        f"  assert:\n    - {{type: equals, value: {answered(n)}}}\n  metadata: {{category: math}}\n"
        for n in range(N // 2)
    ),
    "configs/tests/2.csv": table(
        [
            {"message": asked(n), "__expected1": f"equals:{answered(n)}", "__description": "a guest",
             "__metadata:category": "x", "__threshold": "0.8"}
            for n in range(N // 2, N)
        ]
    ),
}  # fmt: skip

OF_EVALS: Files = {"desk.jsonl": lines(lambda n: {"input": turns(n, reply=False), "ideal": answered(n)})}
GRADER = {
    "type": "string_check", "name": "Match output to human label", "operation": "eq",
    "input": "{{ sample.output_text }}", "reference": "{{ item.correct_label }}",
}  # fmt: skip
OF_EVALS_API: Files = {
    "eval.json": json.dumps(
        {
            "object": "eval", "id": "eval_67e321d23b54819096e6bfe140161184", "created_at": 1742938578, "metadata": {},
            "name": "IT Ticket Categorization",
            "data_source_config": {
                "type": "custom",
                "schema": {"type": "object", "properties": {"item": {"type": "object", "properties": {
                    "guest_text": {"type": "string"}, "correct_label": {"type": "string"}}}}, "required": ["item"]},
            },
            "testing_criteria": [GRADER],
        },
        indent=2,
    ),
    "data.jsonl": lines(lambda n: {"item": {"guest_text": asked(n), "correct_label": answered(n)}}),
}  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
OF_TUNING: Files = {
    "tuned.jsonl": lines(lambda n: {"messages": turns(n, weight=1), "tools": TOOLS, "parallel_tool_calls": False})
}
OF_DPO: Files = {
    "preferred.jsonl": lines(
        lambda n: {
            "input": {"messages": turns(n, reply=False), "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": answered(n)}],
            "non_preferred_output": [{"role": "assistant", "content": answered(n + 1)}],
        }
    )
}


def of_open_webui(n: int) -> dict[str, Any]:
    said = [
        {"id": f"m{n}-{place}", "parentId": None, "childrenIds": [], "timestamp": 1770000000, **turn}
        for place, turn in enumerate([*turns(n), {"role": "user", "content": "Thanks!"}])
    ]
    return {
        "id": f"f{n}", "user_id": "u", "version": 0, "type": "rating",
        "data": {"rating": 1, "model_id": "m", "sibling_model_ids": None, "reason": "accurate_information",
                 "comment": "", "tags": [], "details": {"rating": 9}},
        "meta": {"model_id": "m", "message_id": f"m{n}-2", "message_index": 2, "chat_id": "c", "base_models": {}},
        "snapshot": {"chat": {"id": "c", "user_id": "u", "title": "t", "chat": {
            "id": "", "title": "t", "models": ["m"], "params": {}, "history": {"messages": {}, "currentId": "x"},
            "messages": said, "tags": [], "timestamp": 1}}},
        "created_at": 1770000000, "updated_at": 1770000000,
    }  # fmt: skip


OF_WEBUI: Files = {"feedback-history-export.json": json.dumps([of_open_webui(n) for n in range(N)])}
OF_TRL: Files = {
    "unpaired.jsonl": lines(lambda n: {"prompt": turns(n, reply=False), "completion": turns(n)[2:], "label": True})
}
OF_THUMBS: Files = {"chats.jsonl": lines(lambda n: {"messages": turns(n, feedback={"rating": "thumbs_up"})})}


def of_langfuse(n: int) -> dict[str, Any]:
    return {
        "id": f"t{n}", "timestamp": "2026-11-01T10:00:00.000Z", "name": "desk", "userId": None, "sessionId": None,
        "release": None, "version": None, "environment": "default", "tags": [], "bookmarked": False, "public": False,
        "input": turns(n, reply=False), "output": {"role": "assistant", "content": answered(n)}, "metadata": {},
        "latency": 0.4, "usage": {"promptTokens": 30, "completionTokens": 2, "totalTokens": 32}, "scores": {},
    }  # fmt: skip


def item(n: int) -> dict[str, Any]:
    return {
        "id": f"i{n}", "status": "ACTIVE", "datasetId": "d", "datasetName": "desk", "sourceTraceId": None,
        "sourceObservationId": None, "createdAt": "2026-11-01", "updatedAt": "2026-11-01", "metadata": None,
        "input": {"message": asked(n)}, "expectedOutput": {"desk": answered(n)},
    }  # fmt: skip


def observations(n: int) -> list[dict[str, Any]]:
    root = {
        "id": f"o{n}", "traceId": f"t{n}", "type": "SPAN", "name": "desk", "parentObservationId": None,
        "startTime": "2026-11-01", "endTime": "2026-11-01", "level": "DEFAULT",
        "input": json.dumps({"messages": turns(n, reply=False)}), "output": answered(n),
    }  # fmt: skip
    inner = {**root, "id": f"g{n}", "type": "GENERATION", "parentObservationId": f"o{n}", "input": "?", "output": "!"}
    return [root, inner]


def in_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in row.items()}


OF_LANGFUSE: Files = {"traces.json": json.dumps([of_langfuse(n) for n in range(N)])}
OF_LANGFUSE_CSV: Files = {"traces.csv": "\ufeff" + table([in_cells(of_langfuse(n)) for n in range(N)])}
OF_LANGFUSE_ITEMS: Files = {"items.json": json.dumps({"data": [item(n) for n in range(N)], "meta": {"page": 1}})}
OF_OBSERVATIONS: Files = {
    "observations.json": json.dumps(
        {"data": [one for n in range(N) for one in observations(n)], "meta": {"cursor": None}}
    )
}
OF_ONE_TRACE: Files = {
    f"trace-t{n}.json": json.dumps(
        {"trace": {**of_langfuse(n), "scores": []}, "observations": observations(n), "scores": []}
    )
    for n in range(N)
}


def of_mlflow(n: int, expectation: Mapping[str, Any]) -> dict[str, Any]:
    span = {
        "trace_id": "uQ==", "span_id": "g==", "name": "desk", "start_time_unix_nano": 1, "end_time_unix_nano": 2,
        "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""},
    }  # fmt: skip
    root = {
        "mlflow.traceRequestId": json.dumps(f"tr-{n}"), "mlflow.spanType": json.dumps("CHAIN"),
        "mlflow.spanInputs": json.dumps({"message": asked(n)}), "mlflow.spanOutputs": json.dumps("someone"),
    }  # fmt: skip
    inner = {"mlflow.spanInputs": json.dumps({"x": 1}), "mlflow.spanOutputs": json.dumps("?")}
    return {
        "info": {
            "trace_id": f"tr-{n}", "client_request_id": None, "state": "OK", "request_time": "2026-11-01T10:00:00Z",
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
            "request_preview": "…", "response_preview": "…", "execution_duration": "0.4s", "tags": {},
            "trace_metadata": {"mlflow.trace_schema.version": "3"},
            "assessments": [
                {"assessment_id": "a", "assessment_name": "desk", "trace_id": f"tr-{n}", "valid": True,
                 "source": {"source_type": "HUMAN", "source_id": "me"}, "create_time": "2026-11-01",
                 "last_update_time": "2026-11-01", "expectation": expectation},
                {"assessment_id": "b", "assessment_name": "clear", "trace_id": f"tr-{n}", "feedback": {"value": True},
                 "source": {"source_type": "LLM_JUDGE", "source_id": "j"}},
            ],
        },
        "data": {"spans": [
            {**span, "parent_span_id": None, "attributes": root},
            {**span, "parent_span_id": "g==", "attributes": inner},
        ]},
    }  # fmt: skip


def serialized(n: int) -> dict[str, Any]:
    return {"serialized_value": {"value": json.dumps(answered(n)), "serialization_format": "JSON_FORMAT"}}


def searched(n: int) -> dict[str, Any]:
    whole = of_mlflow(n, {"value": answered(n)})
    return {
        "trace_id": f"tr-{n}", "trace": json.dumps(whole), "client_request_id": None, "state": "OK",
        "request_time": 1, "execution_duration": 400, "request": {"message": asked(n)}, "response": "someone",
        "trace_metadata": {}, "tags": {}, "spans": whole["data"]["spans"],
        "assessments": whole["info"]["assessments"],
    }  # fmt: skip


OF_MLFLOW: Files = {
    "traces.json": json.dumps(
        {"traces": [of_mlflow(n, {"value": answered(n)}) for n in range(N)], "next_page_token": None}
    )
}
OF_MLFLOW_SERIALIZED: Files = {"traces.jsonl": lines(lambda n: of_mlflow(n, serialized(n)))}
OF_MLFLOW_TABLE: Files = {"traces.json": json.dumps([searched(n) for n in range(N)])}
OF_MLFLOW_RECORDS: Files = {
    "records.jsonl": lines(
        lambda n: {
            "dataset_record_id": f"dr-{n}", "dataset_id": "d", "inputs": {"message": asked(n)}, "outputs": None,
            "expectations": {"expected_response": answered(n)}, "tags": {}, "source": None, "source_type": "HUMAN",
            "created_time": 1, "last_update_time": 1, "created_by": "me", "last_updated_by": "me",
        }
    )
}  # fmt: skip

SHAPES: dict[str, tuple[Origin, Files]] = {
    "promptfoo": ("promptfoo", OF_PROMPTFOO),
    "evals": ("openai-evals", OF_EVALS),
    "evals api": ("openai-evals", OF_EVALS_API),
    "tuning": ("openai-finetune", OF_TUNING),
    "preferences": ("openai-finetune", OF_DPO),
    "open webui": ("chat-log", OF_WEBUI),
    "trl": ("chat-log", OF_TRL),
    "thumbs": ("chat-log", OF_THUMBS),
    "langfuse": ("langfuse", OF_LANGFUSE),
    "langfuse csv": ("langfuse", OF_LANGFUSE_CSV),
    "langfuse items": ("langfuse", OF_LANGFUSE_ITEMS),
    "langfuse observations": ("langfuse", OF_OBSERVATIONS),
    "langfuse traces one by one": ("langfuse", OF_ONE_TRACE),
    "mlflow": ("mlflow", OF_MLFLOW),
    "mlflow serialized": ("mlflow", OF_MLFLOW_SERIALIZED),
    "mlflow table": ("mlflow", OF_MLFLOW_TABLE),
    "mlflow records": ("mlflow", OF_MLFLOW_RECORDS),
}
NO_SYSTEM = {"evals api", "langfuse items", "mlflow", "mlflow serialized", "mlflow table", "mlflow records"}
"""Shapes that hold no prompt."""


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_file_as_the_documentation_shows_it_becomes_a_task_that_doctor_passes(
    tmp_path: Path, shape: str
) -> None:
    origin, files = SHAPES[shape]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    given = [tmp_path / name for name in files if origin != "promptfoo" or name == "promptfooconfig.yaml"]
    made = import_to(origin, given, tmp_path / "made")
    assert made.examples == N, made.remarks
    settings = ["models.default=embedded"]
    diagnosis = await diagnose(Path(made.configuration), settings, {}, offline=True)
    assert diagnosis.exit_code == 0, diagnosis.findings
    task = load_task(load(Path(made.configuration), settings))
    rows = [*task.train, *task.validation, *task.test]
    prompt = prompt_file.load(tmp_path / "made" / "prompt.txt")
    found = set()
    for row in rows:
        sent = [(message.speaker, message.text) for message in prompt.render(row.inputs)]
        assert sent[:-1] == ([] if shape in NO_SYSTEM else [("system", SYSTEM)])
        found.add((sent[-1], row.target))
    assert found == {(("user", asked(n)), answered(n)) for n in range(N)}
