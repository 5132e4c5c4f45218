"""``mgnet-fast demo --large``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from . import console
from .waiting import waiting_bar

if TYPE_CHECKING:
    from ..large_demo import WayOfReading
    from ..large_scene import LargeScene

_SHOWN = 320  # the picture has at least twice as many pixels across


def run_large_demo(screen: Console, out: Path, checkpoint: Path | None, megapixels: int) -> None:
    """Make the scene, look at it, decode it, and print what each took."""
    from ..data.reading.file_image import open_image
    from ..demo import load_scenes
    from ..large_demo import by_looking, decoding_first
    from ..large_scene import scene_of, write_scene
    from ..pictures import draw_overview

    scene = scene_of(megapixels)
    fields = scene.across * scene.down
    scenes = load_scenes(fields)
    labels = scenes.labels.tolist()
    with tempfile.TemporaryDirectory(prefix="mgnet-fast-") as folder:
        path = Path(folder) / "scene.tif"
        with waiting_bar(scene.tiles) as show:
            write_scene(path, scene, scenes, lambda done: show("tiles of the scene", done))
        screen.print(
            f"a scene of {scene.width:,} x {scene.height:,} pixels with {fields} digits: "
            f"a pyramidal TIFF of {path.stat().st_size / 1e6:.0f} MB"
        )
        with screen.status("looking"):
            looking = by_looking(path, scene, checkpoint)
        with screen.status("decoding it all"):
            whole = decoding_first(path, scene, checkpoint)
        small = open_image(path, 1).shrunk((1, 0, 0), (_SHOWN * 3 // 4, _SHOWN))[:, :, 0]
    screen.print()
    screen.print(_table(scene, [looking, whole], labels))
    factor = small.shape[1] / scene.width
    corners = [scene.corner(field) for field in range(fields)]
    right = sum(a == b for a, b in zip(looking.labels, labels, strict=True))
    picture = draw_overview(
        small,
        [(left * factor, top * factor, scene.side * factor) for left, top in corners],
        looking.regions,
        looking.labels,
        labels,
        out,
        f"{scene.megapixels:.0f} megapixels, {right} of {fields} digits right",
    )
    screen.print(f"{picture}: where it looked", soft_wrap=True)
    console.print_next(
        screen,
        ("mgnet-fast predict FILES --decode lazy", "your own photographs and slides"),
        ("mgnet-fast train --data DIR", "a network that is trained to look so"),
    )


def _table(scene: LargeScene, ways: list[WayOfReading], labels: list[int]) -> Table:
    table = console.new_table(
        f"{scene.megapixels:.0f} megapixels, one thread",
        caption="reading: seconds in reading and decoding, of those before\n"
        "memory: peak beyond the process with its libraries and network",
    )
    table.add_column("way", no_wrap=True)
    for name in ("right", "seconds", "reading", "MB read", "MB of memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for way in ways:
        right = sum(a == b for a, b in zip(way.labels, labels, strict=True))
        table.add_row(
            way.name,
            f"{right} of {len(labels)}",
            console.duration(way.seconds),
            console.duration(way.reading_seconds),
            f"{way.megabytes_read:.1f}",
            f"{way.peak_megabytes:.0f}",
        )
    return table
