"""``mgnet-fast eval``: accuracy of a checkpoint after each glimpse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import console
from .accuracy_table import accuracy_table
from .scene_options import Dataset, fixed_scenes

if TYPE_CHECKING:
    from ..models import MGNet


def evaluate(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="File of mgnet-fast train (.safetensors) or a Lightning checkpoint.",
            show_default="the shipped toy network",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with MNIST's t10k-*-ubyte files, plain or .gz.",
            show_default="the 500 shipped test digits",
        ),
    ] = None,
    dataset: Annotated[
        Dataset,
        typer.Option(metavar="NAME", help="Either translated-mnist or noisy-translated-mnist."),
    ] = Dataset.translated,
    noise_std: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0,
            help="Noise, in units of the pixel range.",
            show_default="the dataset's: 0, or 0.3 if noisy",
        ),
    ] = None,
    num_glimpses: Annotated[
        int | None,
        typer.Option(
            "--num-glimpses",
            "-T",
            metavar="N",
            min=1,
            help="Largest T.",
            show_default="the checkpoint's",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Scenes at a time.")] = 500,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads.", show_default="torch's choice")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
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
