"""What the text of a refusal says of the one request that it refuses: that it is too long, and for which window.

There is no standard for it. The texts are those of OpenAI, Azure, GitHub Models, Anthropic, Gemini, Mistral, Bedrock,
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

SAYS: Final = re.compile(
    r"""
      maximum\ (?:context|prompt|sequence|model|input|allowed\ input)\ length
    | max(?:imum)?[_ ]model[_ ]len
    | context[ _](?:length|window|size|limit)
    | exceeds?\ the\ maximum\ number\ of\ (?:input\ )?tokens
    | input\ tokens?\ exceeds?\ the\ (?:configured\ )?limit
    | token\ count\ (?:\S+\ )?(?:exceeds|is\ \d+\ but\ model)
    | token\ count\ of\ \d+\ exceeds
    | (?:prompt|input|request|message|conversation)s?(?:\ is|\ are)?\ too\ (?:long|large)
    | too\ large\ for\ model
    | too\ many\ (?:input\ )?tokens:\ | too\ many\ input\ tokens | prompt\ has\ too\ many\ tokens
    | (?:request\ )?(?:body|entity|payload)\ (?:size\ )?(?:is\ )?too\ large
    | reduce\ (?:the|your)\ (?:length\ of\ the\ )?(?:messages|message\ size|prompt|input)
    | string\ too\ long
    | exceeded\ model\ token\ limit
    | total\ tokens\ limit
    | range\ of\ input\ length\ should\ be
    | `inputs`\ (?:tokens\ \+|must\ have\ less\ than)
    | tokens\ to\ keep\ from\ the\ initial\ prompt
    | tokens\ in\ request\ more\ than
    | required\ for\ long\ context
    """,
    re.IGNORECASE | re.VERBOSE,
)

NUMBER: Final = r"(\d(?:[\d,_]*\d)?)"
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
        r"(?:configured |token )?limit (?:of|is|:)? ?N",
        r"token limit: N",
        r"tokens allowed \(?N",
        r"only supports up to N",
        r"must be <= N",
        r"must have less than N",
        r"Max size: N tokens",
        r"while limit is N",
        r"maximum context (?:length|limit) of N",
        r"total tokens limit N",
        r"input length should be \[\d+, ?N\]",
        r'"n_ctx": ?N',
    )
)
ALLOWANCE: Final = re.compile(rf"limit:? {NUMBER}\b.*?requested:? {NUMBER}\b", re.IGNORECASE | re.DOTALL)
"""What one request may need of what a minute has, and what it needs: "on tokens per min (TPM): Limit 30000, Requested
48725"."""
CHARACTERS: Final = re.compile(r"string too long|above_max_length", re.IGNORECASE)
LARGEST: Final = 10**9


def is_too_long(text: str, codes: Collection[str]) -> bool:
    """Whether the request is refused for its length, so that the same one is refused again."""
    return not CODES.isdisjoint(codes) or SAYS.search(text) is not None or allowance(text) is not None


def window_of(text: str) -> int | None:
    """Tokens of the window that the text of a refusal names; None if it names none, or counts characters."""
    if (most := allowance(text)) is not None:
        return most
    if CHARACTERS.search(text):
        return None
    return next((tokens for pattern in WINDOWS if (m := pattern.search(text)) and (tokens := count(m[1]))), None)


def allowance(text: str) -> int | None:
    """The tokens of a minute, where the request alone needs more than these; None where it does not."""
    match = ALLOWANCE.search(text)
    most, needed = (count(match[1]), count(match[2])) if match else (None, None)
    return most if most and needed and needed > most else None


def count(digits: str) -> int | None:
    """A number of tokens as it is written, `128,000` among others; None for one that no window has."""
    plain = re.sub(r"\D", "", digits)
    return int(plain) if len(plain) <= len(str(LARGEST)) and 0 < int(plain) <= LARGEST else None
