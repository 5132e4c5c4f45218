"""Make BENCHMARKS.md, and tables in README.md, docs/deployment.md and docs/images.md.

From the rows in bench/results.

python -m bench.report          write them
python -m bench.report --check  exit with 1 if one is out of date
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .export_table import export_table
from .peers_table import peers_section
from .rows import RESULTS

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS, README = ROOT / "BENCHMARKS.md", ROOT / "README.md"
DEPLOYMENT = ROOT / "docs" / "deployment.md"
IMAGES = ROOT / "docs" / "images.md"
PEERS = RESULTS / "peers"
LAZY_READING = RESULTS / "streams" / "lazy_reading.json"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NEVER_ON_A_GPU = (
    "**Nothing on this page was measured on a GPU. The Triton and CUDA kernels and the engine's "
    "runner `cudagraph` have never run on one.** `python -m bench.gpu --out DIR` checks and "
    "measures them in nine minutes: glimpses forward and backward with a cold cache, at batch 1 "
    "and in CUDA graphs; attention over a map; and the engine's latency, throughput and early exit "
    "against the published algorithm (eager and compiled) and one large look."
)
PEER_ORDER = ("eager", "torch.compile", "OpenCV", "kornia")

Result = dict[str, Any]

_PUBLISHED, _ONE_SLOT = "published algorithm, eager NCHW", "T = 4, 1 slot, 224 px"
_SAMPLING = "`affine_grid` and `grid_sample`"
# What the README shows: a plain name, a plain peer, and the fields of the row.
README_ROWS: tuple[tuple[str, str, Result], ...] = (
    (
        "Glimpse of 96 pixels from a 224-pixel image, float32",
        _SAMPLING,
        {"op": "forward", "case": "(1,3,224,224) -> 96, s in .2...5", "peer": "eager"},
    ),
    (
        "The same with the gradient to the region",
        _SAMPLING,
        {"op": "forward + backward", "case": "(1,3,224,224) -> 96, s in .2...5", "peer": "eager"},
    ),
    (
        "Glimpses from 8 camera images of 224 pixels, bytes to normalised floats",
        "convert, normalise, permute, sample",
        {"op": "forward from bytes",
         "case": "(8,3,224,224) -> 96, s in .2...5, to contiguous_format"},
    ),
    (
        "A photograph of 12 megapixels to 96 pixels, averaged and normalised",
        "OpenCV `resize` (`INTER_AREA`), not normalised",
        {"op": "antialiased", "case": "(1,3,3000,4000) bytes -> 96, s = 1",
         "peer": "OpenCV INTER_AREA"},
    ),
    (
        "A 12-megapixel JPEG to a label, ResNet-18, four glimpses",
        "Pillow decodes it whole, bilinear samples",
        {"op": "12-megapixel JPEGs to labels", "peer": "Pillow, whole, bilinear, T = 4",
         "case": "mgnet_resnet18, 4 files, T = 4, 1 slot, reading lazily"},
    ),
    (
        "ResNet-18, one image at a time, float32: the engine",
        "the published code's algorithm",
        {"case": f"mgnet_resnet18, {_ONE_SLOT}", "dtype": "float32", "peer": _PUBLISHED},
    ),
    (
        "ResNet-18, 16 images at a time, float32: the engine",
        "the published code's algorithm",
        {"case": "mgnet_resnet18, T = 4, 16 slots, 224 px", "dtype": "float32",
         "peer": _PUBLISHED},
    ),
    (
        "ResNet-18, one image at a time: four small glimpses",
        "one look at 224 pixels, same engine",
        {"case": f"mgnet_resnet18, {_ONE_SLOT}", "peer": "ffnet_resnet18 in the engine"},
    ),
    (
        "ResNet-18, 16 images at a time: four small glimpses",
        "one look at 224 pixels, same engine",
        {"case": "mgnet_resnet18, T = 4, 16 slots, 224 px",
         "peer": "ffnet_resnet18 in the engine"},
    ),
    (
        "ResNet-18, 16 images at a time: leaving after 1.83 glimpses on average",
        "four glimpses for every image",
        {"op": "early exit",
         "case": "mgnet_resnet18, 64 images, 16 slots, 1.83 glimpses on average"},
    ),
)  # fmt: skip


def load() -> list[Result]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def speedup(row: Result) -> str:
    """Median with the 20th and 80th percentile, or why there is none."""
    if row["deviation"] > row["tolerance"]:
        return "not shown: outside its tolerance"
    spread = row["speedup"]
    return f"**{_short(spread['p50'])}** ({_short(spread['p20'])} to {_short(spread['p80'])})"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _plain(case: str) -> str:
    """A case with its range of scales written out: "s in 0.2...5" is 0.2 to 0.5."""
    return case.replace("s in .2...5", "s from 0.2 to 0.5")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


def forward_table(rows: list[Result]) -> list[str]:
    """One row per case, one column per peer: how many times longer the peer takes."""
    peers = [peer for peer in PEER_ORDER if any(row["peer"] == peer for row in rows)]
    cases = list(dict.fromkeys(row["case"] for row in rows))
    found = {(row["case"], row["peer"]): row for row in rows}
    lines = [
        "| case | ms | " + " | ".join(f"against {peer}" for peer in peers) + " | goal (eager) |",
        "|---" * (len(peers) + 3) + "|",
    ]
    for case in cases:
        eager = found.get((case, "eager"))
        cells = [speedup(found[case, peer]) if (case, peer) in found else "-" for peer in peers]
        goal = f"{eager['target']:g}" if eager and eager["target"] else "-"
        time = _milliseconds(eager["ours_seconds"]["p50"]) if eager else "-"
        lines.append(f"| {_plain(case)} | {time} | " + " | ".join(cells) + f" | {goal} |")
    return lines


def plain_table(rows: list[Result]) -> list[str]:
    """Also the bytes that must be read and the share of reading speed, and memory, where rows say
    so."""
    tells_bytes = any(row["bytes_moved"] for row in rows)
    tells_memory = any(row["ours_peak_bytes"] for row in rows)
    more = ("MB to read", "of reading speed") if tells_bytes else ()
    more += ("MB held", "MB of peer") if tells_memory else ()
    lines = [
        "| " + " | ".join(("case", "against", "ms", "times faster", "goal", *more)) + " |",
        "|---" * (5 + len(more)) + "|",
    ]
    for row in rows:
        goal = f"{row['target']:.3g}" if row["target"] else "-"
        time = _milliseconds(row["ours_seconds"]["p50"])
        what = f"{_plain(row['case'])}, {row['dtype']}"
        cells = [what, row["peer"], time, speedup(row), goal]
        if tells_bytes:
            cells += [f"{row['bytes_moved'] / 1e6:.3g}", f"{row['copy_share']:.0%}"]
        if tells_memory:
            cells += _held(row)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def gpu_table(rows: list[Result]) -> list[str]:
    """Device time with a cold cache, as a share of a device copy's bandwidth, and peak memory."""
    lines = [
        "| case | backend | against | us | times faster | goal | of copy | MB | MB of peer |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = f"{row['copy_share']:.0%}" if row["copy_share"] else "-"
        goal = f"{row['target']:.3g}" if row["target"] else "-"
        time = f"{row['ours_seconds']['p50'] * 1e6:.3g}" if row["ours_seconds"] else "-"
        memory = " | ".join(_held(row))
        what = f"{_plain(row['case'])}, {row['dtype']}"
        lines.append(
            f"| {what} | {row['backend']} | {row['peer']} | {time} | {speedup(row)} | {goal} "
            f"| {share} | {memory} |"
        )
    return lines


def _held(row: Result) -> list[str]:
    """Megabytes held by ours and by the peer."""
    peaks = row["ours_peak_bytes"], row["peer_peak_bytes"]
    return ["-" if peak is None else f"{peak / 1e6:.3g}" for peak in peaks]


def on_a_gpu(result: Result) -> bool:
    """Whether the rows are those of bench.gpu."""
    return all(row["backend"] in ("triton", "cuda", "cudagraph") for row in result["rows"])


def tables(result: Result) -> list[str]:
    lines: list[str] = []
    for (suite, op), rows in _grouped(result["rows"]).items():
        lines += ["", f"### {suite}: {op}", ""]
        if on_a_gpu(result):
            lines += gpu_table(rows)
        else:
            lines += forward_table(rows) if op == "forward" else plain_table(rows)
    return lines


def _grouped(rows: list[Result]) -> dict[tuple[str, str], list[Result]]:
    groups: dict[tuple[str, str], list[Result]] = {}
    for row in rows:
        groups.setdefault((row["suite"], row["op"]), []).append(row)
    return groups


def benchmarks_page(results: list[Result]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made by `python -m bench.report` from the rows in `bench/results`; do not edit by hand.",
        "",
        "The bold number says how many times longer the peer takes than this package. It is the",
        "median over interleaved pairs of runs in one process; the brackets give the 20th and",
        "80th percentile of the pairs. Results are compared before anything is timed: glimpses",
        "with the float64 reference, networks and training steps with the published algorithm in",
        "float32. Times are medians of this package. `goal` is the speed-up that the project aims",
        "for; goals were set for processors with AVX-512. GPU times are device times with a cold",
        "cache. Reading speed is that of a sum over the same image.",
    ]
    if not any(map(on_a_gpu, results)):
        lines += ["", NEVER_ON_A_GPU]
    for result in results:
        machine = result["machine"]
        threads = sorted({row["threads"] for row in result["rows"]})
        lines += [
            "",
            f"## {_device(result)}",
            "",
            f"torch {machine['torch']}, Python {machine['python']}, "
            f"mgnet_fast {machine['mgnet_fast']} at {machine['commit']}, "
            f"{', '.join(map(str, threads))} thread(s)",
            *tables(result),
        ]
    for path in sorted(PEERS.glob("*.json")):
        lines += peers_section(json.loads(path.read_text(encoding="utf-8")))
    return "\n".join(lines) + "\n"


def _device(result: Result) -> str:
    machine = result["machine"]
    if on_a_gpu(result):
        return f"{', '.join(machine['gpus'])}, CUDA {machine['cuda']}"
    return f"{machine['processor']}: {machine['instruction_set']}"


def _main_machine(results: list[Result]) -> Result:
    """That of the result with most rows, among those of processors."""
    on_processors = [result for result in results if not on_a_gpu(result)]
    found: Result = max(on_processors, key=lambda result: len(result["rows"]))["machine"]
    return found


def readme_block(results: list[Result]) -> str:
    """The rows of :data:`README_ROWS`, on the processor of :func:`_main_machine`."""
    machine = _main_machine(results)
    vectors = machine["instruction_set"].split()[0]
    rows = [
        (row, result["machine"]["instruction_set"].split()[0])
        for result in results
        if result["machine"]["processor"] == machine["processor"] and not on_a_gpu(result)
        for row in result["rows"]
    ]
    lines = ["| what | against | times faster |", "|---|---|---|"]
    for what, against, wanted in README_ROWS:
        for row, used in [each for each in rows if wanted.items() <= each[0].items()][:1]:
            name = what if used == vectors else f"{what} ({used})"
            lines.append(f"| {name} | {against} | {speedup(row)} |")
    note = (
        f"One thread of {machine['processor']} ({vectors} unless said otherwise), "
        f"torch {machine['torch']}; below 1 is slower. All {len(rows)} rows: "
        "[BENCHMARKS.md](BENCHMARKS.md); exported networks: "
        "[docs/deployment.md](docs/deployment.md)."
    )
    return "\n".join([*lines, "", note])


def with_block(text: str, block: str) -> str:
    """``text`` with ``block`` between its two marks."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def deployment_block(results: list[Result]) -> str:
    rows = [row for result in results for row in result["rows"]]
    machine = _main_machine(results)
    note = f"One thread of {machine['processor']}, torch {machine['torch']}; medians."
    return "\n".join([*export_table(rows), "", note])


def images_block() -> str:
    """What lazily decoded files change in the answers of a network."""
    result = json.loads(LAZY_READING.read_text(encoding="utf-8"))
    lines = [
        "| format | image | scale | labels changed | right lazily, whole "
        "| region shift, median and largest | logit change, median and largest |",
        "|---" * 7 + "|",
    ]
    for row in result["rows"]:
        scale = "1" if row["scale"] == 1 else f"1/{row['scale']:g}"
        lines.append(
            f"| {row['format']} | {row['side']} px | {scale} | {row['labels_changed']} of "
            f"{row['images']} | {row['right_lazy']}, {row['right_whole']} | "
            f"{row['median_region_shift']:.3f}, {row['largest_region_shift']:.3f} | "
            f"{row['median_logit_change']:.3f}, {row['largest_logit_change']:.3f} |"
        )
    note = (
        "The toy network with three glimpses of 28 pixels, trained with `--antialias`, on the 500 "
        "shipped digits in enlarged scenes, lazily decoded against the same files decoded whole. "
        "Scale: of the smallest look. Region shift: where an image spans 2. Logit change: in "
        "standard deviations of the logits. Made by `python -m bench.lazy_reading`."
    )
    return "\n".join([*lines, "", note])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if stale")
    arguments = parser.parse_args()
    results = load()
    if not results:
        print(f"no rows in {RESULTS}: run `pytest bench --rows bench/results/NAME.json` first")
        return 1
    pages = {
        BENCHMARKS: benchmarks_page(results),
        README: with_block(README.read_text(encoding="utf-8"), readme_block(results)),
        DEPLOYMENT: with_block(DEPLOYMENT.read_text(encoding="utf-8"), deployment_block(results)),
        IMAGES: with_block(IMAGES.read_text(encoding="utf-8"), images_block()),
    }
    stale = [
        path.name
        for path, text in pages.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if not arguments.check:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
        print(f"wrote {', '.join(path.name for path in pages)} from {len(results)} result file(s)")
        return 0
    print(f"out of date: {', '.join(stale)}" if stale else "up to date")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
