"""``mgnet-fast eval``: accuracy of a checkpoint after each glimpse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import console, options
from .accuracy_table import accuracy_table
from .scene_options import Dataset, fixed_scenes

if TYPE_CHECKING:
    from ..models import MGNet


def evaluate(
    checkpoint: options.Checkpoint = None,
    data: options.TestDigits = None,
    dataset: options.DatasetName = Dataset.translated,
    noise_std: options.NoiseStd = None,
    num_glimpses: Annotated[
        int | None, options.num_glimpses("Largest T.", default="the checkpoint's")
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Scenes at a time.")] = 500,
    threads: options.Threads = None,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Measure accuracy after each glimpse, on fixed test scenes."""
    from ..assets import toy_checkpoint_path
    from ..evaluation import evaluate as run
    from ..models.checkpoints import load_checkpoint
    from ..threads import fixed_threads
    from ..training.distributed import Workers, device_for

    path = checkpoint or toy_checkpoint_path()
    scenes = fixed_scenes(data, dataset, noise_std)
    place = device_for(device, Workers())
    model = load_checkpoint(path).to(place)
    with fixed_threads(threads):
        accuracy = run(model, scenes, batch_size=batch_size, num_glimpses=num_glimpses)
    costs = _costs(model, scenes.scene_size, len(accuracy.correct))
    if as_json:
        found: dict[str, Any] = {
            "checkpoint": str(path),
            "dataset": dataset.value,
            "noise_std": scenes.noise_std,
            "digits": str(data) if data else "shipped",
            **accuracy.to_dict(),
            "multiply_adds": costs,
        }
        console.print_json(found)
        return
    screen = console.output()
    noise = f", noise {scenes.noise_std:g}" if scenes.noise_std else ""
    title = f"{path.name} on {accuracy.count:,} scenes of {dataset.value}{noise}"
    screen.print(accuracy_table(title, accuracy, costs))
    if data is None:
        console.print_next(
            screen,
            ("mgnet-fast eval --data DIR", "the 10,000 test digits of MNIST, a narrower interval"),
        )
    else:
        console.print_next(
            screen,
            (f"mgnet-fast demo{_option(checkpoint)}", "a picture of where it looks, and its speed"),
        )


def _option(checkpoint: Path | None) -> str:
    return f" --checkpoint {checkpoint}" if checkpoint else ""


def _costs(model: MGNet, side: int, steps: int) -> list[int]:
    from ..models.multiply_adds import count_multiply_adds

    return [count_multiply_adds(model, side, "paper", num_glimpses=t + 1) for t in range(steps)]
