"""From a configuration to a kind, a parser and a metric: what is refused, and a judge that is a model like others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import pytest

from agents.config.configuration import Configuration, build
from agents.config.loading import load_first_prompt, load_task, remarks
from agents.config.metrics import json_as_words
from agents.config.roles import roles
from agents.directory.resume_fingerprint import check_fingerprint, resume_fingerprint
from agents.forecast.composed import Asked
from agents.forecast.estimate import estimate
from agents.ring.evaluator import value_of
from agents.run.opening import open_run
from agents.run.scoring import Scoring
from memory.journals.reading import read_calls, read_journal
from protocols.errors import ConfigError, DataError
from protocols.messages import Evaluation, Outcome
from protocols.metrics.weighted import Weighted
from protocols.prompt import Prompt, Section
from protocols.task import Example, Json
from tests.small_task import SIMULATED, SIZES
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
TARGETS: Mapping[str, Sequence[Json]] = {
    "classification": ["invoice", "parcel", "退款"],
    "multilabel": [["invoice", "退款"], ["parcel"], []],
    "ordinal": [1, "5", 3.0],
    "ner": [{"person": ["Ada"]}, {"地址": ["北京"], "person": ["Bob", "Eve"]}, {}],
    "reading": [["Ada", "Ada L."], [], "Bob"],
    "generation": ["A poem", {"a": 1}, 3],
    "reasoning": ["12", 7, ["3/4", "0.75"]],
}
RECEIPT: Json = {"amount": 58.99, "shop": "Aldi"}
JUDGED = {"metric": "judge", "rubric": "Say more."}


def configure(
    folder: Path,
    kind: str,
    keys: Mapping[str, object] | None = None,
    targets: Sequence[Json] | None = None,
    tables: Mapping[str, object] | None = None,
) -> Configuration:
    """A task of `kind` in `folder`; `keys` are further ones of its table, `tables` further tables."""
    given = targets or TARGETS[kind]
    for split, size in SIZES.items():
        rows = [
            {"input": {"text": f"{split} {n}"}, "target": given[n % len(given)], "id": f"{split}-{n}"}
            for n in range(size)
        ]
        (folder / f"{split}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    table = {"name": "t", "kind": kind, **{split: f"{split}.jsonl" for split in SIZES}, **(keys or {})}
    return build({"models": SIMULATED, "task": table, **(tables or {})}, folder)


@pytest.mark.parametrize("kind", TARGETS)
async def test_every_kind_has_a_layout_that_says_how_to_answer_and_a_metric_that_agrees(
    kind: str, tmp_path: Path
) -> None:
    configuration = configure(tmp_path, kind)
    task = load_task(configuration)
    prompt = load_first_prompt(configuration, task)
    [system, user] = prompt.render(task.train[0].inputs)
    assert user.text == f"Text: train 0\n{task.kind.cue}".strip()
    for example in task.train:
        assert (await task.metric.judge(example, task.kind.show(example.target))).score == 1
    said = {
        "classification": ["Labels: invoice, parcel, 退款"],
        "multilabel": ["Labels: invoice, parcel, 退款", 'such as ["invoice", "parcel"]', "Reply [] if none fits"],
        "ordinal": ["one whole number from 1 to 5"],
        "ner": ["Types: person, 地址", '{"person": ["..."], "地址": ["..."]}', "Reply {} if there is none"],
        "reading": ["reply: no answer"],
        "generation": [],
        "reasoning": ["Answer: <the final answer>"],
    }
    assert all(words in system.text for words in said[kind])


@pytest.mark.parametrize(
    ("kind", "targets", "reason"),
    [
        ("classification", ["a", ["b"]], "targets that are no labels"),
        ("multilabel", [["a"], "a, b"], "no lists of labels"),
        ("multilabel", [["a"], [["b"]]], "no lists of labels"),
        ("ordinal", [1, True], "no ratings"),
        ("ordinal", [1, [2]], "no ratings"),
        ("ner", [{"person": ["Ada"]}, {"person": "Ada"}], "an object of lists of texts"),
        ("ner", [{"person": [""]}], "an object of lists of texts"),
        ("ner", ["Ada"], "an object of lists of texts"),
        ("reading", [["Ada"], [1]], "a text or a list of texts"),
        ("reasoning", ["1", []], "a text, a number, or a list of them"),
        ("reasoning", [True], "a text, a number, or a list of them"),
        ("reasoning", [{"a": 1}], "a text, a number, or a list of them"),
    ],
)
def test_targets_that_do_not_fit_the_kind_are_refused(
    kind: str, targets: Sequence[Json], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"{reason}.*ids train-"):
        load_task(configure(tmp_path, kind, targets=targets))


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (["bad", "good"], "ratings that are no numbers .*task.labels"),
        ([3, 3], "all ratings of the train split are the same"),
        (["0.5", 1000, *range(101)], "different ratings"),
    ],
)
def test_a_scale_of_unknown_order_or_length_is_refused(targets: Sequence[Json], reason: str, tmp_path: Path) -> None:
    configuration = configure(tmp_path, "ordinal")
    for split in SIZES:
        lines = (orjson.dumps({"text": f"{split} {n}", "target": target}) for n, target in enumerate(targets))
        (tmp_path / f"{split}.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=reason):
        load_task(configuration)


MORE: Mapping[str, tuple[Sequence[str], Json]] = {
    "classification": (["invoice", "parcel", "退款", "fraud"], "fraud"),
    "multilabel": (["invoice", "parcel", "退款", "fraud"], ["fraud", "invoice"]),
    "ordinal": (["1", "3", "5", "9"], "9"),
    "ner": (["person", "地址", "fraud"], {"fraud": ["Ada"]}),
}


@pytest.mark.parametrize("kind", MORE)
async def test_labels_that_no_training_example_has_are_known_to_prompt_parser_and_operators(
    kind: str, tmp_path: Path
) -> None:
    labels, target = MORE[kind]
    (tmp_path / "labels.txt").write_text("\n".join(labels), encoding="utf-8")
    for given in (labels, "labels.txt"):
        configuration = configure(tmp_path, kind, {"labels": given})
        with (tmp_path / "test.jsonl").open("ab") as file:
            file.write(b"\n" + orjson.dumps({"input": {"text": "new"}, "target": target, "id": "new"}))
        task = load_task(configuration)
        assert task.test[-1].target == target
        assert not task.kind.names.missing(load_first_prompt(configuration, task))
        assert labels[-1] in task.kind.names.all
        assert task.answers[labels[-1]] == 0
        assert (await task.metric.judge(task.test[-1], task.kind.show(target))).score == 1
    with pytest.raises(DataError, match="the train split lacks"):
        load_task(configuration.model_copy(update={"task": configuration.task.model_copy(update={"labels": None})}))


def test_a_run_goes_on_with_the_same_labels_however_they_are_given(tmp_path: Path) -> None:
    def fingerprint(labels: object) -> Mapping[str, object]:
        configuration = configure(tmp_path, "classification", {"labels": labels})
        task = load_task(configuration)
        return resume_fingerprint(configuration, task, (), load_first_prompt(configuration, task))

    labels = ["invoice", "parcel", "退款", "fraud"]
    (tmp_path / "labels.txt").write_text("\n".join(labels), encoding="utf-8")
    stored = orjson.loads(orjson.dumps(fingerprint(labels)))
    check_fingerprint(stored, fingerprint("labels.txt"), "out")
    with pytest.raises(ConfigError, match="the list of labels differs"):
        check_fingerprint(stored, fingerprint([*labels[:3], "theft"]), "out")


@pytest.mark.parametrize(
    ("kind", "labels", "reason"),
    [
        ("classification", ["invoice"], "labels that task.labels lacks: parcel"),
        ("multilabel", ["invoice"], "labels that task.labels lacks: parcel"),
        ("ordinal", ["1", "3"], "labels that task.labels lacks: 5"),
        ("ner", ["person"], "types that task.labels lacks: 地址"),
        ("classification", ["a", "a"], "task.labels has 'a' twice"),
        ("classification", [], "task.labels names no label"),
        ("classification", "nowhere.txt", "nowhere.txt"),
        ("reading", ["a"], "a task of the kind reading has no labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(kind: str, labels: object, reason: str, tmp_path: Path) -> None:
    with pytest.raises((DataError, ConfigError), match=reason):
        load_task(configure(tmp_path, kind, {"labels": labels}))


@pytest.mark.parametrize(
    ("kind", "metric"),
    [("multilabel", "accuracy"), ("multilabel", "squad_f1"), ("ordinal", "micro_f1"), ("classification", "mae")],
)
def test_a_metric_of_another_kind_is_refused_with_those_that_suit(kind: str, metric: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{metric} does not suit task.kind = '{kind}'.*; there are "):
        load_task(configure(tmp_path, kind, {"metric": metric}))


def test_a_type_that_the_train_split_lacks_is_refused(tmp_path: Path) -> None:
    configuration = configure(tmp_path, "ner")
    (tmp_path / "test.jsonl").write_text('{"input": {"text": "x"}, "target": {"pet": ["Rex"]}}', encoding="utf-8")
    with pytest.raises(DataError, match="test split has types that the train split lacks: pet"):
        load_task(configuration)


@pytest.mark.parametrize(
    ("kind", "keys", "reason"),
    [
        ("classification", {"metric": "acuracy"}, "unknown task.metric 'acuracy'; there are accuracy, macro_f1"),
        ("classification", {"metric": "nowhere:f"}, "task.metric 'nowhere:f' cannot be imported"),
        ("classification", {"metric": "math:pi"}, "no class and no function"),
        ("classification", {"metric": "entity_f1"}, "entity_f1 does not suit task.kind = 'classification'"),
        ("ner", {"metric": "squad_f1"}, "squad_f1 does not suit task.kind = 'ner'"),
        ("generation", {"metric": "judge"}, "metric judge and task.rubric go together"),
        ("generation", {"rubric": "Be kind."}, "metric judge or preference and task.rubric go together"),
        ("generation", {"metric": "regex", "pattern": "("}, "no regular expression"),
        ("generation", {"metric": "json_schema", "json_schema": "nowhere.json"}, r"nowhere\.json: cannot read"),
        ("generation", {"metric": "json_schema", "json_schema": "train.jsonl"}, r"train\.jsonl.*not JSON"),
        ("generation", {"parser": ":f"}, "task.parser ':f' cannot be imported"),
        ("classification", {"metric": ".mine:f"}, "task.metric '.mine:f' cannot be imported: it begins with a dot"),
    ],
)
def test_what_cannot_be_a_metric_is_named_before_anything_is_spent(
    kind: str, keys: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_task(configure(tmp_path, kind, keys))


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({}, r"^task\.metric: dictionary should have at least 1 item"),
        ({"exact": 0}, r"^task\.metric\.exact: input should be greater than 0$"),
        (3, r"^task\.metric: input should be a valid dictionary$"),
    ],
)
def test_weights_are_positive(metric: object, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=reason):
        configure(tmp_path, "generation", {"metric": metric})


def shout(reply: str) -> str:
    return reply.upper()


def length(example: Example, answer: Json) -> tuple[float, str]:
    return min(1.0, len(str(answer)) / 10), "too short"


async def test_parsers_and_metrics_of_ones_own_are_weighted_like_ours(tmp_path: Path) -> None:
    own = f"{__name__}:length"
    configuration = configure(
        tmp_path, "generation", {"metric": {own: 3, "exact": 1}, "parser": f"{__name__}:shout"}, ["ABCDE"]
    )
    task = load_task(configuration)
    assert isinstance(task.metric, Weighted)
    judged = await task.metric.judge(task.train[0], "abcde")
    assert (judged.score, judged.answer, judged.feedback) == (0.625, "ABCDE", "too short")


def graded(turns: list[tuple[str, str]]) -> str:
    """Answers a task with its number, and grades by the number in the answer."""
    said = turns[-1][1]
    if "<rubric>" in said:
        return f"It says too little.\nScore: {int(said.rpartition('<answer>')[2].split()[0]) % 11}"
    asked = said.partition("Write of ")[2].splitlines()[0]  # examples filled for this input may follow
    return asked.split()[-1]


async def test_a_judge_is_a_role_that_is_metered_cached_and_reported_like_others(tmp_path: Path) -> None:
    async with WireServer(graded) as server:
        tables = {
            "prompt": {"text": "Write of {text}"},
            "models": {"default": "openai/small", "judge": "openai/large"},
            "providers": {"openai": {"base_url": server.openai_url}},
            "search": {"assignments": 1, "width": 1, "operators": ["few_shot"], "critique": 2, "shrink": 0},
        }
        configuration = configure(tmp_path, "generation", JUDGED, ["x"], tables)
        assert "judge" in roles(configuration)
        async with open_run(configuration, {"OPENAI_API_KEY": "sk-x"}, tmp_path / "run") as run:
            expectation = estimate(configuration, {}, run.task, run.first, {"critic": Asked(1, 1, 99)})
            result = await run.search()
            outcomes = [o for o in await run.forward(run.first, run.task.test) if isinstance(o, Outcome)]
        scored = await Scoring(
            configuration, {"OPENAI_API_KEY": "sk-x"}, tmp_path / "run" / "best_prompt.txt", "test"
        ).score()
    assert result.test is not None
    expected = sum(n % 11 for n in range(SIZES["test"])) / 10 / SIZES["test"]
    assert result.test.first == pytest.approx(expected)
    assert result.test.first == value_of(run.task.metric, outcomes)
    assert scored.value == pytest.approx(expected)
    assert result.calls["task"] > result.calls["judge"] == SIZES["validation"] + SIZES["test"] + 2, "equal answers"
    assert result.saved.calls == result.calls["task"] - result.calls["judge"], "to one example are judged once"
    assert result.calls["judge"] / 3 <= expectation.roles["judge"].calls <= 3 * result.calls["judge"]
    envelopes = read_journal(tmp_path / "run" / "journal.sqlite")
    made = Counter(
        call.assignment is None for call in read_calls(tmp_path / "run" / "journal.sqlite") if call.role == "judge"
    )
    assert made == {True: SIZES["test"], False: SIZES["validation"] + 2}, "those of the held-out report are for none"
    first = next(e.message for e in envelopes if isinstance(e.message, Evaluation))
    assert first.outcomes
    assert all(outcome.feedback in ("It says too little.", "") for outcome in first.outcomes)


async def test_a_cap_that_leaves_no_calls_for_the_judge_is_refused(tmp_path: Path) -> None:
    enough_alone = SIZES["validation"] + 2 * SIZES["test"] + 1
    tables = {"budget": {"calls": enough_alone}}
    tight = configure(tmp_path, "generation", JUDGED, tables=tables)
    with pytest.raises(ConfigError, match=r"budget\.calls"):
        async with open_run(tight, {}, tmp_path / "run"):
            raise AssertionError("it opened")


@pytest.mark.parametrize(
    ("targets", "metric", "reply"),
    [
        (["12", "1,000"], "numeric", "It is $12."),
        (["(A)", "(C)"], "exact", "(A) it is"),
        (["Yes", "No"], "accuracy", "Yes, surely"),
        ([["Yes", "yes"], "No"], "exact", "yes"),
        ([f"erg hen{n}" for n in range(12)], "exact", "erg, hen0"),
    ],
)
async def test_final_answers_are_read_by_what_they_are(
    targets: Sequence[Json], metric: str, reply: str, tmp_path: Path
) -> None:
    task = load_task(configure(tmp_path, "reasoning", targets=targets))
    assert task.kind.metric == metric
    assert (await task.metric.judge(task.train[0], reply)).score == 1


@pytest.mark.parametrize("target", [RECEIPT, orjson.dumps(RECEIPT).decode(), [RECEIPT, RECEIPT]])
@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({}, "token_f1"),
        ({"metric": "squad_f1"}, "squad_f1"),
        ({"metric": {"exact": 1, "token_f1": 2}}, "token_f1"),
        ({"metric": "json_f1"}, ""),
        ({"metric": "exact"}, ""),
    ],
)
async def test_json_that_is_compared_by_its_words_is_pointed_out(
    tmp_path: Path, target: Json, keys: Mapping[str, object], named: str
) -> None:
    task = load_task(configure(tmp_path, "generation", keys, [target]))
    said = [
        text
        for text in remarks(Prompt((Section("task", "task", "Read {text}."),)), task)
        if "the targets are JSON" in text
    ]
    assert [text.partition(" compares their words")[0] for text in said] == (
        [f"the targets are JSON, and {named}"] if named else []
    )


@pytest.mark.parametrize("target", ["Paris", ["Paris", "in Paris"], 5, "[1] Paris"])
async def test_targets_that_are_texts_are_not(tmp_path: Path, target: Json) -> None:
    assert json_as_words(load_task(configure(tmp_path, "generation", {}, [target]))) == ""
