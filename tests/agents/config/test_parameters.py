"""What a configuration asks of its models: who wins, what is kept apart, what is refused, and what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from agents.check.doctor import diagnose
from agents.config.configuration import Configuration, build, load
from agents.config.tables.search import SearchTable
from agents.directory.resume_fingerprint import check_fingerprint, resume_fingerprint
from agents.models.accounts import Accounts
from agents.models.budget import open_ledger
from agents.models.stack import Models
from memory.journals.journal import open_journal
from memory.journals.reading import read_notes
from memory.storage.cache import open_cache
from protocols.errors import ConfigError, ModelError, RunFailed
from protocols.files.named import Named
from protocols.model import ChatMessage, Request
from protocols.prompt import Prompt, Section
from protocols.providers.transport.http import open_transport
from tests.agents.models.test_windows import configure, search
from tests.small_task import write_task
from tests.wire.formats import conversation, error_body
from tests.wire_server import Fault, WireServer
from tests.world import TASK as WORLD

pytestmark = pytest.mark.anyio
TASK = {"name": "t", "train": "a", "validation": "b", "test": "c"}
ASKED = Request((ChatMessage("system", "s"), ChatMessage("user", "hello")), temperature=0.0)
ROLES = ("task", "credit", "critic", "judge", "proposer/few_shot", "proposer/merge")


def configured(
    providers: dict[str, Any], parameters: dict[str, Any] | None = None, way: str = "openai"
) -> Configuration:
    models: dict[str, Any] = {"default": f"{way}/x", "parameters": parameters or {}}
    search_table = {"operators": ["few_shot", "merge"]}
    return build({"task": TASK, "models": models, "providers": providers, "search": search_table}, Path())


def everywhere(server: WireServer, **table: Any) -> dict[str, Any]:
    return {"openai": {"base_url": server.openai_url, **table}, "anthropic": {"base_url": server.url}}


async def sent(
    server: WireServer, configuration: Configuration, role: str, request: Request = ASKED
) -> dict[str, Any]:
    """The body of a role's call, without what every call has."""
    async with open_transport({}) as transport:
        await Models(configuration, {}, transport, open_ledger(configuration, {})).of(role).complete(request)
    return {k: v for k, v in server.received[-1].body.items() if k not in ("model", "messages", "max_tokens")}


async def test_the_narrower_table_wins_name_by_name() -> None:
    async with WireServer(lambda turns: "hi") as server:
        providers = everywhere(
            server, parameters={"temperature": 1, "seed": 1, "stop": "a", "extra": {"k": 1, "p": 1}}
        )
        providers["openai/x"] = {"parameters": {"seed": 2, "extra": {"k": 2}}}
        roles = {
            "task": {"stop": "t", "temperature": 0},
            "critic": {"seed": "unset", "extra": {"p": "unset"}},
            "proposer": {"stop": ["p"], "temperature": "unset"},
            "proposers": {"merge": {"temperature": 0.3}},
        }
        configuration = configured(providers, roles)
        bodies = {role: await sent(server, configuration, role) for role in ROLES}
    general: dict[str, Any] = {"temperature": 1, "seed": 2, "stop": "a", "k": 2, "p": 1}
    assert bodies["judge"] == general
    assert bodies["task"] == bodies["credit"] == general | {"stop": "t", "temperature": 0}
    assert bodies["critic"] == {"temperature": 1, "stop": "a", "k": 2}
    assert bodies["proposer/merge"] == general | {"stop": ["p"], "temperature": 0.3}
    assert bodies["proposer/few_shot"] == {k: v for k, v in general.items() if k != "temperature"} | {"stop": ["p"]}


@pytest.mark.parametrize(
    ("one", "other", "calls"),
    [
        ({}, {}, 1),
        ({"seed": 1}, {}, 2),
        ({"seed": 1}, {"seed": 2}, 2),
        ({"seed": 1}, {"extra": {"seed": 1}}, 1),
        ({"temperature": 0}, {}, 1),
        ({"temperature": 0.5}, {}, 2),
        ({"temperature": "unset"}, {}, 2),
        ({"seed": 1, "stop": "a"}, {"stop": "a", "seed": 1}, 1),
        ({"extra": {"a": {"b": 1, "c": 2}}}, {"extra": {"a": {"c": 2, "b": 1.0}}}, 1),
        ({"extra": {"a": [1, 2]}}, {"extra": {"a": [2, 1]}}, 2),
    ],
)
async def test_replies_are_shared_by_those_who_ask_the_same(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], calls: int
) -> None:
    """Two roles of a run, or two runs with one cache."""
    async with WireServer(lambda turns: "hi") as server, open_transport({}) as transport:
        configuration = configured(everywhere(server), {"task": one, "critic": other})
        async with open_cache(tmp_path / "cache.sqlite") as cache:
            for role in ("task", "critic", "task", "critic"):
                models = Models(configuration, {}, transport, open_ledger(configuration, {}))
                await models.of(role, cache).complete(ASKED)
    assert server.stats.calls == calls


