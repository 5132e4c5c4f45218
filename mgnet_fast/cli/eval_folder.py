"""Folders of images for the commands, and ``mgnet-fast eval`` on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import console
from .accuracy_table import accuracy_table
from .options.scenes import Dataset, fixed_scenes
from .waiting import waiting_bar

if TYPE_CHECKING:
    from ..data import FolderImages, ImageTree, LabelledImages
    from ..models import MGNet
    from ..models.files.trained_on import TrainedOn

_SHOWN = 5


def holds_images(data: Path | None) -> bool:
    """Whether a folder holds images rather than MNIST's files."""
    if data is None or not data.is_dir():
        return False
    return not any("ubyte" in path.name for path in data.iterdir())


@dataclass(frozen=True)
class ChosenImages:
    """The first ``count`` of ``images``, and what they are."""

    images: LabelledImages
    count: int
    title: str


def chosen_images(
    model: MGNet,
    checkpoint: Path,
    data: Path | None,
    dataset: Dataset,
    noise_std: float | None,
    most: int | None,
) -> ChosenImages:
    """The images of a folder, or the fixed scenes, as a command was asked for them.

    Raises:
        typer.BadParameter: there are fewer than ``most``.
    """
    if data is not None and holds_images(data):
        images: LabelledImages = folder_images(model, checkpoint, data, None, 0)
        what, name = "images", str(data)
    else:
        images, what, name = fixed_scenes(data, dataset, noise_std), "scenes", dataset
    count = most or len(images)
    if count > len(images):
        raise typer.BadParameter(
            f"there are {len(images)} {what}, got {count}", param_hint="--images"
        )
    return ChosenImages(images, count, f"{count:,} {what} of {name}")


def evaluate_folder(
    checkpoint: Path,
    data: Path,
    *,
    image_size: int | None,
    num_glimpses: int | None,
    batch_size: int,
    workers: int | None,
    max_unreadable: int,
    ignore_exif: bool,
    threads: int | None,
    device: str,
    as_json: bool,
) -> int:
    """Print accuracy after each glimpse; return the number of unreadable images."""
    from ..evaluation import evaluate
    from ..models.files.checkpoints import load_checkpoint
    from ..models.multiply_adds import count_multiply_adds
    from ..threads import fixed_threads
    from ..training.distributed import Workers, device_for

    place = device_for(device, Workers())
    model = load_checkpoint(checkpoint).to(place)
    images = folder_images(
        model, checkpoint, data, image_size, workers, max_unreadable, ignore_exif=ignore_exif
    )
    with fixed_threads(threads), waiting_bar(len(images)) as show:
        accuracy = evaluate(
            model,
            images,
            batch_size=batch_size,
            num_glimpses=num_glimpses,
            progress=lambda done: show("images", done),
        )
    side = images.transform.image_size
    costs = [
        count_multiply_adds(model, side, "paper", num_glimpses=steps + 1)
        for steps in range(len(accuracy.correct))
    ]
    for name, reason in images.unreadable.items():
        console.print_warning(f"skipped: {images.tree.root / name}: {reason}")
    if as_json:
        found: dict[str, Any] = {
            "checkpoint": str(checkpoint),
            "dataset": "folder",
            "images": str(images.tree.root),
            "classes": images.num_classes,
            "image_size": side,
            **accuracy.to_dict(),
            "multiply_adds": costs,
            "unreadable": images.unreadable,
        }
        console.print_json(found)
        return len(images.unreadable)
    screen = console.output()
    title = f"{checkpoint.name} on {accuracy.count:,} images of {images.num_classes} classes"
    screen.print(accuracy_table(title, accuracy, costs))
    example = f"mgnet-fast predict {images.tree.root} --checkpoint {checkpoint}"
    console.print_next(screen, (example, "the prediction for each image"))
    return len(images.unreadable)


def folder_images(
    model: MGNet,
    checkpoint: Path,
    data: Path,
    image_size: int | None,
    workers: int | None,
    max_unreadable: int = 0,
    *,
    is_cropped: bool = False,
    ignore_exif: bool = False,
) -> FolderImages:
    """The images of a folder, prepared as in the validation of this checkpoint.

    Raises:
        ValueError: they cannot be, or the classes differ from the checkpoint's.
    """
    from ..data import FolderImages, ImageTransform, read_image_tree
    from ..models.files.trained_on import read_trained_on
    from ..training.run.folder_data import default_workers
    from ..training.run.image_presets import PRESETS, default_preset

    trained = read_trained_on(checkpoint)
    tree = read_image_tree(data, "val")
    preset = PRESETS[default_preset(data)]
    size, border = preset.image_size, preset.border
    if trained is not None:
        _check_classes(checkpoint, tree, trained)
        size, border = trained.image_size, trained.resize / trained.image_size
    size = image_size or size
    if is_cropped:
        border = 1.0
    device = next(model.parameters()).device
    return FolderImages(
        tree,
        ImageTransform(size, round(size * border)),
        channels=model.config.in_chans,
        workers=default_workers(device) if workers is None else workers,
        max_unreadable=max_unreadable,
        pin_memory=device.type == "cuda",
        ignore_exif=ignore_exif,
    )


def _check_classes(checkpoint: Path, tree: ImageTree, trained: TrainedOn) -> None:
    if tree.classes == trained.classes:
        return
    differences = []
    for what, some, others in (
        ("only in the checkpoint", trained.classes, tree.classes),
        ("only in the folder", tree.classes, trained.classes),
    ):
        names = [name for name in some if name not in set(others)]
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            differences.append(f"{what}: {', '.join(names[:_SHOWN])}{more}")
    raise ValueError(
        f"checkpoint {checkpoint} must be trained for the {len(tree.classes)} classes of "
        f"{tree.root}, got one for {len(trained.classes)} ("
        f"{'; '.join(differences) or 'the same in another order'})"
    )
