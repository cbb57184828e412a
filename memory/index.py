"""Nearest neighbours among embedded experiences: FAISS for the vectors, a bit mask for the filters."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence

import faiss
import numpy as np
import numpy.typing as npt

from memory.experience import EVERYWHERE, Where
from protocols.embedding import Vector

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

EXACT = 32_768
"""Search exactly up to this many vectors: 0.15 ms for 10,000 of dimension 256, 5 ms for 100,000."""
GROWTH = 4
"""Rebuild the inverted file when it holds this many times the vectors that it was built for."""
PROBES = 136
"""Inverted lists that a search reads at 1,000,000 vectors; docs/decisions/recall.md gives the recall."""
FEW = 2_000
"""Search exactly if at most this many vectors pass the filter."""
KEPT_MASKS = 16


def vector_index(dimension: int) -> faiss.Index:
    """An exact FAISS index by inner product; it numbers vectors 0, 1, ... in the order in which they are added."""
    return faiss.IndexFlatIP(dimension)


def listed_index(vectors: Vector) -> faiss.IndexIVF:
    """An inverted file over 4 sqrt(n) clusters of the vectors (Sivic & Zisserman, ICCV 2003; FAISS, arXiv
    2401.08281): a search reads the `probed` clusters nearest to the query, and misses vectors in the others.

    Vectors are in half precision, since reading memory dominates a search. Similarities are right to about 1e-4.
    """
    count, dimension = vectors.shape
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dimension),
        dimension,
        int(4 * count**0.5),
        faiss.ScalarQuantizer.QT_fp16,
        faiss.METRIC_INNER_PRODUCT,
        False,
    )
    index.cp.niter, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 8, 1, 64
    index.train(vectors)
    index.add(vectors)
    return index


def probed(count: int, found: int) -> int:
    """Lists to read if `found` of `count` vectors pass the filter. The number grows slowly with `count`; if few
    vectors pass, the nearest of them are further away and spread over more lists."""
    return max(1, round(float(PROBES * (count / 1e6) ** 0.2 * (count / found) ** 0.5)))


class Index:
    """Vectors with the ids and labels of their experiences, held in memory. Not thread-safe.

    Up to EXACT vectors a search is exact; beyond, they are in a `listed_index`, and a search is exact where no more
    than `FEW` meet the conditions.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.deletions = 0  # of the file that it was made from, which who fills it keeps count of
        self.clear()

    def clear(self) -> None:
        """Remove all vectors."""
        self._vectors: faiss.Index = vector_index(self.dimension)
        self._listed_for = 0
        self._ids = array("q")
        self._labels = {name: _Column() for name in ("operator", "kind", "outcome")}
        self._masks: dict[Where, _Mask] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def last(self) -> int:
        """The id that was added last; 0 if the index is empty."""
        return self._ids[-1] if self._ids else 0

    def add(self, ids: Sequence[int], labels: Iterable[Sequence[str]], vectors: Vector) -> None:
        """Append experiences: ascending ids, (operator, kind, outcome) of each, shape (len(ids), dimension)."""
        faiss.omp_set_num_threads(1)  # of this thread: a team is 10 to 100 times slower on busy cores
        self._vectors.add(vectors)
        for column, values in zip(self._labels.values(), zip(*labels, strict=True), strict=True):
            column.extend(values)
        self._ids.extend(ids)

    def search(self, vector: Vector, k: int, where: Where) -> list[tuple[int, float]]:
        """At most `k` ids that meet `where`, with their similarities to `vector` (shape (dimension,)), best first."""
        faiss.omp_set_num_threads(1)
        self._balance()
        mask = self._mask(where)
        wanted = min(k, mask.found)
        if wanted < 1:
            return []
        similarities, places = self._nearest(vector[np.newaxis], wanted, mask, every=mask.found <= FEW)
        if places[0, -1] < 0:  # the lists that were read held too few matches
            similarities, places = self._nearest(vector[np.newaxis], wanted, mask, every=True)
        return [(self._ids[place], float(value)) for place, value in zip(places[0], similarities[0], strict=True)]

    def _nearest(self, vectors: Vector, k: int, mask: _Mask, *, every: bool) -> tuple[Vector, Places]:
        # Also if every vector passes: without a selector, the exact index uses an OpenMP team.
        selector = faiss.IDSelectorBitmap(mask.bits)  # type: ignore[call-arg, arg-type]  # the stub is the C++ one
        parameters: faiss.SearchParameters
        if isinstance(self._vectors, faiss.IndexIVF):
            lists = self._vectors.nlist
            probes = lists if every else min(lists, probed(len(self), mask.found))
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probes)  # type: ignore[call-arg]
        else:
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        similarities, places = self._vectors.search(vectors, k, params=parameters)
        return similarities, places

    def _balance(self) -> None:
        """Build the inverted file, or rebuild it, if there are enough vectors: takes seconds for 100,000."""
        count = len(self)
        if count <= max(EXACT, GROWTH * self._listed_for):
            return
        vectors: Vector = self._vectors.reconstruct_n(0, count)
        self._vectors, self._listed_for = listed_index(vectors), count

    def _mask(self, where: Where) -> _Mask:
        """The vectors that pass `where`. The latest masks are kept, and only extended by the vectors added since."""
        known = self._masks.pop(where, None) or _Mask(np.zeros(0, np.bool_))
        if len(known.mask) < len(self):
            known = _Mask(np.concatenate([known.mask, self._meets(where, len(known.mask))]))
        self._masks[where] = known
        if len(self._masks) > KEPT_MASKS:
            del self._masks[next(iter(self._masks))]
        return known

    def _meets(self, where: Where, start: int) -> Mask:
        mask = np.ones(len(self) - start, dtype=np.bool_)
        if where == EVERYWHERE:
            return mask
        conditions = (where.operators, where.kinds, where.outcomes)
        for column, wanted in zip(self._labels.values(), conditions, strict=True):
            if wanted is not None:
                mask &= column.among(wanted, start)
        return mask


class _Mask:
    """The vectors that pass a filter: as a Boolean array, as FAISS's bitmap, and their number."""

    def __init__(self, mask: Mask) -> None:
        self.mask, self.bits, self.found = mask, np.packbits(mask, bitorder="little"), int(np.count_nonzero(mask))


class _Column:
    """Strings stored as numbers, so that a filter over all of them is one array lookup."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._values = array("q")

    def extend(self, values: Iterable[str]) -> None:
        self._values.extend(self._numbers.setdefault(value, len(self._numbers)) for value in values)

    def among(self, wanted: Collection[str], start: int) -> Mask:
        """A mask of the values from `start` on that are in `wanted`."""
        allowed = np.zeros(len(self._numbers), dtype=np.bool_)
        allowed[[self._numbers[value] for value in wanted if value in self._numbers]] = True
        return allowed[np.frombuffer(self._values, np.int64)[start:]]
