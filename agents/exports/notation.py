"""Texts with variables in the notations of templates: Jinja and Nunjucks, `{{name}}`, and Python's format strings."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

from agents.exports.portable import Piece
from protocols.errors import PromptError

OPENS = re.compile(r"\{(?=[{%#\r]|\n\Z)|#(?=\})")
"""The signs that begin or end a tag, or stand before what is written as one. Nunjucks refuses a comment's end that is
alone."""
RESERVED = frozenset(
    {*keyword.kwlist, *map(str.lower, keyword.kwlist), "self", "loop", "caller", "varargs", "kwargs", "super"}
    | {"allow_partial", "use_jinja_sandbox", "range", "dict", "lipsum", "cycler", "joiner", "namespace"}
)
"""Names that a template language or a parameter of a renderer has taken."""


def identifiers(names: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """A distinct identifier for each name, the name itself where it is one that is not `taken`."""
    given: dict[str, str] = {}
    for name in names:
        base = re.sub(r"\W", "_", name)
        base = base if base.isidentifier() and not base.startswith("_") else f"field{base}"
        base = f"{base}_" if base in RESERVED or base in taken else base
        chosen, number = base, 1
        while chosen in given.values() or (chosen != name and chosen in names):
            number += 1
            chosen = f"{base}_{number}"
        given[name] = chosen
    return given


def renamed(names: Mapping[str, str]) -> list[str]:
    """A line for the fields that have another name as a variable."""
    other = [f"{field!r} is {name}" for field, name in names.items() if field != name]
    return [f"as a variable, the field {', '.join(other)}: its name is none in this notation"] if other else []


def jinja(pieces: Sequence[Piece], names: Mapping[str, str]) -> str:
    """A template of Jinja. Line ends other than a line feed, and one at the end, are written as expressions, because
    Jinja changes them (https://jinja.palletsprojects.com/en/stable/api/, `newline_sequence`)."""
    before = [*(not isinstance(piece, str) for piece in pieces[1:]), False][: len(pieces)]
    whole = "".join(
        OPENS.sub(r'{{ "\g<0>" }}', piece + ("{" if follows else ""))[: -1 if follows else None]
        if isinstance(piece, str)
        else f"{{{{ {names[piece.name]} }}}}"
        for piece, follows in zip(pieces, before, strict=True)
    )
    whole = whole.replace("\r", '{{ "\\r" }}')
    return f'{whole[:-1]}{{{{ "\\n" }}}}' if whole.endswith("\n") else whole


def jinja_string(text: str) -> str:
    """A string literal of Jinja, whose escapes are Python's."""
    return json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def doubled(pieces: Sequence[Piece], names: Mapping[str, str]) -> str:
    """The variables as `{{name}}`. Such a notation has no escape: see `check_doubled`."""
    return "".join(piece if isinstance(piece, str) else f"{{{{{names[piece.name]}}}}}" for piece in pieces)


def check_doubled(found: Sequence[Piece], pieces: Sequence[Piece], form: str) -> None:
    """`found`: how the format reads what `doubled` writes for these `pieces`.

    :raises PromptError: it reads something else, because braces of the text stand where it looks for variables.
    """
    if list(found) != [piece for piece in pieces if piece != ""]:
        refuse_doubled(form)


def refuse_doubled(form: str) -> NoReturn:
    """:raises PromptError: always."""
    raise PromptError(
        f"the prompt's text has braces ({{{{ or }}}}) where {form} would read a variable, and its notation has no "
        "way to write them: change the text, or use python, jinja or langsmith"
    )


def format_string(pieces: Sequence[Piece], names: Mapping[str, str]) -> str:
    """A format string of Python."""
    return "".join(
        piece.replace("{", "{{").replace("}", "}}") if isinstance(piece, str) else f"{{{names[piece.name]}}}"
        for piece in pieces
    )
