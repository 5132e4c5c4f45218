"""``mgnet-fast imagenet100``: a subset of ImageNet's classes, made of links."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import console
from ..options.option import switch
from ..waiting import waiting_bar


def imagenet100(
    class_list: Annotated[
        Path,
        typer.Argument(
            metavar="CLASSLIST", help="Text file with the name of one class folder per line."
        ),
    ],
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="ImageNet: train/ and val/ with one folder per class."),
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder for the subset.")],
    hard_links: Annotated[bool, switch("Link files instead of folders.", "--hard-links")] = False,
) -> None:
    """Make a subset of ImageNet by links. Running it again adds missing links."""
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
    made = f"{report.made:,} links made" if report.made else "all links existed"
    screen.print(f"{target}: {report.classes} classes, {counts}; {made}", soft_wrap=True)
    console.print_next(
        screen, (f"mgnet-fast train --data {target}", "train by the published recipe")
    )
