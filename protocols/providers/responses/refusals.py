"""Reads in the text of a refusal why the request is refused: it is too long, and for which window; or its temperature
or its system message is refused.

There is no standard. The texts are those of OpenAI, Azure, GitHub Models, Anthropic, Gemini, Mistral, Bedrock,
Cohere, xAI, Groq, Moonshot, DashScope, MiniMax, vLLM, SGLang, TGI, llama.cpp, Ollama, LM Studio, and of gateways that
pass them on (LiteLLM's `exception_mapping_utils.py` and OpenRouter's documentation list many of them).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

CODES: Final = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "ContextWindowExceededError",
        "exceed_context_size_error",
        "input_too_long",
        "model_context_window_exceeded",
        "model_max_prompt_tokens_exceeded",
        "prompt_too_long",
        "request_too_large",
        "string_above_max_length",
        "tokens_limit_reached",
    }
)
"""Error types and codes of a request that is too long."""

STATES: Final = re.compile(
    r"""
      exceeds?\ the\ maximum\ number\ of\ (?:input\ )?tokens
    | input\ tokens?\ exceeds?\ the\ (?:configured\ )?limit
    | token\ count\ (?:\S+\ )?(?:exceeds|is\ \d+\ but\ model)
    | token\ count\ of\ \d+\ exceeds
    | (?:request|prompt|input|inputs|message|messages|conversation)\b[^.]{0,60}\bexceeds?\b[^.]{0,40}
      \b(?:context|length|window)
    | (?:prompt|input|request|message|conversation)s?(?:\ is|\ are)?\ too\ (?:long|large)
    | too\ large\ for\ model
    | too\ large\ to\ process | larger\ than\ the\ max(?:imum)?\ context\ size
    | too\ many\ (?:input\ )?tokens:\ | too\ many\ input\ tokens | prompt\ has\ too\ many\ tokens
    | (?:request\ )?(?:body|entity|payload)\ (?:size\ )?(?:is\ )?too\ large
    | string\ too\ long
    | exceeded\ model\ token\ limit
    | tokens\ in\ request\ more\ than
    | ContextWindowExceededError
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Texts that say that this request does not fit."""

NAMES: Final = re.compile(
    r"""
      maximum\ (?:context|prompt|sequence|model|input|allowed\ input)\ length
    | max(?:imum)?[_ ]model[_ ]len
    | context[ _](?:length|window|size|limit)
    | reduce\ (?:the|your)\ (?:length\ of\ the\ )?(?:messages|message\ size|prompt|input)
    | total\ tokens\ limit
    | range\ of\ input\ length\ should\ be
    | `inputs`\ (?:tokens\ \+|must\ have\ less\ than)
    | tokens\ to\ keep\ from\ the\ initial\ prompt
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Texts that name the limit or the remedy. They suffice if the status blames the request, but servers in trouble use
them for their own memory, and busy ones for the tokens per minute."""

OTHER_UNITS: Final = (
    r"(?:[kmgt]i?b|(?:kilo|mega|giga)?bytes?|characters?|chars?|letters?|words?|sentences?|lines?|pages?|images?"
    r"|items?|calls?|requests?|messages?|seconds?|minutes?|m?s|percent|(?:completion|output) tokens?"
    r"|(?:\w+ )?tokens? per)\b"
)
NUMBER: Final = rf"(\d(?:[\d,_]*\d)?)\b(?![.,]\d)(?!\s*%)(?!\s*-?{OTHER_UNITS})"
WINDOWS: Final = tuple(
    re.compile(pattern.replace("N", NUMBER), re.IGNORECASE)
    for pattern in (
        r"context length (?:is|of)(?: only)? N",
        r"(?:context|prompt|sequence|model|input) length (?:is|of) (?:only )?N",
        r"context (?:length|size) \(N(?: tokens)?\)",
        r"(?:\d|tokens) > N(?: maximum|,|\)|$)",
        r"exceed context limit: [\d,]+ \+ [\d,]+ > N",
        r"N maximum context length",
        r"model maximum context length: N",
        r"max(?:imum)?[_ ]model[_ ]len(?:gth)?\D{0,9}N",
        r"limit (?:of|is|:)? ?N(?: \w+)? tokens",
        r"tokens?\b[^.]{0,80}? limit (?:of|is|:)? ?N",
        r"token limit: N",
        r"tokens allowed \(?N",
        r"tokens?\b[^.]{0,80}? only supports up to N",
        r"tokens?\b[^.]{0,80}? must be <= N",
        r"must have less than N(?: \w+)? tokens",
        r"Max size: N tokens",
        r"length is [\d,]+ while limit is N",
        r"maximum context (?:length|limit) of N",
        r"total tokens limit N",
        r"input length should be \[\d+, ?N\]",
        r"[\"']n_ctx[\"']: ?N",
        r"current batch size: N",
    )
)
"""Texts in which N is the window in tokens, as the words around it show."""

NOT_TAKEN: Final = (
    r"(?:unsupported|not support|n[o']t support|deprecated|not permitted|not allowed|not accept|no longer|unknown|"
    r"unrecogni[sz]ed|unexpected|invalid|must|should|only|can(?:no|')t|out of range|not available|not enabled)"
)
TEMPERATURE: Final = re.compile(
    rf"\btemperature\b.{{0,80}}{NOT_TAKEN}|{NOT_TAKEN}.{{0,80}}\btemperature\b", re.IGNORECASE | re.DOTALL
)
"""Texts that refuse a temperature: OpenAI's "Unsupported value: 'temperature' does not support 0 with this model",
Anthropic's "`temperature` is deprecated for this model" and "temperature: Extra inputs are not permitted", TGI's
"`temperature` must be strictly positive"."""
SYSTEM: Final = re.compile(
    rf"\b(?:system|developer)\ (?:role|message|prompt|instruction)s?\b.{{0,60}}{NOT_TAKEN}"
    rf"|{NOT_TAKEN}.{{0,60}}\b(?:system['\"]?\ (?:with\ this\ model|role|message|prompt|instruction))"
    r"|\broles\ must\ alternate",
    re.IGNORECASE | re.DOTALL,
)
"""Texts that refuse a system message: "System role not supported" of Gemma's template, Gemini's "Developer
instruction is not enabled for models/gemma-3", OpenAI's "'messages[0].role' does not support 'system' with this
model", and "Conversation roles must alternate user/assistant" of templates without a third role."""

