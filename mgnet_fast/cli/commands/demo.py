"""``mgnet-fast demo``: accuracy, speed and a picture in under a minute, offline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import console
from ..accuracy_table import accuracy_table
from ..options import shared as options
from ..options.option import option, switch

if TYPE_CHECKING:
    from ...demo import Comparison, Picture


def demo(
    out: Annotated[Path, option("FILE", "File for the picture (.png, .pdf or .svg).")] = Path(
        "glimpses.png"
    ),
    threads: Annotated[int, option("N", "Threads for both sides of the comparison.", min=1)] = 1,
    images: Annotated[
        int, option("N", "Number of shipped digits to classify.", min=1, max=500)
    ] = 500,
    checkpoint: options.Checkpoint = None,
    budget: Annotated[float, option("N", "Seconds to measure speed; 0 skips it.", min=0)] = 12.0,
    large: Annotated[
        bool,
        switch("Find the digits of a scene of hundreds of megapixels instead.", "--large"),
    ] = False,
    megapixels: Annotated[int, option("N", "With --large: size of the scene.", min=1)] = 300,
) -> None:
    """Show accuracy, a picture of the glimpses, and the speed-up on this machine."""
    if out.suffix not in (".png", ".pdf", ".svg"):
        raise typer.BadParameter(
            f"must end in .png, .pdf or .svg, got {str(out)!r}", param_hint="--out"
        )
    screen = console.output()
    if large:
        from ..large_demo import run_large_demo

        run_large_demo(screen, out, checkpoint, megapixels)
        return
    with screen.status("loading"):
        from ... import demo as show
        from ...evaluation import evaluate
        from ...models.multiply_adds import count_multiply_adds
        from ...threads import fixed_threads

        model = show.load_model(checkpoint)
        scenes = show.load_scenes(images)
    side = scenes.scene_size
    with fixed_threads(threads):
        accuracy = evaluate(model, scenes)
        steps = range(1, len(accuracy.correct) + 1)
        costs = [count_multiply_adds(model, side, num_glimpses=t) for t in steps]
        what = "real MNIST test digits, each somewhere" if images > 1 else "real MNIST test digit"
        screen.print(
            accuracy_table(f"{images} {what} in a scene of {side}x{side}", accuracy, costs)
        )
        picture = show.draw_examples(model, scenes, out)
        print_picture(screen, picture)
        rows = []
        if budget:
            with screen.status("measuring") as status:
                for row in show.compare_speed(model, scenes, budget):
                    rows.append(row)
                    status.update(f"measuring: {row.case} done")
            screen.print()
            screen.print(speed_table(rows, threads, *machine()))
    disagreeing = [row.case for row in rows if not row.agrees]
    if disagreeing:
        raise ValueError(
            "results must agree with the published algorithm before speed is measured; "
            f"they do not in: {'; '.join(disagreeing)}"
        )
    console.print_next(
        screen,
        ("mgnet-fast train --data DIR", "train it yourself on MNIST's IDX files"),
        ("mgnet-fast flops", "the multiply-adds that glimpses save"),
        ("mgnet-fast env", "the backends that run on this machine"),
    )


def print_picture(screen: Console, picture: Picture) -> None:
    """Print where the picture is and what it shows."""
    kinds = (
        (picture.right_throughout, "right from the first glimpse"),
        (picture.corrected, "corrected by a later glimpse"),
        (picture.wrong, "wrong at the end"),
    )
    shown = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    screen.print(Text.assemble((str(picture.path), "bold"), f": {shown}"), soft_wrap=True)


def machine() -> tuple[str, str]:
    from ...env import collect
    from ...ops.backends.choice import choose

    return collect()["processor"], choose("cpu", None)


def speed_table(rows: list[Comparison], threads: int, processor: str, backend: str) -> Table:
    """Speed of the package against the published algorithm, one row per case."""
    table = console.new_table(
        f"speed on {processor}, {threads} thread{'s' if threads > 1 else ''}, {backend} backend",
        caption="published: the published algorithm in plain eager PyTorch, same weights\n"
        "speed-up: median of interleaved pairs, and the middle 60 % of them\n"
        "differ: largest difference of the results, checked before timing",
    )
    table.add_column("case", no_wrap=True)
    for name in ("published", "mgnet_fast", "speed-up", "middle 60 %", "differ"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if row.agrees and not math.isnan(row.ratio):
            table.add_row(
                row.case,
                console.duration(row.published_seconds),
                console.duration(row.package_seconds),
                f"{row.ratio:.1f}x",
                f"{row.ratio_low:.1f} to {row.ratio_high:.1f}",
                f"{row.difference:.0e}" if row.difference else "0",
            )
        else:
            table.add_row(row.case, "-", "-", "-", "", Text(f"{row.difference:.0e}", style="red"))
    return table
