"""The parameters of a call that users may set, by their names in each wire format, and checks of their values.

The names and ranges are those of the SDKs' types (openai 3.54, anthropic 2.12, against which the tests check them)
and of https://developers.openai.com/api/reference, https://platform.claude.com/docs/en/api/messages. Anthropic's SDK
has dropped `temperature`, `top_p` and `top_k`, which its API accepts under the version 2023-06-01.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Final

from protocols.errors import ConfigError
from protocols.model import Request

UNSET: Final = "unset"
"""The value that removes a parameter which a wider table sets."""
EXTRA: Final = "extra"
"""The name of the table whose fields are sent unchecked."""
Check = Callable[[object], str]
"""Returns what is expected instead of a value; "" if the value is valid."""

MOST_STOPS, LEAST_THOUGHT = 4, 1024
LEAST_WHOLE, MOST_WHOLE = -(2**63), 2**64 - 1
"""The range of whole numbers that are written to JSON."""
EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")


def number(least: float, most: float) -> Check:
    """A number within an inclusive range."""
    expected = f"a number from {least:g} to {most:g}"
    return lambda value: "" if _is_number(value) and least <= value <= most else expected  # type: ignore[operator]


def whole(least: float, most: float = math.inf) -> Check:
    """A whole number from `least` to `most`, inclusive."""
    bounds = f" from {least:g} on" if most == math.inf else f" from {least:g} to {most:g}"
    expected = f"a whole number{'' if least == -math.inf else bounds}"

    def check(value: object) -> str:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if fits else expected

    return check


def one_of(*values: str) -> Check:
    """One of these texts."""
    expected = f"one of {', '.join(values)}"
    return lambda value: "" if value in values else expected


def text(longest: int | None = None) -> Check:
    """A non-empty text of at most `longest` characters."""
    expected = "a text" + (f" of at most {longest} characters" if longest else "")

    def check(value: object) -> str:
        fits = isinstance(value, str) and value and (longest is None or len(value) <= longest)
        return "" if fits else expected

    return check


def truth(value: object) -> str:
    """True or false."""
    return "" if isinstance(value, bool) else "true or false"


def table(value: object) -> str:
    """A non-empty table, whose contents the provider checks."""
    return "" if isinstance(value, Mapping) and value else "a table"


def stops(value: object) -> str:
    """A text, or a list of one to four texts."""
    texts = [value] if isinstance(value, str) else value
    fits = isinstance(texts, list | tuple) and all(isinstance(one, str) and one for one in texts)
    return "" if fits and 0 < len(texts) <= MOST_STOPS else f"a text, or a list of at most {MOST_STOPS}"  # type: ignore[arg-type]


def stop_sequences(value: object) -> str:
    """A list of texts, none of only white space."""
    fits = isinstance(value, list | tuple) and value and all(isinstance(one, str) and one.strip() for one in value)
    return "" if fits else "a list of texts, none of white space alone"


def biases(value: object) -> str:
    """A number from -100 to 100 for each token's id."""
    fits = isinstance(value, Mapping) and all(_is_number(one) and -100 <= one <= 100 for one in value.values())
    return "" if fits else "a table of numbers from -100 to 100"


def labels(value: object) -> str:
    """OpenAI's metadata: a table of at most 16 short texts."""
    fits = (
        isinstance(value, Mapping)
        and len(value) <= 16
        and all(isinstance(one, str) and len(one) <= 512 and len(name) <= 64 for name, one in value.items())
    )
    return "" if fits else "a table of at most 16 texts (names of 64 characters, texts of 512)"


def response_format(value: object) -> str:
    """`text`, `json_object`, or `json_schema` with its schema."""
    match value:
        case {"type": "text" | "json_object"} | {"type": "json_schema", "json_schema": {"name": str()}}:
            return ""
    return '{ type = "json_object" }, or { type = "json_schema", json_schema = { name = "…", schema = { … } } }'


