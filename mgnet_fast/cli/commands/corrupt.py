"""``mgnet-fast corrupt``: accuracy on images with common corruptions."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import console
from ..eval_folder import folder_images, holds_images
from ..model_choice import network_title
from ..options import shared as options
from ..options.option import option
from ..options.scenes import fixed_scenes
from ..waiting import waiting_bar

if TYPE_CHECKING:
    from rich.table import Table

    from ...data.labelled_images import LabelledImages
    from ...evaluation.corruption import CorruptionAccuracy, Part
    from ...models import MGNet


def corrupt(
    former: options.FormerCheckpoints = None,
    checkpoints: options.Checkpoints = None,
    data: Annotated[
        Path | None,
        option(
            "DIR",
            "Images to corrupt: a folder with one folder per class, or MNIST's files.",
            show_default="the 500 shipped test digits",
        ),
    ] = None,
    prepared: Annotated[
        Path | None,
        option(
            "DIR", "Images already corrupted, in ImageNet-C's layout: CORRUPTION/SEVERITY/CLASS/*."
        ),
    ] = None,
    corruption: Annotated[
        list[str] | None, option("NAME", "Repeat the option for several.", show_default="all")
    ] = None,
    severity: Annotated[
        list[int] | None,
        option("N", "1 to 5. Repeat the option for several.", show_default="all five"),
    ] = None,
    images: options.MostImages = None,
    rows: Annotated[
        Path | None, option("DIR", "Save finished parts here. The same command then resumes.")
    ] = None,
    table_file: Annotated[
        Path | None, option("FILE", "Write all numbers to a CSV file.", "--csv")
    ] = None,
    image_size: Annotated[
        int | None,
        option(
            "N",
            "Side of the images in pixels, for folders.",
            min=32,
            show_default="the checkpoint's",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        option("N", "Number of processes that decode images.", min=0, show_default="by device"),
    ] = None,
    batch_size: Annotated[int, option("N", "Images per batch.", min=1)] = 100,
    threads: options.Threads = None,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Show accuracy on images with 15 common corruptions at 5 severities.

    This is the paper's Table 2, for any network and any images.
    """
    from ...evaluation.corruption import evaluate_corruptions
    from ...models.files.checkpoints import load_checkpoint
    from ...threads import fixed_threads
    from ...training.distributed import Workers, device_for

    if data is not None and prepared is not None:
        raise typer.BadParameter("give either --data or --prepared, not both")
    place = device_for(device, Workers())
    paths = options.networks(checkpoints, former)
    networks = [(path, load_checkpoint(path).to(place)) for path in paths]
    # All sets of all networks are looked at before the first one runs.
    sets = []
    for path, model in networks:
        if prepared is None:
            clean = _clean(model, path, data, images, image_size, workers)
            sets.append(_made(clean, corruption, severity))
        else:
            if images is not None:
                raise typer.BadParameter("--images cannot be used with --prepared")
            found = _prepared(model, path, prepared, corruption, severity, image_size, workers)
            sets.append(found)
    if rows is not None:
        rows.mkdir(parents=True, exist_ok=True)
    results: list[tuple[Path, MGNet, CorruptionAccuracy]] = []
    total = sum(len(each) for network in sets for each in network.values())
    with fixed_threads(threads), waiting_bar(total) as show:
        before = 0
        for number, ((path, model), mine) in enumerate(zip(networks, sets, strict=True), start=1):

            def on_image(
                part: Part, done: int, name: str = path.stem, before: int = before
            ) -> None:
                show(f"{name}, {part[0]} {part[1]}", before + done)

            result = evaluate_corruptions(
                model,
                mine,
                batch_size=batch_size,
                rows=rows / f"{number}-{path.stem}-corrupt.jsonl" if rows else None,
                described={"images": str(prepared or data or "shipped"), "image_size": image_size},
                on_image=on_image,
            )
            before += sum(map(len, mine.values()))
            results.append((path, model, result))
    if table_file is not None:
        _write(results, table_file)
    if as_json:
        console.print_json([{"checkpoint": str(p), "rows": r.rows()} for p, _, r in results])
        return
    screen = console.output()
    screen.print(_table(results))
    if table_file is not None:
        screen.print(f"written: {table_file}", soft_wrap=True)
    else:
        console.print_next(
            screen, ("mgnet-fast corrupt --csv FILE.csv", "every severity, with intervals")
        )


