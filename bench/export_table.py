"""The table of docs/deployment.md: latency and throughput of every exported format."""

from __future__ import annotations

import re
from typing import Any

_CASE = re.compile(r"(?P<network>.*), batch (?P<batch>\d+), (?P<side>\d+ px)")


def export_table(rows: list[dict[str, Any]]) -> list[str]:
    """One line per network, runtime and precision, from the rows against the published algorithm.

    A batch is left out if it was not measured or missed its tolerance.
    """
    cells: dict[tuple[str, str, str], dict[int, tuple[float, float]]] = {}
    for row in rows:
        found = _CASE.fullmatch(row["case"])
        if row["suite"] != "export" or not row["peer"].startswith("published") or found is None:
            continue
        line = cells.setdefault(
            (f"{found['network']}, {found['side']}", row["op"], row["dtype"]), {}
        )
        if row["deviation"] <= row["tolerance"]:
            seconds = row["ours_seconds"]["p50"] / int(found["batch"])
            line[int(found["batch"])] = (seconds, row["speedup"]["p50"])
    batches = sorted({batch for line in cells.values() for batch in line})
    lines = [
        "| network | runtime | precision | "
        + " | ".join(
            f"batch {batch}: ms per image | times faster than published" for batch in batches
        )
        + " |",
        "|---" * (3 + 2 * len(batches)) + "|",
    ]
    for names, line in cells.items():
        measured = [
            f"{line[batch][0] * 1e3:.3g} | {line[batch][1]:.3g}" if batch in line else "- | -"
            for batch in batches
        ]
        lines.append("| " + " | ".join((*names, *measured)) + " |")
    return lines