def output_config(value: object) -> str:
    """Anthropic's effort and format."""
    match value:
        case {"effort": effort} if effort not in EFFORTS:
            return f"a table whose effort is one of {', '.join(EFFORTS)}"
        case {"format": inner} if not isinstance(inner, Mapping):
            return 'a table whose format is a table such as { type = "json_schema", schema = { … } }'
    return table(value)


def tool_choice(value: object) -> str:
    """OpenAI's choice of tools: a word, or the function that has to be called."""
    match value:
        case "none" | "auto" | "required" | {"type": "function", "function": {"name": str()}}:
            return ""
        case {"type": "allowed_tools", "allowed_tools": Mapping()}:
            return ""
    return 'none, auto, required, or { type = "function", function = { name = "…" } }'


def choice_of_tool(value: object) -> str:
    """Anthropic's choice of tools."""
    match value:
        case {"type": "auto" | "any" | "none"} | {"type": "tool", "name": str()}:
            return ""
    return '{ type = "auto" }, any, none, or { type = "tool", name = "…" }'


def thinking(value: object) -> str:
    """Anthropic's setting of whether the model thinks, and for how long."""
    match value:
        case {"type": "adaptive" | "disabled" | "between_tools"}:
            return ""
        case {"type": "enabled", "budget_tokens": int(budget)} if budget >= LEAST_THOUGHT:
            return ""
    return f'{{ type = "adaptive" }}, or {{ type = "enabled", budget_tokens = {LEAST_THOUGHT} or more }}'


OPENAI: Final[Mapping[str, Check]] = {
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "frequency_penalty": number(-2, 2),
    "presence_penalty": number(-2, 2),
    "seed": whole(-math.inf),
    "stop": stops,
    "reasoning_effort": one_of("none", "minimal", *EFFORTS),
    "verbosity": one_of("low", "medium", "high"),
    "response_format": response_format,
    "tool_choice": tool_choice,
    "parallel_tool_calls": truth,
    "logit_bias": biases,
    "logprobs": truth,
    "top_logprobs": whole(0, 20),
    "prediction": table,
    "web_search_options": table,
    "service_tier": one_of("auto", "default", "flex", "scale", "priority", "fast"),
    "store": truth,
    "metadata": labels,
    "moderation": table,
    "prompt_cache_key": text(),
    "prompt_cache_options": table,
    "prompt_cache_retention": one_of("in_memory", "24h"),
    "safety_identifier": text(128),
    "user": text(),
    "stream_options": table,
}
ANTHROPIC: Final[Mapping[str, Check]] = {
    "temperature": number(0, 1),
    "top_p": number(0, 1),
    "top_k": whole(0),
    "stop_sequences": stop_sequences,
    "thinking": thinking,
    "output_config": output_config,
    "tool_choice": choice_of_tool,
    "service_tier": one_of("auto", "standard_only"),
    "speed": one_of("standard", "fast"),
    "metadata": table,
    "cache_control": table,
    "container": text(),
    "diagnostics": table,
    "inference_geo": text(),
}
KNOWN: Final[Mapping[str, Mapping[str, Check]]] = {"openai": OPENAI, "anthropic": ANTHROPIC}