async def test_a_folded_system_message_is_another_question(tmp_path: Path) -> None:
    tables: list[dict[str, Any]] = [{}, {"system": "user"}, {"stream": True}, {"key_header": "x-api-key"}]
    async with (
        WireServer(lambda turns: "hi") as server,
        open_transport({}) as transport,
        open_cache(tmp_path / "cache.sqlite") as cache,
    ):
        for table in tables:
            configuration = configured(everywhere(server, **table))
            models = Models(configuration, {}, transport, open_ledger(configuration, {}))
            await models.of("task", cache).complete(ASKED)
    assert server.stats.calls == 2


FORBIDDEN = [
    ({"openai": {"parameters": {"top_k": 3}}}, {}, "providers.openai.parameters.top_k: "),
    ({"openai/x": {"parameters": {"temperature": 3}}}, {}, 'providers."openai/x".parameters.temperature = 3: '),
    ({"anthropic": {"parameters": {"stop": ["x"]}}}, {}, "providers.anthropic.parameters.stop: "),
    ({}, {"task": {"max_tokens": 3}}, "models.parameters.task.max_tokens: "),
    ({}, {"proposers": {"merge": {"seed": "x"}}}, "models.parameters.proposers.merge.seed = "),
    ({}, {"proposers": {"rag": {"seed": 1}}}, "models.parameters.proposers.rag: no such operator"),
    ({"openai": {"parameters": {"top_logprobs": 1}}}, {}, "parameters of task: top_logprobs needs"),
    ({"openai": {"version": "2023-06-01"}}, {}, "version"),
    ({"openai": {"system": "text"}}, {}, "system"),
]


@pytest.mark.parametrize(("providers", "parameters", "says"), FORBIDDEN)
async def test_what_cannot_be_asked_is_one_line_before_anything_is_sent(
    tmp_path: Path, providers: dict[str, Any], parameters: dict[str, Any], says: str
) -> None:
    async with WireServer(lambda turns: "hi") as server, open_transport({}) as transport:
        tables = everywhere(server)
        tables |= {name: tables.get(name, {}) | table for name, table in providers.items()}
        configuration = configured(tables, parameters)
        with pytest.raises(ConfigError) as caught:
            Models(configuration, {}, transport, open_ledger(configuration, {}))
    assert str(caught.value).startswith(says) or says in ("version", "system")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert server.stats.calls == 0


