"""Rows as JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

from .rows import COLUMNS, Row, plain, regions

Format = Literal["jsonl", "csv", "parquet"]
"""The format of the results."""

Classes = Sequence[str] | None

_INSTALL = "Parquet needs pyarrow: pip install 'mgnet-fast[bulk]'"


def check_format(form: Format) -> None:
    """Raise ImportError if the library of a format is not installed."""
    if form == "parquet":
        _pyarrow()


def line_writer(target: TextIO, form: Format, classes: Classes) -> Callable[[Row], None]:
    """A function that writes a row at once, so that an interruption loses none."""
    if form == "jsonl":

        def write_json(row: Row) -> None:
            target.write(json.dumps(plain(row, classes) | {"regions": regions(row)}) + "\n")
            target.flush()

        return write_json

    table = csv.DictWriter(target, _columns(classes), lineterminator="\n")
    table.writeheader()

    def write_csv(row: Row) -> None:
        table.writerow(plain(row, classes))
        target.flush()

    return write_csv


def write_part(
    file: BinaryIO, form: Format, rows: Sequence[Row], classes: Classes, about: dict[str, Any]
) -> None:
    """Write a table of rows, with the column "error"; Parquet's metadata gets ``about``."""
    if form == "parquet":
        _write_parquet(file, rows, classes, about)
        return
    values = [plain(row, classes) | {"error": row.error} for row in rows]
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    if form == "jsonl":
        for value, row in zip(values, rows, strict=True):
            text.write(json.dumps(value | {"regions": regions(row)}) + "\n")
    else:
        table = csv.DictWriter(text, [*_columns(classes), "error"], lineterminator="\n")
        table.writeheader()
        table.writerows(values)
    text.flush()
    text.detach()  # the file stays open


def count_errors(path: Path, form: Format) -> int:
    """How many images of a part could not be read."""
    if form == "parquet":
        table = _pyarrow().parquet.read_table(path, columns=["error"])
        return int(len(table) - table["error"].null_count)
    with path.open(encoding="utf-8", newline="") as file:
        rows = map(json.loads, file) if form == "jsonl" else csv.DictReader(file)
        return sum(bool(row["error"]) for row in rows)


def _columns(classes: Classes) -> tuple[str, ...]:
    return COLUMNS if classes is None else ("path", "class", *COLUMNS[1:])


def _write_parquet(
    file: BinaryIO, rows: Sequence[Row], classes: Classes, about: dict[str, Any]
) -> None:
    arrow = _pyarrow()
    types = {
        "path": arrow.string(),
        "class": arrow.string(),
        "label": arrow.int32(),
        "probability": arrow.float32(),
        "glimpses": arrow.int32(),
        "finite": arrow.bool_(),
        "regions": arrow.list_(arrow.list_(arrow.float32())),
        "error": arrow.string(),
    }
    names = [*_columns(classes), "regions", "error"]
    schema = arrow.schema([(name, types[name]) for name in names])
    values = [plain(row, classes) | {"regions": regions(row), "error": row.error} for row in rows]
    table = arrow.Table.from_pylist(
        values, schema=schema.with_metadata({"mgnet_fast": json.dumps(about)})
    )
    arrow.parquet.write_table(table, file)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    return pyarrow
