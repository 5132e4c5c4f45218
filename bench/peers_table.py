"""Tables of the rows that bench.engine_peers writes: latencies in every runtime, and the goals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mgnet_fast.engine_peers import HALF_WEIGHTS

Row = dict[str, Any]

# The goals: a sentence, the largest ratio, and which row against which rival. Of several rows the
# fastest counts, because the engine may run in any of its runners; its weights are float32 unless
# the goal names others.
GOALS: tuple[tuple[str, float, Row, str], ...] = (
    (
        "a step of the engine against the best library's backbone alone, ResNet-18, batch 1",
        0.95,
        {"network": "ResNet-18", "batch": 1, "what": "one step", "runner": "packed"},
        "best library",
    ),
    (
        "the same with weights in float16",
        0.80,
        {"network": "ResNet-18", "batch": 1, "what": "one step", "runner": HALF_WEIGHTS},
        "best library",
    ),
    (
        "a step in float32 against the best library's backbone alone, ResNet-50, batch 1",
        1.0,
        {"network": "ResNet-50", "batch": 1, "what": "one step", "runner": "packed"},
        "best library",
    ),
    (
        "four glimpses against the best FF-Net of any runner, ResNet-18, batch 1",
        0.80,
        {"network": "ResNet-18", "batch": 1, "what": "MGNet, T = 4"},
        "best FF-Net",
    ),
    (
        "the same, ResNet-50",
        0.85,
        {"network": "ResNet-50", "batch": 1, "what": "MGNet, T = 4"},
        "best FF-Net",
    ),
    (
        "16 slots against a batch of 16, ResNet-18",
        0.74,
        {"network": "ResNet-18", "batch": 16, "what": "MGNet, T = 4"},
        "best FF-Net",
    ),
    (
        "a backbone that `packed` does not know in the engine against eager, EfficientNet-B0, "
        "batch 1",
        0.45,
        {"network": "EfficientNet-B0", "batch": 1, "what": "MGNet, T = 4"},
        "eager",
    ),
)

_LIBRARIES = ("openvino", "onnxruntime")
_EXPLANATION = (
    "MGNet takes four glimpses of 96 pixels (the toy network three of 28), FF-Net one look at 224",
    "(112) pixels, without the engine's slots; both have the same backbone with random weights.",
    "All rows of a table and a batch ran turn by turn in one process, by `python -m",
    "bench.engine_peers`; with two threads after a pause of 0.2 seconds, eight calls in a row, of",
    "which the last five count, because idle threads of one library disturb the next. Results",
    "agreed with eager float32 before they were timed. *One step* is",
    "a step of the engine; *backbone alone* is the least it can take in that runtime: the",
    "backbone on ready glimpses. *Of best* is the time divided by that of the fastest FF-Net or,",
    "for a step and a backbone alone, by that of the fastest library's backbone alone. *Of eager*",
    "is the time divided by that of the same in eager PyTorch. Both are medians over the rounds;",
    "below 1 is faster.",
)


def goal_rows(rows: list[Row]) -> Iterator[tuple[str, float, Row | None, str]]:
    """Each goal, its bar, the row that counts, on one thread in float32, and the rival."""
    for sentence, bar, wanted, rival in GOALS:
        fields = {**wanted, "threads": 1, "precision": "fp32"}
        found = [row for row in rows if fields.items() <= row.items() and rival in row["against"]]
        if "runner" not in wanted:
            found = [row for row in found if row["runner"] != HALF_WEIGHTS]
        best = min(found, key=lambda row: row["against"][rival]["p50"], default=None)
        yield sentence, bar, best, rival


def targets_reached(rows: list[Row]) -> list[str]:
    """One line per goal."""
    lines = []
    for sentence, bar, row, rival in goal_rows(rows):
        found = "not measured"
        if row is not None:
            found = f"{_spread(row['against'][rival])} ({row['runner']})"
        lines.append(f"{sentence}: {found}, goal {bar:g}")
    return lines


def peers_section(result: dict[str, Any]) -> list[str]:
    """The section of BENCHMARKS.md on one processor."""
    machine = result["machine"]
    packages = machine["packages"]
    versions = [f"{name} {packages[name]}" for name in _LIBRARIES if name in packages]
    note = f"; {result['note']}" if result.get("note") else ""
    return [
        "",
        f"## What one would run instead: {machine['processor']}: {machine['instruction_set']}",
        "",
        f"torch {machine['torch']}, {', '.join(versions)}, mgnet_fast at "
        f"{machine['commit']}{note}.",
        "",
        *_EXPLANATION,
        "",
        *goals_table(result["rows"]),
        *peers_tables(result["rows"]),
    ]


def goals_table(rows: list[Row]) -> list[str]:
    lines = ["| time of | ratio | runner | goal |", "|---|---|---|---|"]
    for sentence, bar, row, rival in goal_rows(rows):
        if row is not None:
            ratio = _spread(row["against"][rival], bold=True)
            lines.append(f"| {sentence} | {ratio} | `{row['runner']}` | {bar:g} |")
    return lines


def peers_tables(rows: list[Row]) -> list[str]:
    """A table per network, precision and number of threads; the batches side by side."""
    keys = ("network", "precision", "threads")
    lines: list[str] = []
    for case in dict.fromkeys(tuple(row[key] for key in keys) for row in rows):
        network, precision, threads = case
        some = [row for row in rows if tuple(row[key] for key in keys) == case]
        plural = "s" if threads > 1 else ""
        lines += ["", f"### {network}, {precision}, {threads} thread{plural}", ""]
        lines += _table(some)
    return lines


def _table(rows: list[Row]) -> list[str]:
    batches = sorted({row["batch"] for row in rows})
    columns = ("ms: 50 %, 90 %, 99 %", "of best", "of eager")
    header = [f"batch {batch}: {column}" for batch in batches for column in columns]
    lines = ["| what | runner | " + " | ".join(header) + " |", "|---" * (2 + len(header)) + "|"]
    able = [row for row in rows if not row["refusal"]]
    cells = {(row["what"], row["runner"], row["batch"]): row for row in able}
    for what, runner in dict.fromkeys((row["what"], row["runner"]) for row in able):
        found = [cells.get((what, runner, batch)) for batch in batches]
        line = [text for row in found for text in _cells(row)]
        lines.append(f"| {what} | {runner} | " + " | ".join(line) + " |")
    refused = {(row["what"], row["runner"]): row["refusal"] for row in rows if row["refusal"]}
    if refused:
        named = (
            (f"`{name}`, {what}" if what else f"`{name}`", why)
            for (what, name), why in refused.items()
        )
        lines += ["", *(f"{name}: {why}." for name, why in named)]
    return lines


def _cells(row: Row | None) -> list[str]:
    if row is None:
        return ["-", "-", "-"]
    if not row["seconds"]:
        return ["not shown: outside its tolerance", "-", "-"]
    times = ", ".join(f"{1e3 * row['seconds'][name]:.3g}" for name in ("p50", "p90", "p99"))
    against: dict[str, Row] = row["against"]
    best = against.get("best FF-Net") or against.get("best library")
    ratios = [f"{each['p50']:.2f}" if each else "-" for each in (best, against.get("eager"))]
    return [times, *ratios]


def _spread(found: Row, *, bold: bool = False) -> str:
    mark = "**" if bold else ""
    return f"{mark}{found['p50']:.2f}{mark} ({found['p20']:.2f} to {found['p80']:.2f})"
