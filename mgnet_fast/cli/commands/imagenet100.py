"""``mgnet-fast imagenet100``: some classes of ImageNet as a tree of links."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import console
from ..options.option import switch
from ..waiting import waiting_bar


def imagenet100(
    class_list: Annotated[
        Path, typer.Argument(metavar="CLASSLIST", help="Text file with a class folder a line.")
    ],
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="ImageNet: train/ and val/, a folder a class.")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="Where the subset goes.")],
    hard_links: Annotated[
        bool, switch("Link every file, where folders cannot be linked.", "--hard-links")
    ] = False,
) -> None:
    """Make a subset of ImageNet by links; running it again makes what is missing."""
    from ...data.folders.class_subset import SPLITS, link_classes, read_class_list

    classes = read_class_list(class_list)
    with waiting_bar(len(SPLITS) * len(classes)) as show:
        before = {split: place * len(classes) for place, split in enumerate(SPLITS)}
        report = link_classes(
            classes,
            source,
            target,
            hard=hard_links,
            progress=lambda split, number: show(split, before[split] + number),
        )
    screen = console.output()
    counts = ", ".join(f"{count:,} images in {split}" for split, count in report.images.items())
    made = f"{report.made:,} links made" if report.made else "all links were there"
    screen.print(f"{target}: {report.classes} classes, {counts}; {made}", soft_wrap=True)
    console.print_next(screen, (f"mgnet-fast train --data {target}", "the published recipe"))
