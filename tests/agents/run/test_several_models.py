"""`models.task` with several models: each example is asked of all, and the combined score decides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.config.configuration import build
from agents.directory.run_directory import JOURNAL
from agents.views.page.document import report_document
from memory.journals.reading import read_exchanges, read_journal
from protocols.errors import ConfigError
from protocols.messages import Evaluation
from tests.agents.moving.worlds import SECRET, model, row, save, serving, write
from tests.command_line import answer as found
from tests.command_line import invoke
from tests.wire.formats import conversation
from tests.wire_server import Fault, WireServer

BOTH = ["openai/one", "anthropic/two"]
PRICES = {"openai/one": (1.0, 2.0), "anthropic/two": (3.0, 4.0)}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test-0123456789abcdef")


GAINS = model(lambda text, secret: secret or int(text[-1]) < 4)
"""Right on four of ten, and with the secret on all."""
LOSES = model(lambda text, secret: not secret or int(text[-1]) < 8)
"""Right on all, and with the secret on eight of ten."""


@pytest.fixture
def servers() -> Iterator[tuple[WireServer, WireServer]]:
    with serving(GAINS) as one, serving(LOSES) as two:
        yield one, two


def written(servers: tuple[WireServer, WireServer], **search: object) -> Path:
    """The task, answered by a model of each server."""
    one, two = servers
    config = write(Path("task"), one.openai_url)
    text = config.read_text(encoding="utf-8")
    text = text.replace("[models]\n", f"[models]\ntask = {orjson.dumps(BOTH).decode()}\n")
    settings = "".join(f"{key} = {orjson.dumps(value).decode()}\n" for key, value in search.items())
    text = text.replace("[search]\n", f"[search]\n{settings}")
    text += f'[providers.anthropic]\nbase_url = "{two.url}"\nprice = {{ input = 3.0, output = 4.0 }}\n'
    config.write_text(text, encoding="utf-8")
    return config


def questions(server: WireServer) -> Counter[tuple[tuple[str, str], ...]]:
    """What a server was asked for the task, as it counts itself, whatever the wire format."""
    asked = (tuple(conversation(call.body)) for call in server.received)
    return Counter(
        turns for turns in asked if not any("</new>" in said or "</critique>" in said for _, said in turns)
    )


def paid(server: WireServer, name: str) -> float:
    of_input, of_output = PRICES[name]
    return (server.stats.input_tokens * of_input + server.stats.output_tokens * of_output) / 1e6


def evaluations(directory: str) -> list[Evaluation]:
    told = (envelope.message for envelope in read_journal(Path(directory) / JOURNAL, (Evaluation,)))
    return [message for message in told if isinstance(message, Evaluation)]


def test_the_mean_decides_and_what_each_model_gains_and_costs_is_told(servers: tuple[WireServer, WireServer]) -> None:
    one, two = servers
    config = written(servers)
    result = found("search", config, "--out", "run")
    assert questions(one) == questions(two), "both were asked the same"
    assert set(questions(one).values()) == {1}
    assert SECRET in Path("run/best_prompt.txt").read_text(encoding="utf-8")
    gained, lost = (result["by_model"][name] for name in BOTH)
    for value in ("first", "best"):
        mean = (gained["test"][value] + lost["test"][value]) / 2
        assert result["test"][value] == pytest.approx(mean)
        assert result[value]["value"] == pytest.approx((gained[value] + lost[value]) / 2)
    assert gained["test"]["difference"] > 0.3
    assert -0.5 < lost["test"]["difference"] < 0
    spent = {name: result["by_model"][name]["spent"] for name in BOTH}
    assert spent[BOTH[1]]["calls"] == two.stats.calls == questions(one).total()
    assert spent[BOTH[1]]["dollars"] == pytest.approx(paid(two, BOTH[1]))
    assert result["dollars"] == pytest.approx(paid(one, BOTH[0]) + paid(two, BOTH[1]))
    whole = result["answers"]["best"]["dollars"]
    assert whole == pytest.approx(sum(each["answers"]["best"]["dollars"] for each in (gained, lost)))
    assert all(set(each.models) == set(BOTH) for each in evaluations("run"))
    kept = [each for _, rows in read_exchanges(Path("run") / JOURNAL, 0, "validation") for each in rows]
    assert Counter(each.model for each in kept) == {name: 24 for name in BOTH}

    _, out, _ = invoke("show", "run")
    said = " ".join(out.split())
    assert f"{BOTH[0]}: on test 0." in said
    assert f"{BOTH[1]} loses: on test 1.000 at first" in said
    assert f"; the run spent {two.stats.calls:,} calls" in said
    assert [line for line in report_document(Path("run"))["remarks"] if line.startswith(BOTH[1])]
    wrong = found("show", "run", "--wrong")
    assert {each["model"] for each in wrong["wrong"]} == {BOTH[1]}
    assert f"Candidate {result['candidate']} on {BOTH[0]} answers 0 of 24" in invoke("show", "run", "--wrong")[1]
    calls = (one.stats.calls, two.stats.calls)
    assert found("replay", "run")["candidate"] == result["candidate"]
    assert found("runs", ".")["runs"][0]["model"] == " + ".join(BOTH)
    assert (one.stats.calls, two.stats.calls) == calls


def test_the_worst_refuses_what_one_model_gains_and_the_other_loses(servers: tuple[WireServer, WireServer]) -> None:
    one, two = servers
    one._answer = model(lambda text, secret: secret or int(text[-1]) < 2)
    two._answer = model(lambda text, secret: not secret or int(text[-1]) >= 2)
    config = written(servers, across_models="worst")
    gains = found("search", config, "--out", "gains")
    assert questions(one) == questions(two)
    assert gains["candidate"] > 0, "eight of ten in place of two"
    assert gains["by_model"][BOTH[1]]["test"]["best"] < 1.0, "though it is worse on one"
    for each in evaluations("gains"):
        assert each.value <= min(of.value for of in each.models.values())
    two._answer = model(lambda text, secret: not secret)
    stays = found("search", config, "--out", "stays", "--set", "search.seed=1")
    assert stays["candidate"] == 0, "one model would be wrong everywhere"


def test_what_a_prompt_scores_and_says_on_each_model(servers: tuple[WireServer, WireServer]) -> None:
    config = written(servers)
    scored = found("evaluate", "task/prompt.txt", config, "--rows", "rows.jsonl")
    assert scored["model"] == " + ".join(BOTH)
    models = scored["breakdown"]["models"]
    assert scored["value"] == pytest.approx(sum(models.values()) / 2)
    assert models[BOTH[1]] == 1.0
    assert {name: each["calls"] for name, each in scored["spent"].items()} == dict.fromkeys(BOTH, 24)
    assert scored["dollars"] == pytest.approx(sum(each["dollars"] for each in scored["spent"].values()))
    rows = [orjson.loads(line) for line in Path("rows.jsonl").read_bytes().splitlines()]
    assert Counter(row["model"] for row in rows) == dict.fromkeys(BOTH, 24)
    asked = found("ask", "task/prompt.txt", config, "--id", "old-205")
    assert (asked["model"], [each["model"] for each in asked["others"]]) == (BOTH[0], [BOTH[1]])
    assert (asked["score"], asked["others"][0]["score"]) == (0.0, 1.0)
    assert "cost of all" in invoke("ask", "task/prompt.txt", config, "--id", "old-205")[1]
    code, out, err = invoke("doctor", config, "--offline")
    assert code == 0, out + err
    assert "2 models answer each" in " ".join(out.split())
    roles = found("doctor", config, "--offline")["estimate"]["roles"]
    assert {f"task/{name}" for name in BOTH} <= roles.keys()
    code, _, err = invoke("search", config, "--set", "budget.calls=140", "--out", "run")
    assert (code, "take 144" in err) == (2, True), "24 validation examples and two prompts on 24 test examples, twice"


def test_an_example_that_one_model_leaves_unanswered_is_unanswered(servers: tuple[WireServer, WireServer]) -> None:
    _, two = servers
    two.faults.append(Fault(status=400, body=b'{"error": {"message": "no", "type": "invalid_request_error"}}'))
    scored = found("evaluate", "task/prompt.txt", written(servers))
    assert (scored["n"], scored["errors"], scored["reasons"]) == (23, 1, {"BadRequest": 1})


def test_a_prompt_for_several_models_goes_on_and_moves_to_others(servers: tuple[WireServer, WireServer]) -> None:
    config = written(servers, across_models="worst")
    found("search", config, "--out", "run")
    new = save(Path("new.jsonl"), [row(n, "new") for n in range(30)])
    more = found("continue", "run", new, "--out", "more", "--set", "search.assignments=1")
    assert more["by_model"].keys() == set(BOTH)
    moved = found("transfer", "run", "--to", BOTH[1], "--assignments", 1, "--out", "moved")
    assert (moved["earlier"], moved["model"]) == (" + ".join(BOTH), BOTH[1])
    repeated = [part for name in BOTH for part in ("--to", name)]
    assert found("transfer", "run", *repeated, "--assignments", 0, "--out", "same")["model"] == " + ".join(BOTH)
    listed = orjson.dumps([*reversed(BOTH)]).decode()
    several = found("transfer", "moved", "--to", listed, "--assignments", 0, "--out", "back")
    assert several["model"] == " + ".join(reversed(BOTH))
    code, _, err = invoke("transfer", "moved", "--to", "openai/one,anthropic/two")
    assert (code, 'as ["openai/one", "anthropic/two"]' in err) == (2, True)
    assert invoke("compare", "run", "more")[0] == 0
    code, _, err = invoke("compare", "run", "moved")
    assert (code, "are scored differently: models.task is" in err) == (2, True)
    assert invoke("export", "run", "--to", "messages-json", "--out", "prompt.json")[0] == 0


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"models": {"task": ["openai/a", "openai/a"]}}, "models.task: two are openai/a"),
        ({"models": {"task": []}}, "models.task: name a model, or several in a list"),
        ({"models": {"task": ["openai/a", 3]}}, "models.task: name one model, in quotes"),
        ({"task": {"program": "mine:answer"}, "prompts": {"say": {}}}, "task.program works with one alone"),
        ({"models": {"prompts": {"say": "openai/c"}}}, "models.prompts works with one alone"),
        ({"agents": {"evaluator": "mine:Evaluator"}}, "agents.evaluator works with one alone"),
        ({"task": {"metric": "preference", "rubric": "Kind."}}, "the metric preference works with one alone"),
        ({"models": {"task": "openai/a"}, "search": {"across_models": "worst"}}, "models.task is openai/a alone"),
        ({"models": {"task": ["openai/a"]}, "search": {"across_models": "worst"}}, "leave out search.across_models"),
        ({"models": {"task": "openai/a, openai/b"}}, 'as ["openai/a", "openai/b"]'),
    ],
)
def test_what_several_models_cannot_have_is_refused_at_loading(
    tables: Mapping[str, Mapping[str, Any]], said: str
) -> None:
    base: dict[str, dict[str, Any]] = {
        "task": {"name": "small", "data": "x.jsonl"},
        "models": {"default": "openai/x", "task": ["openai/a", "openai/b"]},
    }
    given = {name: {**base.get(name, {}), **tables.get(name, {})} for name in {*base, *tables}}
    with pytest.raises(ConfigError, match=re.escape(said)) as refused:
        build(given, Path())
    assert "\n" not in str(refused.value)


def test_a_list_of_one_model_is_that_model() -> None:
    given = {"task": {"name": "small", "data": "x.jsonl"}, "models": {"default": "openai/x", "task": ["openai/a"]}}
    assert (build(given, Path()).models.task, build(given, Path()).models.several) == ("openai/a", ())