ROOM: Final = "the limit on a reply is ours to set: reply_tokens, under [task] or in the provider's table"
WRITTEN: Final = "replies are read as text, so nothing else can be requested"
DEFINED: Final = "the tools are the prompt's: name the file of their definitions under [prompt], tools"
OURS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("messages", "prompt", "input"), "the messages are the prompt and the input"),
    "model": "name the model under [models]",
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), ROOM),
    **dict.fromkeys(("n_predict", "max_new_tokens"), ROOM),
    "n": "each call asks for one reply; search.repeats asks an example several times",
    "stream": "set stream = true in the provider's table",
    "system": "the system message is the prompt's; system, in the provider's table, says where it goes",
    **dict.fromkeys(("tools", "functions"), DEFINED),
    "function_call": "it is tool_choice",
    **dict.fromkeys(("audio", "modalities"), WRITTEN),
    **dict.fromkeys(("user_profile_id", "workspace_id"), "it is a header; a client of your own can send it"),
}
"""Fields that only PromptFlow sets, also not as extra fields, and what to do instead."""
CALLED: Final[Mapping[str, Mapping[str, str]]] = {
    "openai": {
        "stop_sequences": "it is stop",
        "thinking": "reasoning_effort says how long a model thinks",
        "output_config": "they are reasoning_effort and response_format",
        "effort": "it is reasoning_effort",
    },
    "anthropic": {
        "stop": "it is stop_sequences",
        "reasoning_effort": 'it is output_config = { effort = "low" }, or thinking',
        "effort": 'it is output_config = { effort = "low" }',
        "response_format": "it is output_config = { format = { … } }",
        "user": "it is metadata = { user_id = … }",
        "parallel_tool_calls": 'it is tool_choice = { type = "auto", disable_parallel_tool_use = true }',
    },
}
"""For names of the other wire format: their equivalents in this one."""


SECRET: Final = re.compile(
    r".*(api|access|auth|secret|private|subscription)_?key|.*authori[sz]ation"
    r"|((.*_)?(auth|authentication|api|access|bearer|id|refresh|session)_?)?token"
    r"|(.*_)?(password|passwd|secret|bearer|credentials?)"
)
"""Names of fields, in lower case and with _ for -, that hold secrets."""


def format_of(provider: str) -> str:
    """The wire format of a provider."""
    return "anthropic" if provider == "anthropic" else "openai"


def merged(wide: Mapping[str, object], narrow: Mapping[str, object]) -> dict[str, object]:
    """The parameters of two tables; for each name, parameter or extra field, the narrower table wins."""
    both = {name: value for name, value in {**wide, **narrow}.items() if name != EXTRA}
    extra = {name: value for name, value in _extra(wide).items() if name not in narrow} | dict(_extra(narrow))
    return both | ({EXTRA: extra} if extra else {})


def asked(parameters: Mapping[str, object]) -> dict[str, object]:
    """The fields of a call's body, including `UNSET` ones; extra fields override parameters."""
    return {name: value for name, value in parameters.items() if name != EXTRA} | dict(_extra(parameters))


def check(parameters: Mapping[str, object], provider: str, key: str) -> None:
    """Check each parameter of one table, which `key` names.

    :raises ConfigError: a name does not belong to the wire format, only PromptFlow may set it, or its value is
        invalid.
    """
    known = KNOWN[format_of(provider)]
    for name, value in parameters.items():
        if name == EXTRA:
            _check_extra(value, f"{key}.{EXTRA}")
        elif name in OURS:
            raise ConfigError(f"{key}.{name}: {OURS[name]}")
        elif name not in known:
            raise ConfigError(f"{key}.{name}: {_unknown(name, format_of(provider))}")
        elif expected := _not_json(value):
            raise ConfigError(f"{key}.{name}: it takes {expected}")
        elif value != UNSET and (expected := known[name](value)):
            raise ConfigError(
                f"{key}.{name} = {_shown(value)}: {format_of(provider)}/… takes {expected}; "
                f"for a server that takes more, set {EXTRA} = {{ {name} = … }}"
            )


def check_together(parameters: Mapping[str, object], provider: str, key: str, reply_tokens: int | None) -> None:
    """Check all parameters of one role together; `key` names its table. `reply_tokens`: the user's lower bound of the
    token limit of its replies.

    :raises ConfigError: two parameters exclude each other.
    """
    asks = {name: value for name, value in asked(parameters).items() if value != UNSET}
    if format_of(provider) == "openai":
        if "top_logprobs" in asks and asks.get("logprobs") is not True:
            raise ConfigError(f"{key}: top_logprobs needs logprobs = true")
        return
    match asks.get("thinking"):
        case {"type": "enabled", "budget_tokens": int(budget)} if budget >= (reply_tokens or 0):
            raise ConfigError(
                f"{key}: thinking with budget_tokens = {budget:,} must be less than a reply's room; set "
                f"reply_tokens to more than that in the provider's table"
            )
    match asks.get("thinking"):
        case {"type": "enabled" | "adaptive" | "between_tools"}:
            if asks.get("temperature", 1) != 1 or "top_k" in asks:
                name = "top_k" if "top_k" in asks else "temperature"
                raise ConfigError(f'{key}: a model that thinks takes no {name}; {name} = "{UNSET}" removes it')


