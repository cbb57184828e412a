"""Writes a prompt as a template of Jinja that renders the messages as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from agents.exports import notation
from agents.exports.documents import Exported
from agents.exports.portable import Piece, Portable, no_offer, variables

HEAD = "{#- The messages as JSON: json.loads(template.render(NAMES)) -#}\n"


def jinja(portable: Portable, fixed: bool) -> Exported:
    """All texts are string literals and pass through the filter `tojson`: no setting of an environment changes them,
    such as its treatment of line ends or its escaping of HTML."""
    turns = portable.turns(fixed, "jinja")
    no_offer(portable, "jinja")
    names = notation.identifiers(portable.fields) | {"inputs": "inputs"}
    shown = variables(portable, turns)
    head = HEAD.replace("NAMES", ", ".join(f"{names[name]}=..." for name in shown))
    rows = [
        f'  {{"role": "{turn.role}", "content": {{{{ ({_expression(turn.pieces, names)}) | tojson }}}}}}'
        for turn in turns
    ]
    return head + "[\n" + ",\n".join(rows) + "\n]\n", notation.renamed({name: names[name] for name in shown})


def _expression(pieces: tuple[Piece, ...], names: Mapping[str, str]) -> str:
    lines = [
        notation.jinja_string(part) if isinstance(piece, str) else names[piece.name]
        for piece in pieces
        for part in (piece.splitlines(keepends=True) if isinstance(piece, str) else [""])
    ]
    return "\n    ~ ".join(lines) or '""'
