"""The blocks of a request to a proposer's or critic's model, and the rule for what is left out if they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from protocols.prompt import estimate_tokens

ROOM = 12_000
"""Most tokens of examples in a block, in any context window: more examples cost more than they tell."""
SHORTEST = 32
"""An example that would be cut to fewer tokens is left out."""
CUT = " […]"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a block. `rank`: pieces of the lowest rank are left out first, the longest of them first; None: never
    left out. `gap`: the separator from the piece before."""

    text: str
    rank: int | None = None
    gap: str = "\n\n"

    @property
    def tokens(self) -> int:
        """The estimated length with the gap."""
        return estimate_tokens(self.gap + self.text)


@dataclass(frozen=True, slots=True)
class Block:
    """`<tag name="...">` around the pieces; "" if there are none. `tag` "": the pieces without a tag. `left_out`:
    number of pieces left out so far."""

    tag: str
    pieces: Sequence[Piece]
    attributes: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0

    def __str__(self) -> str:
        text = "".join((piece.gap if n else "") + piece.text for n, piece in enumerate(self.pieces))
        if not self.tag:
            return text
        named = "".join(f' {key}="{value}"' for key, value in self.attributes.items())
        return f"<{self.tag}{named}>\n{text}\n</{self.tag}>" if text else ""


EXAMPLE, REMARK = 0, 1
"""Ranks of pieces: examples are left out before remarks and results of other edits."""


def examples(tag: str, records: Sequence[str], **attributes: str) -> Block:
    """A block of the first records that have at most ROOM tokens together; at least one, which may be cut."""
    kept = within([cut(record, ROOM) for record in records])
    pieces = [Piece(record, EXAMPLE) for record in kept]
    return Block(tag, pieces, attributes, left_out=len(records) - len(kept))


def remark(tag: str, text: str) -> Block:
    """A block that may be left out as a whole, after all examples."""
    return Block(tag, [Piece(text, REMARK)])


def within(records: Sequence[str], tokens: int = ROOM) -> list[str]:
    """The first records that have at most `tokens` tokens together; at least one, if there is one."""
    totals = accumulate(estimate_tokens(record) for record in records)
    return [record for n, (record, total) in enumerate(zip(records, totals, strict=True)) if not n or total <= tokens]


def cut(text: str, tokens: int) -> str:
    """`text`, cut at its end with a mark if it has more than `tokens` tokens."""
    if estimate_tokens(text) <= tokens:
        return text
    left = max(0, 4 * tokens - len(CUT.encode()))
    return text.encode()[:left].decode("utf-8", "ignore") + CUT


def cut_inside(text: str, tokens: int) -> str:
    """`text`, cut in its middle with a mark if it has more than `tokens` tokens: a reply that reasons ends with its
    answer."""
    if estimate_tokens(text) <= tokens:
        return text
    half = max(0, 4 * tokens - len(CUT.encode())) // 2
    said = text.encode()
    return f"{said[:half].decode('utf-8', 'ignore')}{CUT} {said[len(said) - half :].decode('utf-8', 'ignore')}"


def fit(blocks: Sequence[Block], over: Callable[[Sequence[Block]], float]) -> list[Block]:
    """The blocks with pieces left out until `over`, the number of excess tokens, is at most 0: by rank, and the
    longest of a rank first, so that as many as possible stay. The last example is cut before it is left out."""
    kept = list(blocks)
    while (most := over(kept)) > 0:
        places = [(n, place) for n, block in enumerate(kept) for place, _ in ranked(block)]
        if not places:
            break
        lowest = min(rank_of(kept, at) for at in places)
        pool = sorted((at for at in places if rank_of(kept, at) == lowest), key=lambda at: -tokens_of(kept, at))
        kept = _without(kept, pool, lowest, most)
    return kept


def ranked(block: Block) -> Iterable[tuple[int, Piece]]:
    """The pieces that may be left out, with their indices."""
    return ((place, piece) for place, piece in enumerate(block.pieces) if piece.rank is not None)


def rank_of(blocks: Sequence[Block], at: tuple[int, int]) -> int:
    """The rank of a piece that has one."""
    return blocks[at[0]].pieces[at[1]].rank or 0


def tokens_of(blocks: Sequence[Block], at: tuple[int, int]) -> int:
    """The tokens of a piece."""
    return blocks[at[0]].pieces[at[1]].tokens


def _without(blocks: list[Block], pool: Sequence[tuple[int, int]], rank: int, most: float) -> list[Block]:
    """The blocks without the first pieces of the pool that free `most` tokens."""
    if rank == EXAMPLE and len(pool) == 1 and (left := int(tokens_of(blocks, pool[0]) - most)) >= SHORTEST:
        n, place = pool[0]
        pieces = list(blocks[n].pieces)
        pieces[place] = replace(pieces[place], text=cut(pieces[place].text, left - 1))
        return [replace(block, pieces=pieces) if at == n else block for at, block in enumerate(blocks)]
    going, freed = set[tuple[int, int]](), 0.0
    for at in pool:
        if freed >= most or (rank == EXAMPLE and len(pool) > 1 and len(going) == len(pool) - 1):
            break  # the next round decides whether the last example is cut or left out
        going.add(at)
        freed += tokens_of(blocks, at)
    return [
        replace(
            block,
            pieces=[piece for place, piece in enumerate(block.pieces) if (n, place) not in going],
            left_out=block.left_out + sum(at[0] == n for at in going),
        )
        for n, block in enumerate(blocks)
    ]
