"""HTML of texts and tables, for notebooks. Every text is escaped, since models and data may have written it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from protocols.text import printable

VERBATIM = "white-space: pre-wrap; overflow-wrap: anywhere; text-align: left; margin: 0 0 0.6em 0"


def verbatim(text: str) -> str:
    """A text as it stands, with its line ends."""
    return f'<pre style="{VERBATIM}">{_escaped(text)}</pre>'


def heading(text: str) -> str:
    """A line above something."""
    return f"<div><b>{_escaped(text)}</b></div>"


def listing(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, with a row of names above unless `head` is empty."""
    above = "".join(f"<th>{_escaped(name)}</th>" for name in head)
    lines = ["".join(f"<td>{_escaped(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in (above, *lines) if line)}</table>"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
