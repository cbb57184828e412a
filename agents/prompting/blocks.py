"""The blocks of a request to a proposer's or a critic's model, and what of them goes where there is no room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from protocols.prompt import estimate_tokens

ROOM = 12_000
"""Tokens that the examples of a block may take, whatever the window: more of them cost more than they say."""
SHORTEST = 32
"""Tokens to which an example may be cut before it is left out."""
CUT = " […]"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a block. `rank`: pieces of the lowest go first, of these the longest; None: it stays. `gap`: what
    stands between it and the piece before."""

    text: str
    rank: int | None = None
    gap: str = "\n\n"

    @property
    def tokens(self) -> int:
        """About its length."""
        return estimate_tokens(self.gap + self.text)


@dataclass(frozen=True, slots=True)
class Block:
    """`<tag name="...">` around the pieces; nothing where there are none. `tag` "": the pieces alone. `left_out`:
    pieces that have gone before."""

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
"""Ranks: examples go before what was said or earned by others."""


def examples(tag: str, records: Sequence[str], **attributes: str) -> Block:
    """The first of the records that take no more than ROOM tokens together; one at least, which may be cut."""
    kept = within([cut(record, ROOM) for record in records])
    pieces = [Piece(record, EXAMPLE) for record in kept]
    return Block(tag, pieces, attributes, left_out=len(records) - len(kept))


def remark(tag: str, text: str) -> Block:
    """A block that may go as a whole, after all examples."""
    return Block(tag, [Piece(text, REMARK)])


def within(records: Sequence[str], tokens: int = ROOM) -> list[str]:
    """The first of them that have no more than so many tokens together; one at least, if there is one."""
    totals = accumulate(estimate_tokens(record) for record in records)
    return [record for n, (record, total) in enumerate(zip(records, totals, strict=True)) if not n or total <= tokens]


def cut(text: str, tokens: int) -> str:
    """`text` if it has no more than so many tokens, else its beginning, with a mark."""
    if estimate_tokens(text) <= tokens:
        return text
    left = max(0, 4 * tokens - len(CUT.encode()))
    return text.encode()[:left].decode("utf-8", "ignore") + CUT


def cut_inside(text: str, tokens: int) -> str:
    """`text` if it has no more than so many tokens, else its beginning and its end, with a mark between: a reply that
    reasons ends with its answer."""
    if estimate_tokens(text) <= tokens:
        return text
    half = max(0, 4 * tokens - len(CUT.encode())) // 2
    said = text.encode()
    return f"{said[:half].decode('utf-8', 'ignore')}{CUT} {said[len(said) - half :].decode('utf-8', 'ignore')}"


def fit(blocks: Sequence[Block], over: Callable[[Sequence[Block]], float]) -> list[Block]:
    """The blocks without what must go for `over`, the tokens that are too many, to be 0 or less: by rank, and of each
    rank the longest first, so that as many stay as can. The last example is cut before it goes."""
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
    """The pieces that may go, with their places."""
    return ((place, piece) for place, piece in enumerate(block.pieces) if piece.rank is not None)


def rank_of(blocks: Sequence[Block], at: tuple[int, int]) -> int:
    """The rank of a piece that has one."""
    return blocks[at[0]].pieces[at[1]].rank or 0


def tokens_of(blocks: Sequence[Block], at: tuple[int, int]) -> int:
    """The tokens of a piece."""
    return blocks[at[0]].pieces[at[1]].tokens


def _without(blocks: list[Block], pool: Sequence[tuple[int, int]], rank: int, most: float) -> list[Block]:
    """Without the first pieces of the pool that free so many tokens."""
    if rank == EXAMPLE and len(pool) == 1 and (left := int(tokens_of(blocks, pool[0]) - most)) >= SHORTEST:
        n, place = pool[0]
        pieces = list(blocks[n].pieces)
        pieces[place] = replace(pieces[place], text=cut(pieces[place].text, left - 1))
        return [replace(block, pieces=pieces) if at == n else block for at, block in enumerate(blocks)]
    going, freed = set[tuple[int, int]](), 0.0
    for at in pool:
        if freed >= most or (rank == EXAMPLE and len(pool) > 1 and len(going) == len(pool) - 1):
            break  # the last of them is looked at anew
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