ALLOWANCE: Final = re.compile(
    rf"tokens\b.{{0,80}}?limit:? {NUMBER}.{{0,80}}?requested:? {NUMBER}", re.IGNORECASE | re.DOTALL
)
"""The tokens allowed per minute and those of one request: "on tokens per min (TPM): Limit 30000, Requested 48725"."""
TOKENS: Final = re.compile(r"(\d(?:[\d,_]*\d)?)(?: \w+)? tokens", re.IGNORECASE)
CHARACTERS: Final = re.compile(r"string too long|above_max_length", re.IGNORECASE)
LARGEST: Final = 10**9

ECHO: Final = re.compile(
    r"""[\[{,(]\s*\\?["'](?:messages|contents?|prompt|inputs?|body|request|system|text)\\?["']\s*:"""
    r"""|\binput(?:_value)?\s*=""",
    re.IGNORECASE,
)
"""The place where a message begins to repeat the request."""
QUOTED: Final = re.compile(r'"([^"]*)"')
LONGEST_NAME: Final = 40
"""Most characters of a quoted name; longer quotes are texts of the request."""
LONGEST: Final = 500
"""Most characters of a message that are examined; messages name the fault first."""


def own_words(text: str) -> str:
    """The beginning of a message without repeated parts of the request, which may mention limits and windows."""
    said = text[: 4 * LONGEST]
    if echo := ECHO.search(said):
        said = said[: echo.start()]
    return QUOTED.sub(lambda m: m[0] if named(m) else "…", said)[:LONGEST]


def named(quoted: re.Match[str]) -> bool:
    """Whether a quoted text is a name, or a value in an error written as JSON."""
    before = quoted.string[max(0, quoted.start() - 3) : quoted.start()].rstrip()
    return len(quoted[1]) <= LONGEST_NAME or before.endswith(('":', "':"))


def is_too_long(status: int, text: str, codes: Collection[str]) -> bool:
    """Whether the request is refused for its length, so that it would be refused again. With 429 and 529 this needs a
    code, or a request over the tokens per minute, because their advice to send less concerns all requests together.
    With 5xx, `NAMES` are not enough unless the text names more tokens than its window."""
    if not CODES.isdisjoint(codes) or allowance(text) is not None:
        return True
    if status in (429, 529):
        return False
    said = own_words(text)
    if STATES.search(said):
        return True
    return NAMES.search(said) is not None and (status < 500 or is_exceeded(said))


def refuses_temperature(text: str) -> bool:
    """Whether a request is refused for its temperature."""
    return TEMPERATURE.search(own_words(text)) is not None


def refuses_system(text: str) -> bool:
    """Whether a request is refused for its system message."""
    return SYSTEM.search(own_words(text)) is not None


def is_exceeded(text: str) -> bool:
    """Whether a text names more tokens than its window."""
    window = window_of(text)
    return window is not None and any((count(m[1]) or 0) > window for m in TOKENS.finditer(text))


def window_of(text: str) -> int | None:
    """The window in tokens that the text of a refusal names; None if it names none, or counts something else."""
    if (most := allowance(text)) is not None:
        return most
    said = own_words(text)
    if CHARACTERS.search(said):
        return None
    return next((tokens for pattern in WINDOWS if (m := pattern.search(said)) and (tokens := count(m[1]))), None)


def allowance(text: str) -> int | None:
    """The tokens allowed per minute, if the request alone needs more; else None."""
    match = ALLOWANCE.search(own_words(text))
    most, needed = (count(match[1]), count(match[2])) if match else (None, None)
    return most if most and needed and needed > most else None


def count(digits: str) -> int | None:
    """A written number of tokens, such as `128,000`; None if it is too large for a window."""
    plain = re.sub(r"\D", "", digits)
    return int(plain) if len(plain) <= len(str(LARGEST)) and 0 < int(plain) <= LARGEST else None
