"""``mgnet-fast eval``: accuracy of a network after each glimpse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import console
from ..accuracy_table import accuracy_table
from ..eval_folder import evaluate_folder, holds_images
from ..options import shared as options
from ..options.option import option
from ..options.reading import IgnoreExif
from ..options.scenes import fixed_scenes
from ..waiting import waiting_bar

if TYPE_CHECKING:
    from ...models import MGNet


def _of_folders(help_text: str, default: str | bool, **limits: Any) -> Any:
    return typer.Option(
        metavar="N",
        help=help_text,
        show_default=default,
        rich_help_panel="Folders of images",
        **limits,
    )


def evaluate(
    former: options.FormerCheckpoint = None,
    checkpoint: options.Checkpoint = None,
    data: options.TestDigitsOrImages = None,
    dataset: options.DatasetName = "translated-mnist",
    noise_std: options.NoiseStd = None,
    num_glimpses: Annotated[
        int | None, options.num_glimpses("Largest T.", default="the checkpoint's")
    ] = None,
    batch_size: Annotated[
        int | None, option("N", "Images per batch.", min=1, show_default="500, or 128")
    ] = None,
    image_size: Annotated[
        int | None,
        _of_folders("Side of the images in pixels.", "the checkpoint's; 224", min=1),
    ] = None,
    workers: Annotated[
        int | None, _of_folders("Number of processes that decode images.", "by processors", min=0)
    ] = None,
    max_unreadable: Annotated[
        int, _of_folders("How many unreadable images to skip at most.", True, min=0)
    ] = 10,
    ignore_exif: IgnoreExif = False,
    threads: options.Threads = None,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Measure accuracy after each glimpse, on fixed test scenes or a folder of images."""
    from ...evaluation import evaluate as run
    from ...models.files.checkpoints import load_checkpoint
    from ...threads import fixed_threads
    from ...training.distributed import Workers, device_for

    path = options.one_network(checkpoint, former)
    if data is not None and holds_images(data):
        left_out = evaluate_folder(
            path,
            data,
            image_size=image_size,
            num_glimpses=num_glimpses,
            batch_size=batch_size or 128,
            workers=workers,
            max_unreadable=max_unreadable,
            ignore_exif=ignore_exif,
            threads=threads,
            device=device,
            as_json=as_json,
        )
        if left_out:
            raise typer.Exit(1)
        return
    scenes = fixed_scenes(data, dataset, noise_std)
    place = device_for(device, Workers())
    model = load_checkpoint(path).to(place)
    with fixed_threads(threads), waiting_bar(len(scenes)) as show:
        accuracy = run(
            model,
            scenes,
            batch_size=batch_size or 500,
            num_glimpses=num_glimpses,
            progress=lambda done: show("scenes", done),
        )
    costs = _costs(model, scenes.scene_size, len(accuracy.correct))
    if as_json:
        found: dict[str, Any] = {
            "checkpoint": str(path),
            "dataset": dataset,
            "noise_std": scenes.noise_std,
            "digits": str(data) if data else "shipped",
            **accuracy.to_dict(),
            "multiply_adds": costs,
        }
        console.print_json(found)
        return
    screen = console.output()
    noise = f", noise {scenes.noise_std:g}" if scenes.noise_std else ""
    title = f"{path.name} on {accuracy.count:,} scenes of {dataset}{noise}"
    screen.print(accuracy_table(title, accuracy, costs))
    if data is None:
        console.print_next(
            screen,
            (
                "mgnet-fast eval --data DIR",
                "use all 10,000 test digits of MNIST, for a narrower interval",
            ),
        )
    else:
        console.print_next(
            screen,
            (
                f"mgnet-fast demo{_option(checkpoint or former)}",
                "see where it looks, and its speed",
            ),
        )


def _option(checkpoint: Path | None) -> str:
    return f" --checkpoint {checkpoint}" if checkpoint else ""


def _costs(model: MGNet, side: int, steps: int) -> list[int]:
    from ...models.multiply_adds import count_multiply_adds

    return [count_multiply_adds(model, side, "paper", num_glimpses=t + 1) for t in range(steps)]
