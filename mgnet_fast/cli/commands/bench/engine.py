"""``mgnet-fast bench engine``: the engine, other runtimes and early exit."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from rich.table import Table
from rich.text import Text

from ... import console
from ...options import shared as options
from ...options.engine import Precision
from ...options.option import option, switch

if TYPE_CHECKING:
    from ....engine_peers import Peer
    from ....engine_speed import ExitSpeed


def bench_engine(
    slots: Annotated[int, option("N", "Number of images in flight.", min=1)] = 64,
    threads: Annotated[int, option("N", "Threads for both sides.", min=1)] = 1,
    images: Annotated[
        int, option("N", "Number of shipped digits in the stream.", min=1, max=500)
    ] = 500,
    budget: Annotated[float, option("N", "Seconds the measurement may take.", min=0)] = 20.0,
    precision: Precision = "fp32",
    compiled: Annotated[
        bool, switch("Also time torch.compile, which compiles for minutes.", "--compiled")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Time the engine against the published algorithm and other runtimes, and early exit.

    The other runtimes are those that are installed: OpenVINO and ONNX Runtime.
    """
    screen = console.output()
    with screen.status("loading"):
        from .... import demo as show
        from ....engine_peers import compare_with_runtimes
        from ....engine_speed import compare_engine, deviation, measure_exits
        from ....threads import fixed_threads
        from ..demo import machine, speed_table

        model = show.load_model()
        scenes = show.load_scenes(images)
    with fixed_threads(threads), screen.status("measuring") as status:
        rows = []
        off = None
        if precision != "fp32":
            off = deviation(model, scenes, slots, precision)
        for row in compare_engine(model, scenes, slots, budget / 3, precision):
            rows.append(row)
            status.update(f"measuring: {row.case} done")
        peers = {}
        for case, found in compare_with_runtimes(budget / 3, precision, compiled=compiled):
            peers[case] = found
            status.update(f"measuring: {case}, other runtimes done")
        exits = measure_exits(model, scenes, slots, budget / 3, precision)
    if as_json:
        console.print_json(
            {
                "precision": precision,
                "deviation": off and asdict(off),
                "cases": [asdict(row) for row in rows],
                "peers": {case: [asdict(peer) for peer in found] for case, found in peers.items()},
                "exits": [asdict(row) for row in exits],
            }
        )
    else:
        screen.print(speed_table(rows, threads, *machine()))
        if off is not None:
            screen.print(f"toy network in {precision} against float32 {off}")
        for case, found in peers.items():
            screen.print(peers_table(case, found, threads, precision))
        screen.print(_exit_table(exits, slots))
    disagreeing = [row.case for row in rows if not row.agrees]
    if disagreeing:
        raise ValueError(
            "results must agree with the published algorithm before speed is measured; "
            f"they do not in: {'; '.join(disagreeing)}"
        )


def peers_table(case: str, peers: list[Peer], threads: int, precision: str) -> Table:
    """Latencies of a network in every runner, and their ratios."""
    table = console.new_table(
        f"{case}, {precision}, {threads} thread{'s' if threads > 1 else ''}: other runtimes",
        caption="one step and backbone alone: a glimpse of each image\n"
        "of best: time divided by that of the fastest FF-Net, or, for a step and its backbone, "
        "of the fastest library's backbone alone; median of the rounds",
    )
    for name in ("what", "runner"):
        table.add_column(name, no_wrap=True)
    for name in ("50 %", "90 %", "99 %", "of best", "of eager"):
        table.add_column(name, justify="right", no_wrap=True)
    for peer in peers:
        if peer.refusal is not None:
            table.add_row(peer.what or "-", peer.runner, peer.refusal)
            continue
        if not peer.seconds:
            table.add_row(
                peer.what, peer.runner, Text(f"off by {peer.difference:.0e}", style="red")
            )
            continue
        times = [console.duration(peer.seconds[name]) for name in ("p50", "p90", "p99")]
        best = peer.against.get("best FF-Net") or peer.against.get("best library")
        eager = peer.against.get("eager")
        ratios = [f"{each['p50']:.2f}" if each else "-" for each in (best, eager)]
        table.add_row(peer.what, peer.runner, *times, *ratios)
    return table


def _exit_table(rows: list[ExitSpeed], slots: int) -> Table:
    table = console.new_table(
        f"early exit, toy network, {slots} slot{'s' if slots > 1 else ''}",
        caption="of ideal: 100 % means the rate without early exit times T / mean glimpses",
    )
    for name in ("confidence", "glimpses", "accuracy", "images/s", "of ideal"):
        table.add_column(name, justify="right", min_width=9)
    for row in rows:
        table.add_row(
            "never" if row.threshold is None else f"{row.threshold:g}",
            f"{row.mean_glimpses:.2f}",
            f"{100 * row.accuracy:.1f} %",
            f"{row.images_per_second:.0f}",
            f"{100 * row.share_of_ideal:.0f} %",
        )
    return table
