"""Readers of the general formats: JSON lines, JSON, CSV and TSV, Parquet."""

from __future__ import annotations

from pathlib import Path

from protocols.data.cells import read_cells
from protocols.data.mapping import Fields
from protocols.data.rows import Place, Row, Rows, extra, json_document, json_lines, json_rows, opened
from protocols.errors import DataError

BATCH = 256
"""Rows of a Parquet file decoded at a time."""


def read_jsonl(path: Path, fields: Fields) -> Rows:
    """JSON lines: one object per line.

    :raises DataError: a line is not a JSON object; with file, line and reason.
    """
    return json_lines(path)


def read_json(path: Path, fields: Fields) -> Rows:
    """JSON: an array of objects, or an object with one array among its values.

    :raises DataError: the file holds something else; with file and reason, and the line if it is not JSON.
    """
    document = json_document(path)
    if isinstance(document, dict):
        arrays = [name for name, value in document.items() if isinstance(value, list)]
        if len(arrays) != 1:
            found = f"it has {len(arrays)} ({', '.join(arrays[:5])})" if arrays else "it has none"
            raise DataError(f"an object must hold one array, the examples; {found}", file=str(path))
        document = document[arrays[0]]
    if not isinstance(document, list):
        raise DataError("expected an array of objects, or an object with one array", file=str(path))
    return json_rows(document, path)


def read_csv(path: Path, fields: Fields) -> Rows:
    """CSV (RFC 4180) with a header, also in the variants of spreadsheets, see `read_cells`.

    :raises DataError: see `read_cells`.
    """
    return read_cells(path, fields, ",")


def read_tsv(path: Path, fields: Fields) -> Rows:
    """CSV with tabs instead of commas: cells with a tab, a quote or a line end are quoted.

    :raises DataError: see `read_cells`.
    """
    return read_cells(path, fields, "\t")


def read_parquet(path: Path, fields: Fields) -> Rows:
    """Parquet, read with pyarrow (the extra `parquet`).

    :raises DataError: the file cannot be read; with file, reason and the number of the last row read.
    """
    arrow = extra("pyarrow", "parquet", "Parquet files", str(path))
    parquet = extra("pyarrow.parquet", "parquet", "Parquet files", str(path))
    number = 0
    with opened(path) as file:
        try:
            for batch in parquet.ParquetFile(file).iter_batches(BATCH, use_threads=False):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(Place(str(path), number, is_line=False), values)
        except (arrow.ArrowException, ArithmeticError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"not Parquet that can be read, after row {number}: {reason}", file=str(path)) from None
