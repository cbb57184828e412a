"""The settings and inputs that a run's decisions depend on; resuming a run needs the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import orjson

from agents.config.configuration import Configuration, named_in
from agents.config.labels import known_labels
from agents.config.loading import opponent_of
from agents.config.metrics import against
from agents.config.own_instructions import instructions
from agents.config.roles import roles
from agents.ring.controller import WIDTH
from protocols.errors import ConfigError
from protocols.files import prompt_file
from protocols.prompt import Prompt
from protocols.providers.catalogue import is_local
from protocols.providers.local.weights import identity
from protocols.task import SplitName, Task

FREE = frozenset(
    {
        # Locations of files: only their content counts.
        "origin", "task.train", "task.validation", "task.test", "task.data", "task.cut", "task.more", "task.format",
        "task.fields", "task.corpus", "task.overlay", "task.json_schema", "task.labels", "prompt.file", "prompt.text",
        "prompt.literal", "prompt.tools", "prompt.response_schema", "run", "operators", "critic",
        # The budget: it changes when the run stops, but not its decisions until then.
        "budget", "search.assignments", "cache",
        # The speed of calls, and the handling of agents' exceptions.
        "search.concurrency", "search.on_agent_error", "search.agent_errors",
        # The measurement before the search, which does not affect decisions.
        "search.headroom",
        # Observers, which do not affect decisions.
        "agents.observers",
    }
)  # fmt: skip
"""Settings and whole tables that may change when a run is resumed."""
FREE_OF_PROVIDERS = frozenset(
    {
        "timeout", "deadline", "concurrency", "requests_per_minute", "tokens_per_minute", "warm_prefix", "price",
        "api_key_env", "key_header", "version", "token_parameter", "stream", "context_tokens", "path", "context",
        "slots", "threads",
    }
)  # fmt: skip
"""Settings of a provider or a model that may change when a run is resumed."""

BEFORE: Final[Mapping[str, Any]] = {
    "search.repeats": 1,
    "search.across_models": "mean",
    "task.description": None,
    "search.prefer": "best",
    "search.shrink": 0,
    "search.guard": 0,
    "search.review": False,
}
"""Values that describe the behaviour of earlier releases, which did not have these settings."""
FIRST = "the first prompt"


def resume_fingerprint(
    configuration: Configuration, task: Task, corpus: Sequence[str], first: Prompt
) -> dict[str, Any]:
    """The settings that affect decisions, by their dotted names, and digests of the files' contents."""
    dumped = configuration.model_dump(mode="json")
    providers = dumped.pop("providers")
    counts = _flat(dumped) | {WIDTH: configuration.width}
    counts["search.operators"] = [named.dumped() for named in configuration.search_operators]
    for name, table in providers.items():
        for key, value in table.items():
            if key not in FREE_OF_PROVIDERS and value not in (None, {}):
                counts[f'providers."{name}".{key}'] = value
    counts |= _of_examples(task)
    if schema := configuration.task.json_schema:
        counts["the JSON schema"] = _digest(configuration.path(schema).read_text(encoding="utf-8"))
    if configuration.task.labels is not None:
        counts["the list of labels"] = _digest(known_labels(configuration))
    counts |= _definitions(configuration)
    counts |= {f"the instruction of {name}": _digest(text) for name, text in instructions(configuration).items()}
    for name in sorted({*roles(configuration).values()}):
        if is_local(name):
            counts[f"the weights of {name}"] = identity(name, configuration.provider(name).path)
    counts["the corpus"] = _digest(corpus)
    counts[FIRST] = _digest(prompt_file.dumps(first))
    if against(configuration):
        counts["the prompt to compare with"] = _digest(prompt_file.dumps(opponent_of(configuration, task, first)))
    return counts


def _of_examples(task: Task) -> dict[str, str]:
    """Digests of the examples of each split."""
    return {f"the {split} examples": _digest(task.split(split)) for split in get_args(SplitName)}


def check_examples(there: Mapping[str, Any], task: Task, directory: object) -> None:
    """Check that the examples of a task are still those of the run whose fingerprint is `there`.

    :raises ConfigError: they have changed.
    """
    if changed := [name for name, digest in _of_examples(task).items() if there.get(name) != digest]:
        raise ConfigError(f"{', '.join(changed)} are not those of {directory} any more: put its files back")


def _definitions(configuration: Configuration) -> dict[str, str]:
    """Digests of the files of tools and of schemas."""
    digests: dict[str, str] = {}
    for key, (_, prompt) in configuration.offering.items():
        of = "" if key == "prompt" else f" of {key}"
        for what, file in (("tools", prompt.tools), ("schema of replies", prompt.response_schema)):
            if file:
                digests[f"the {what}{of}"] = _digest(configuration.path(file).read_text(encoding="utf-8"))
    return digests


def check_fingerprint(there: Mapping[str, Any], here: Mapping[str, Any], directory: object) -> None:
    """:raises ConfigError: they differ; the message lists the differences."""
    there = {**BEFORE, **there}
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if not names:
        return
    differences = "; ".join(
        f"{name} differ{'' if name.endswith('examples') else 's'}"
        if name.startswith("the ")
        else f"{name} is {_shown(there.get(name))} there and {_shown(here.get(name))} here"
        for name in names
    )
    remedy = "put back what it began with, or name another directory with --out"
    if names == [FIRST]:  # another release may put the same text into another layout
        remedy = "it goes on with its own: name the first_prompt.txt there as prompt.file, or another --out"
    raise ConfigError(f"{directory} holds a run of something else: {differences}; {remedy}")


def check_findable(configuration: Configuration, directory: object) -> None:
    """Check that a run can be resumed with the user's code in its configuration. Observers may differ, since they do
    not affect decisions.

    :raises ConfigError: the run depends on an object without a name, which may not be the same as before.
    """
    for key, named in named_in(configuration):
        if named.nameless and key not in FREE:
            raise ConfigError(
                f"{directory} cannot be gone on with: {key} is {named.use}, an object without a name, and nobody can "
                "tell whether it is the same. Put it into a module (not __main__) and give the function or class "
                '(with parameters: {"use": Class, "gamma": 0.2}), and name another directory'
            )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings that are not in `FREE`, by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if name not in FREE:
            flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _digest(value: object) -> str:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def _shown(value: object) -> str:
    return orjson.dumps(value).decode()