def _clean(
    model: MGNet,
    checkpoint: Path,
    data: Path | None,
    most: int | None,
    image_size: int | None,
    workers: int | None,
) -> LabelledImages:
    from ...data.first_images import FirstImages

    images: LabelledImages
    if data is not None and holds_images(data):
        images = folder_images(model, checkpoint, data, image_size, workers)
    else:
        images = fixed_scenes(data, "translated-mnist", None)
    if most is None:
        return images
    if most > len(images):
        raise typer.BadParameter(
            f"there are {len(images)} images, got {most}", param_hint="--images"
        )
    return FirstImages(images, most)


def _made(
    images: LabelledImages, names: list[str] | None, severities: list[int] | None
) -> Mapping[Part, LabelledImages]:
    from ...data.corruptions import CORRUPTIONS, SEVERITIES, check_corruption
    from ...evaluation.corruption import corrupted_sets

    names, severities = names or list(CORRUPTIONS), severities or list(SEVERITIES)
    try:
        for name in names:
            for severity in severities:
                check_corruption(name, severity)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return corrupted_sets(images, names, severities)


def _prepared(
    model: MGNet,
    checkpoint: Path,
    root: Path,
    names: list[str] | None,
    severities: list[int] | None,
    image_size: int | None,
    workers: int | None,
) -> Mapping[Part, LabelledImages]:
    if not root.is_dir():
        raise ValueError(f"--prepared must be a folder, got {root}: not there")
    names = names or sorted(each.name for each in _folders(root))
    sets: dict[Part, LabelledImages] = {}
    for name in names:
        levels = severities or sorted(
            int(each.name) for each in _folders(root / name) if each.name.isdecimal()
        )
        if not levels:
            raise ValueError(f"{root / name} must have folders 1 to 5 of severities, got none")
        for severity in levels:
            sets[name, severity] = folder_images(
                model,
                checkpoint,
                root / name / str(severity),
                image_size,
                workers,
                is_cropped=True,
            )
    if not sets:
        raise ValueError(f"{root} must have a folder for each corruption, got none")
    return sets


def _folders(place: Path) -> list[Path]:
    if not place.is_dir():
        raise ValueError(f"{place} must be the folder of a corruption, got none there")
    return [each for each in place.iterdir() if each.is_dir() and not each.name.startswith(".")]


def _table(results: list[tuple[Path, MGNet, CorruptionAccuracy]]) -> Table:
    """One row per corruption, one column per network and number of glimpses."""
    first = results[0][2]
    count = next(iter(first.counts.values()))
    levels = sorted({severity for _, severity in first.correct})
    table = console.new_table(
        f"accuracy on {count:,} corrupted images",
        caption=f"percent, mean over severities {', '.join(map(str, levels))}",
    )
    table.add_column("corruption")
    for path, _, result in results:
        several = f"{network_title(path)}, " if len(results) > 1 else ""
        for step in range(result.num_glimpses):
            table.add_column(f"{several}T = {step + 1}", justify="right", min_width=6)
    for name in first.corruptions:
        shares = [
            result.accuracy(name, step) for _, _, result in results for step in _steps(result)
        ]
        table.add_row(name.replace("_", " "), *(f"{100 * share:.1f}" for share in shares))
    table.add_section()
    averages = [result.average(step) for _, _, result in results for step in _steps(result)]
    table.add_row("average", *(f"{100 * share:.2f}" for share in averages))
    return table


def _steps(result: CorruptionAccuracy) -> range:
    return range(result.num_glimpses)


def _write(results: list[tuple[Path, Any, CorruptionAccuracy]], path: Path) -> None:
    rows = [
        {"network": network_title(file), **row}
        for file, _, result in results
        for row in result.rows()
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