def with_parameters(body: dict[str, object], request: Request) -> dict[str, object]:
    """The body with the user's parameters, and without `UNSET` ones. Each further draw of one request has the next
    seed, because with the same seed all draws would be equal."""
    body |= request.parameters.fields
    for name in [name for name, value in request.parameters.fields.items() if value == UNSET]:
        del body[name]
    seed = body.get("seed")
    if request.sample and isinstance(seed, int):
        body["seed"] = seed + request.sample if seed < 2**63 else seed - request.sample  # JSON: below 2^64
    return body


def _check_extra(value: object, key: str) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} is a table of fields; write {EXTRA} = {{ name = value }}")
    if expected := _not_names(value):
        raise ConfigError(f"{key}: it takes {expected}")
    for name, inner in value.items():
        if name in OURS:
            raise ConfigError(f"{key}.{name}: {OURS[name]}")
        if expected := _not_json(inner):
            raise ConfigError(f"{key}.{name}: it takes {expected}")
    if path := secret(value):
        raise ConfigError(
            f"{key}.{path}: this looks like a secret, but parameters are shown and stored; put a key into "
            "api_key_env, or use a client if the server needs it elsewhere"
        )


def secret(value: object) -> str:
    """Where fields hold a secret, by its name; "" where none does. A table is none: a schema may describe one."""
    inside = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for name, inner in inside:
        named = isinstance(name, str) and SECRET.fullmatch(name.lower().replace("-", "_"))
        if named and not (inner is None or inner == UNSET or isinstance(inner, Mapping | bool)):
            return str(name)
        if path := secret(inner):
            return f"{name}.{path}"
    return ""


def _unknown(name: str, wire_format: str) -> str:
    other = {"openai": "anthropic", "anthropic": "openai"}[wire_format]
    if called := CALLED[wire_format].get(name):
        return f"there is none in the {wire_format}/… format; {called}"
    nearest = difflib.get_close_matches(name, KNOWN[wire_format], 1)
    if nearest and name not in KNOWN[other]:
        return (
            f"unknown; did you mean {nearest[0]}? A field of your server's own is set as {EXTRA} = {{ {name} = … }}"
        )
    return f"there is none in the {wire_format}/… format; for a server that takes it, {EXTRA} = {{ {name} = … }}"


def _extra(parameters: Mapping[str, object]) -> Mapping[str, object]:
    extra = parameters.get(EXTRA, {})
    return extra if isinstance(extra, Mapping) else {}


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _not_json(value: object) -> str:
    """The expected kind of value if JSON cannot hold this one; "" if it can."""
    match value:
        case float() if not math.isfinite(value):
            return "a finite number"
        case int() if not LEAST_WHOLE <= value <= MOST_WHOLE:
            return "a whole number of at most 64 bits, from -2^63 to 2^64 - 1"
        case date() | time():
            return "a date in quotes"
        case Mapping():
            return _not_names(value) or next((said for inner in value.values() if (said := _not_json(inner))), "")
        case list() | tuple():
            return next((said for inner in value if (said := _not_json(inner))), "")
        case None | bool() | int() | float() | str():
            return ""
    return "a text, a number, true, false, a list or a table"


def _not_names(table: Mapping[object, object]) -> str:
    """Like `_not_json`, but only for the names of a table."""
    return "" if all(isinstance(name, str) for name in table) else "tables whose names are texts"


def _shown(value: object) -> str:
    """A value as a user would write it, cut if it is long."""
    said = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    return said if len(said) <= 60 else f"{said[:59]}…"