async def test_a_stop_of_white_space_alone_can_be_written(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    wanted = 'providers.openai.parameters={ stop = "\\n", extra = { end = "" } }'
    assert load(config, [wanted.replace(', extra = { end = "" }', "")]).providers["openai"].parameters == {
        "stop": "\n"
    }
    with pytest.raises(ConfigError, match=r"extra\.end is empty"):
        load(config, [wanted])
    with pytest.raises(ConfigError, match="is empty"):
        load(config, ['task.name="\\n"'])


def counted(configuration: Configuration) -> dict[str, Any]:
    """As a run directory keeps it."""
    first = Prompt((Section("task", "task", "{text}"),))
    return dict(orjson.loads(orjson.dumps(resume_fingerprint(configuration, WORLD, (), first))))


def test_a_run_is_gone_on_with_by_what_asks_the_same() -> None:
    def of(table: dict[str, Any], **roles: Any) -> dict[str, Any]:
        return counted(configured({"openai": {"timeout": 9, **table}}, roles))

    plain = of({})
    assert not any("parameters" in name or "system" in name for name in plain)  # as earlier releases wrote it
    free: list[dict[str, Any]] = [{"stream": True}, {"key_header": "k"}, {"version": "1"}, {"parameters": {}}]
    for table in free:
        assert of(table) == plain
    one = of({"parameters": {"seed": 1, "extra": {"a": 1, "b": {"c": 2, "d": 3}}}}, task={"stop": ["a"]})
    check_fingerprint(
        one, of({"parameters": {"extra": {"b": {"d": 3, "c": 2}, "a": 1}, "seed": 1}}, task={"stop": ["a"]}), "d"
    )
    for other in (plain, of({"parameters": {"seed": 1}}, task={"stop": ["a"]}), of({"system": "user"})):
        with pytest.raises(ConfigError, match="something else"):
            check_fingerprint(one, other, "d")


def test_a_run_that_began_with_other_default_operators_says_which() -> None:
    def of(**search: Any) -> dict[str, Any]:
        return counted(configured({}, {}).model_copy(update={"search": SearchTable(**search)}))

    before = [Named(name) for name in ("describe", "few_shot", "self_reflection", "chain_of_thought", "contract")]
    assert of() == of(operators=[one for one in before if one.use != "chain_of_thought"])
    with pytest.raises(ConfigError, match=r"search\.operators is .*chain_of_thought.* there and .* here"):
        check_fingerprint(of(operators=before), of(), "d")


REFUSED = error_body("invalid_request_error", "Unsupported value: 'temperature' does not support 0 with this model.")


def refuses_temperature(server: WireServer) -> list[bool]:
    """Make a server refuse every call with a temperature; which of its calls had one."""
    had: list[bool] = []
    arrived = server._arrived

    def look(call: Any, connection: Any) -> None:
        if call.raw and "messages" in call.body:
            had.append("temperature" in call.body)
            if had[-1]:
                server.faults.append(Fault(status=400, body=REFUSED))
        arrived(call, connection)

    server._arrived = look  # type: ignore[method-assign]
    return had


@pytest.mark.parametrize("way", ["openai", "anthropic"])
async def test_a_refused_temperature_is_learned_once_and_kept(tmp_path: Path, way: str) -> None:
    async with WireServer(lambda turns: "hi") as server, open_transport({}) as transport:
        had = refuses_temperature(server)
        configuration = configured(everywhere(server), way=way)
        ledger, accounts = open_ledger(configuration, {}), Accounts()
        models = Models(configuration, {}, transport, ledger, accounts)
        for role in ("task", "critic", "task"):
            await models.of(role).complete(ASKED)
        assert had == [True, False, False, False]
        assert (ledger.calls, server.stats.calls) == (4, 4)
        again = Models(configuration, {}, transport, ledger, accounts)
        await again.of("task").complete(ASKED)
        assert had == [True, *[False] * 4]
        asked = configured(everywhere(server), {"task": {"temperature": 0}}, way)
        if way == "openai":
            model = Models(asked, {}, transport, ledger, accounts).of("task")
            with pytest.raises(ModelError, match="'temperature' does not support 0 with this model"):
                await model.complete(ASKED)
            assert had[5:] == [True]


async def test_a_run_that_goes_on_does_not_try_it_again(tmp_path: Path) -> None:
    async with WireServer(lambda turns: "hi") as server, open_transport({}) as transport:
        had = refuses_temperature(server)
        configuration = configured(everywhere(server))
        async with open_journal(tmp_path / "journal.sqlite") as journal:
            models = Models(configuration, {}, transport, open_ledger(configuration, {}))
            await models.of("task", journal=journal).complete(ASKED)
        later = Models(configuration, {}, transport, open_ledger(configuration, {}))
        later.take_up(read_notes(tmp_path / "journal.sqlite"), ())
        await later.of("task").complete(ASKED)
    assert had == [True, False, False]


async def test_a_temperature_is_refused_beside_what_was_asked_alone(tmp_path: Path) -> None:
    """A model that takes none while it thinks may take one from a role that has it think less."""
    async with WireServer(lambda turns: "hi") as server, open_transport({}) as transport:
        thinks = {"reasoning_effort": "high"}
        configuration = configured(everywhere(server), {"critic": thinks, "proposer": thinks})
        server.faults.append(Fault(status=400, body=REFUSED))
        path = tmp_path / "journal.sqlite"
        async with open_journal(path) as journal:
            models = Models(configuration, {}, transport, open_ledger(configuration, {}))
            for role in ("critic", "proposer/merge", "task"):
                await models.of(role, journal=journal).complete(ASKED)
        later = Models(configuration, {}, transport, open_ledger(configuration, {}))
        later.take_up(read_notes(path), ())
        for role in ("critic", "task"):
            await later.of(role).complete(ASKED)
    had = ["temperature" in call.body for call in server.received]
    assert had == [True, False, False, True, False, True]


async def test_where_the_user_asks_for_it_the_run_fails_with_the_refusal(tmp_path: Path) -> None:
    async with WireServer(lambda turns: "hi") as server:
        refuses_temperature(server)
        configuration = configure(tmp_path / "task", server, "openai", parameters={"temperature": 0})
        with pytest.raises((RunFailed, ModelError), match="'temperature' does not support 0 with this model"):
            await search(configuration, tmp_path / "run")


@pytest.mark.parametrize("way", ["openai", "anthropic"])
@pytest.mark.parametrize("table", [{"stream": True}, {"system": "user"}, {"stream": True, "system": "user"}])
async def test_other_servers_complete_a_search(tmp_path: Path, way: str, table: dict[str, Any]) -> None:
    """One that streams alone, and one that refuses system messages."""

    def reply(turns: list[tuple[str, str]]) -> str:
        if "system" in table and any(speaker == "system" for speaker, _ in turns):
            raise ValueError("System role not supported")
        said = "\n".join(text for _, text in turns)
        if "between <new> and </new>" in said:
            return f"<new>Answer with care, as often as {len(said) % 97} times. 中文🙂</new>"
        return ("billing", "shipping")[sum(map(ord, said)) % 2]

    async with WireServer(reply) as server:
        server.streams = "stream" in table
        configuration = configure(tmp_path / "task", server, way, **table)
        result = await search(configuration.model_copy(update={"budget": configuration.budget}), tmp_path / "run")
    assert (result.stopped_by, result.unanswered) == ("assignments", {})
    assert result.operators["few_shot"].keys() & {"survived", "lost"}


async def test_one_call_goes_ahead_also_where_the_system_message_is_folded() -> None:
    """The prefix is known before it is folded."""
    arrived, released = anyio.Event(), anyio.Event()

    async def hold() -> None:
        arrived.set()
        await released.wait()

    async with WireServer(lambda turns: "hi", delay=hold) as server, open_transport({}) as transport:
        for table in ({"system": "user"}, {"stream": True}, {"parameters": {"seed": 1}}):
            arrived, released = anyio.Event(), anyio.Event()
            server.received.clear()
            configuration = configured(everywhere(server, warm_prefix=1, **table))
            model = Models(configuration, {}, transport, open_ledger(configuration, {})).of("task")
            async with anyio.create_task_group() as tasks:
                for number in range(3):
                    turns = (ChatMessage("system", "long enough"), ChatMessage("user", f"{number}"))
                    tasks.start_soon(model.complete, Request(turns))
                await arrived.wait()
                await anyio.wait_all_tasks_blocked()
                assert len(server.received) == 1
                released.set()
            assert len(server.received) == 3


async def test_doctor_shows_what_is_asked_and_tries_it(tmp_path: Path) -> None:
    async with WireServer(lambda turns: "hi") as server:
        config = write_task(tmp_path)
        url = server.openai_url
        settings = [
            "models.default=openai/x",
            f'providers.openai={{ base_url = "{url}", parameters = {{ seed = 3 }} }}',
            'models.parameters.task={ stop = ["a"] }',
        ]
        diagnosis = await diagnose(config, settings, {}, offline=False)
        found = {finding.what: finding.text for finding in diagnosis.findings}
        assert "task with seed 3, stop ['a']" in found["model openai/x"]
        assert "critic" in found["model openai/x"]
        bodies = [call.body for call in server.received]
        assert [(body["seed"], body.get("stop")) for body in bodies] == [(3, ["a"]), (3, None)]
        assert "call to openai/x as task" in found
        assert all(conversation(body) for body in bodies)
        refusal = error_body("invalid_request_error", "'seed' is not supported with this model")
        server.faults.extend([Fault(status=400, body=refusal)] * 2)
        diagnosis = await diagnose(config, settings, {}, offline=False)
        said = [finding.text for finding in diagnosis.findings if finding.status == "failed"]
        assert len(said) == 2
        assert all("'seed' is not supported with this model" in text for text in said)
        diagnosis = await diagnose(config, [*settings, "models.parameters.task={ stopp = 1 }"], {}, offline=True)
        [text] = [finding.text for finding in diagnosis.findings if finding.status == "failed"]
        assert "models.parameters.task.stopp: unknown; did you mean stop?" in text
        for wrong in ("{ x = 1e400 }", "{ x = 1180591620717411303424 }", '{ a = { API-KEY = "s3cr" } }'):
            more = [*settings, f"models.parameters.task={{ extra = {wrong} }}"]
            diagnosis = await diagnose(config, more, {}, offline=False)
            [text] = [finding.text for finding in diagnosis.findings if finding.status == "failed"]
            assert "models.parameters.task.extra." in text
            assert "s3cr" not in repr(diagnosis)
