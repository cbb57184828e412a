"""Normalises and tokenises texts for comparison, in scripts with and without spaces between words; makes text from
models, servers, data and errors safe to show on a terminal, in one line and without API keys."""

from __future__ import annotations

import re
import unicodedata

import orjson

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana, Han and Hangul: scripts in which a word need not end at a space."""
LETTER = rf"[^\W{UNSPACED}]"
TOKEN = re.compile(rf"(?=\w)[{UNSPACED}]|{LETTER}+")


INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
"""Characters that are not seen (Unicode category Cf): soft hyphens, joiners, marks of direction, byte order marks.
Some carry meaning inside words (U+200C, U+200D), so texts keep them; what is compared goes without."""


def how_many(number: int, noun: str) -> str:
    """A number and what it counts, in English, of a noun whose plural ends in s: "1 call", "2,000 calls"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def fold(text: str) -> str:
    """The text in NFKC, case folded, without what is `INVISIBLE`, with white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).casefold().split())


def normalise(text: str) -> str:
    """The folded text without punctuation and quotes at its ends."""
    return re.sub(r"^[\W_]+|[\W_]+$", "", fold(text))


def tokens(text: str) -> list[str]:
    """The folded words, and single characters of scripts without spaces; punctuation is dropped.

    The mixed segmentation with which CMRC 2018 scores Chinese answers (Cui et al., arXiv 1810.07366).
    """
    return TOKEN.findall(fold(text))


ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|.)", re.DOTALL
)
UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Control characters except line ends and tabs (Unicode category Cc), surrogates (Cs), line and paragraph separators
(Zl, Zp), and marks of text direction, which could make a line read as something else."""
KEY_LIKE = re.compile(r"\b(?:sk|rk|pk)-[\w*.-]{6,}|\bbearer\s+\S+", re.IGNORECASE)
LONGEST_REASON = 300
"""Most characters shown of a message from a server or an exception."""


def printable(text: str) -> str:
    """`text` without escape sequences, control characters (except line ends and tabs) and lone surrogates."""
    return UNFIT.sub("", ANSI.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, most: int = 160) -> str:
    """`printable`, white space collapsed, cut at `most` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def redact(text: str, key: str | None) -> str:
    """`text` without the API key, or anything that looks like one.

    A placeholder of fewer than eight letters (`x`, `EMPTY`, which local servers accept) is no secret and stays.
    """
    if key and len(key) >= 8:
        text = text.replace(key, "[key]")
    return KEY_LIKE.sub("[key]", text)


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold the text, which is so unless it has half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def file_name(task: str) -> str:
    """A task's name in the form used for its run directories and for files beside its data."""
    return re.sub(r"[^\w.-]+", "-", task).strip(".-")[:80] or "run"


def toml_string(text: str) -> str:
    """A basic string of TOML (https://toml.io/en/v1.0.0#string)."""
    return orjson.dumps(text).decode().replace("\x7f", "\\u007f")


def toml_key(name: str) -> str:
    """A key of TOML, quoted where it has to be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_string(name)
