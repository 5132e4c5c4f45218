"""``mgnet-fast bench networks``: networks of all families on the same scenes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from rich.table import Table

from ... import console
from ...model_choice import network_title
from ...options import shared as options
from ...options.option import option
from ...options.scenes import fixed_scenes
from ...waiting import waiting_bar

if TYPE_CHECKING:
    from ....side_by_side import NetworkRow


def bench_networks(
    checkpoints: options.Checkpoints = None,
    data: options.TestDigits = None,
    dataset: options.DatasetName = "translated-mnist",
    noise_std: options.NoiseStd = None,
    threads: Annotated[int, option("N", "Threads for all networks.", min=1)] = 1,
    budget: Annotated[float, option("N", "Seconds for the latencies.", min=0)] = 20.0,
    as_json: options.AsJson = False,
) -> None:
    """Compare trained networks of any family on the same test scenes.

    Accuracy, multiply-adds, latency of the forward pass at batch 1 and 32, and memory.

    The passes of all networks take turns, so a busy machine slows all of them.
    """
    from ....models.files.checkpoints import load_checkpoint
    from ....side_by_side import compare_networks
    from ....threads import fixed_threads

    scenes = fixed_scenes(data, dataset, noise_std)
    paths = options.networks(checkpoints, None)
    networks = [(network_title(path), load_checkpoint(path)) for path in paths]
    with fixed_threads(threads), waiting_bar(len(networks)) as show:
        rows = compare_networks(networks, scenes, seconds=budget, on_part=show)
    if as_json:
        console.print_json([asdict(row) for row in rows])
        return
    noun = "thread" if threads == 1 else "threads"
    title = f"{len(scenes):,} scenes of {dataset}, {threads} {noun}"
    screen = console.output()
    screen.print(_table(title, rows))
    if len(rows) == 1:
        console.print_next(
            screen,
            (
                "mgnet-fast bench networks -c FILE -c FILE",
                "compare networks that mgnet-fast train has made",
            ),
        )


def _table(title: str, rows: list[NetworkRow]) -> Table:
    table = console.new_table(
        title,
        caption="multiply-adds of one scene; median time of a whole batch; "
        "MB: the most that a pass of 32 scenes holds, without weights and scenes",
    )
    table.add_column("network", overflow="fold")
    for name in ("right, %", "95 % interval", "mult-adds", "batch 1", "batch 32", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        low, high = (100 * limit for limit in row.interval)
        table.add_row(
            row.name,
            f"{100 * row.correct / row.count:.2f}",
            f"{low:.1f} to {high:.1f}",
            f"{row.multiply_adds / 1e6:.2f} M",
            *(console.duration(each / 1e3) for each in row.milliseconds.values()),
            f"{row.peak_bytes / 1e6:.2f}",
        )
    return table
