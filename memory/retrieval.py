"""Retrieval by similarity to an input: training examples to show, passages of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import faiss
import numpy as np
import numpy.typing as npt
import orjson

from memory.index import vector_index
from memory.tfidf import TfIdf
from protocols.embedding import Vector
from protocols.errors import DataError
from protocols.files.text_files import read_text

T = TypeVar("T")

CHUNK = 600
"""Most characters of a passage: about a paragraph of 150 tokens."""
SCALE = 4000
"""Vectors are rounded to multiples of 1/SCALE. Sums of products of such numbers stay below 2**24, so float32 holds
each exactly, in any order of adding: similarities, and ties, are the same on every machine and in plain Python."""


class Shelf(Generic[T]):
    """Items found by what their keys are like: FAISS over TF-IDF vectors, the same in every process. Safe for several
    threads at once; among thousands a search takes milliseconds, and the first one more. What `run.py export` writes
    finds the same in plain Python (`agents/exports/standalone/retrieving.py`)."""

    def __init__(self, keys: Sequence[str], items: Sequence[T]) -> None:
        """`keys[i]`: the text that queries for `items[i]` are compared with."""
        self.keys, self.items = tuple(keys), tuple(items)
        self._found: tuple[TfIdf, faiss.Index] | None = None
        self._making = Lock()

    def nearest(self, query: str, k: int) -> list[T]:
        """The `k` items whose keys are most similar to the query, best first, and of equals the earlier first. Items
        whose key equals the query are left out, so that no example is shown its own answer."""
        wanted = min(k + self.keys.count(query), len(self.items))
        if wanted < 1 or k < 1:
            return []
        with self._making:
            fitted, index = self._found = self._found or self._indexed()
        places = _places(index, _rounded(fitted.vector(query)), wanted)
        return [self.items[place] for place in places if self.keys[place] != query][:k]

    def _indexed(self) -> tuple[TfIdf, faiss.Index]:
        """Built at the first search: most prompts retrieve nothing."""
        fitted, vectors = TfIdf.fit(self.keys)
        index = vector_index(vectors.shape[1])
        index.add(_rounded(vectors))
        return fitted, index


def _rounded(vectors: Vector) -> Vector:
    """The vectors times SCALE in whole numbers."""
    return np.rint(vectors.astype(np.float64) * SCALE).astype(np.float32)


def _places(index: faiss.Index, vector: Vector, wanted: int) -> npt.NDArray[np.int64]:
    """The numbers of the `wanted` vectors most similar to this one, at most as many as there are."""
    faiss.omp_set_num_threads(1)  # of this thread: a team is 10 to 100 times slower on busy cores
    found, places = (each[0] for each in index.search(vector[np.newaxis], min(wanted + 1, index.ntotal)))
    if len(found) > wanted and found[wanted] == found[wanted - 1]:  # equals, of which FAISS has taken any
        _, found, places = index.range_search(vector[np.newaxis], float(found[wanted]) - 1)
    order = np.lexsort((places, -found))[:wanted]
    chosen: npt.NDArray[np.int64] = places[order]
    return chosen


def read_corpus(path: Path) -> list[str]:
    """The passages of a file or of every file of a folder: `.txt` and `.md` by paragraphs of up to `CHUNK`
    characters, `.jsonl` by lines of `{"text": ...}`.

    :raises DataError: with file, line and reason.
    """
    files = sorted(p for p in path.rglob("*") if p.suffix in (".txt", ".md", ".jsonl")) if path.is_dir() else [path]
    passages = [passage for file in files for passage in _passages(file)]
    if not passages:
        raise DataError("the corpus holds no passage; it reads .txt, .md and .jsonl files", file=str(path))
    return passages


def _passages(file: Path) -> list[str]:
    text = read_text(file, DataError, "the corpus")
    if file.suffix == ".jsonl":
        return [_line(line, number, file) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _chunks(text)


def _line(line: str, number: int, file: Path) -> str:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", file=str(file), line=number) from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise DataError('a passage is {"text": "..."}', file=str(file), line=number)
    return str(row["text"])


def _chunks(text: str) -> list[str]:
    """Paragraphs, joined up to `CHUNK` characters; a longer paragraph is cut between words."""
    chunks: list[str] = []
    for paragraph in text.split("\n\n"):
        words = paragraph.strip()
        while len(words) > CHUNK:
            cut = words.rfind(" ", 0, CHUNK)
            cut = cut if cut > 0 else CHUNK
            chunks.append(words[:cut])
            words = words[cut:].strip()
        if words and chunks and len(chunks[-1]) + len(words) + 2 <= CHUNK:
            chunks[-1] += "\n\n" + words
        elif words:
            chunks.append(words)
    return chunks
