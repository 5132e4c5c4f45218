"""``mgnet-fast train``: train a network on digits or folders of images, also under torchrun."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import console, options
from .accuracy_table import accuracy_table
from .model_choice import check_model_name

RUNNING = "How to run"
FOLDERS = "Folders of images"
MAX_UNREADABLE = 10


class GlimpseLoss(StrEnum):
    """Which glimpses the glimpse head classifies."""

    reference = "reference"
    paper = "paper"


class RecipeName(StrEnum):
    """Recipes that ship."""

    default = "default"
    paper = "paper"
    imagenet100 = "imagenet100"
    tiny_imagenet = "tiny-imagenet"


class OptimizerName(StrEnum):
    """Optimisers of recipes."""

    sgd = "sgd"
    adamw = "adamw"


class DataKind(StrEnum):
    """What a network can be trained on."""

    translated = "translated-mnist"
    noisy = "noisy-translated-mnist"
    folder = "folder"


class AutoAugmentBy(StrEnum):
    """Libraries that have AutoAugment."""

    auto = "auto"
    torchvision = "torchvision"
    kornia = "kornia"
    none = "none"


DEFAULT_MODELS = {DataKind.folder: "mgnet_resnet18"}


def _change(help_text: str, *names: str, **options: Any) -> Any:
    """An option that replaces a number of the recipe."""
    return typer.Option(
        *names,
        help=help_text,
        metavar="N" if "min" in options else "X",
        show_default=False,
        rich_help_panel="Instead of the recipe's own",
        **options,
    )


def _of_folders(help_text: str, default: str | bool, **limits: Any) -> Any:
    """An option that only folders of images have."""
    return typer.Option(
        metavar="N" if "min" in limits else "NAME",
        help=help_text,
        show_default=default,
        rich_help_panel=FOLDERS,
        **limits,
    )


def train(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder with MNIST's four *-ubyte files, or with train/ and val/ that hold "
            "one folder of images a class.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the run: checkpoint, log, state to resume.",
            show_default="runs/DATASET, or runs/ and the last name in --data",
        ),
    ] = None,
    dataset: Annotated[
        DataKind | None,
        typer.Option(
            metavar="NAME",
            help="translated-mnist, noisy-translated-mnist or folder.",
            show_default="by what --data holds",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to train.",
            show_default="mgnet_toy; mgnet_resnet18 on folders",
        ),
    ] = None,
    recipe: Annotated[
        RecipeName,
        typer.Option(
            metavar="NAME",
            help="How: the faster way to learn (default) or the paper's; on folders "
            "imagenet100 or tiny-imagenet, by default the one that fits.",
        ),
    ] = RecipeName.default,
    num_glimpses: Annotated[
        int | None, options.num_glimpses("Glimpses an image.", default="the model's")
    ] = None,
    glimpse_loss: Annotated[
        GlimpseLoss,
        typer.Option(
            metavar="NAME",
            help="Classify glimpses 2..T alone as well (reference), or 1..T (paper).",
        ),
    ] = GlimpseLoss.reference,
    noise_std: options.NoiseStd = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of the first weights and the images.")
    ] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Start from this checkpoint's weights; other classes get new heads.",
            show_default="random weights",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")
    ] = False,
    epochs: Annotated[int | None, _change("Passes over the images.", min=1)] = None,
    batch_size: Annotated[int | None, _change("Images a step, over all processes.", min=1)] = None,
    peak_lr: Annotated[float | None, _change("Highest learning rate of the cycle.", "--lr")] = None,
    weight_decay: Annotated[float | None, _change("On every parameter.")] = None,
    alpha: Annotated[float | None, _change("Weight of the glimpse loss, 0 to 1.")] = None,
    gradient_scale: Annotated[
        float | None, _change("Factor on the gradient into the localization.")
    ] = None,
    gradient_scale_warmup: Annotated[
        float | None, _change("Share of the steps in which that factor rises from 0.")
    ] = None,
    adaptive_gradient_share: Annotated[
        float | None,
        _change("Let that factor follow: localization's gradient X times the classes'."),
    ] = None,
    gradient_clip: Annotated[float | None, _change("Largest norm of the gradient.")] = None,
    optimizer: Annotated[
        OptimizerName | None,
        typer.Option(
            metavar="NAME",
            help="sgd or adamw.",
            show_default=False,
            rich_help_panel="Instead of the recipe's own",
        ),
    ] = None,
    size_weight: Annotated[float | None, _change("Weight of the size regulariser.")] = None,
    label_smoothing: Annotated[float | None, _change("Of both classifications, 0 to 1.")] = None,
    average_decay: Annotated[
        float | None, _change("Of the average of weights that is kept; 0: the last weights.")
    ] = None,
    image_size: Annotated[
        int | None,
        _of_folders("Side of the images in pixels.", "224, or 64 for Tiny ImageNet", min=1),
    ] = None,
    glimpse_size: Annotated[
        int | None,
        _of_folders("Side of a glimpse in pixels.", "3/7 or 1/2 of the image's", min=1),
    ] = None,
    auto_augment: Annotated[
        AutoAugmentBy,
        _of_folders("AutoAugment by torchvision or kornia; auto takes what there is.", True),
    ] = AutoAugmentBy.auto,
    workers: Annotated[
        int | None,
        _of_folders("Processes that decode, each process of training.", "by processors", min=0),
    ] = None,
    max_unreadable: Annotated[
        int, _of_folders("Damaged images that may be left out.", True, min=0)
    ] = MAX_UNREADABLE,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check",
            help="Do not decode every image once before the run.",
            rich_help_panel=FOLDERS,
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Threads of each process.",
            show_default="torch's choice",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:N.", rich_help_panel=RUNNING)
    ] = "cpu",
    bf16: Annotated[
        bool, typer.Option("--bf16", help="bfloat16 autocast.", rich_help_panel=RUNNING)
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Use torch.compile.", rich_help_panel=RUNNING)
    ] = False,
    checkpoint_glimpses: Annotated[
        bool,
        typer.Option(
            "--checkpoint-glimpses",
            help="Less memory for more time: run each glimpse's backbone twice.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    sync_batch_norm: Annotated[
        bool,
        typer.Option(
            "--sync-batch-norm",
            help="Batch norm over all processes' images; GPUs only.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    no_tensorboard: Annotated[
        bool,
        typer.Option(
            "--no-tensorboard",
            help="No TensorBoard files, though it is installed.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar.", rich_help_panel=RUNNING)
    ] = False,
) -> None:
    """Train a network; an interrupted run goes on with --resume.

    Several processes: torchrun --nproc-per-node 2 -m mgnet_fast train ...
    """
    if model is not None:
        check_model_name(model, "--model")
    from ..data import told_dataset
    from ..training import ImageOptions, fitting_recipe, get_recipe, run
    from ..training.snapshot import FILE_NAME as STATE

    kind = dataset or DataKind(told_dataset(data))
    name = model or DEFAULT_MODELS.get(kind, "mgnet_toy")
    folder = out or Path("runs") / (data.resolve().name if kind is DataKind.folder else kind)
    recipe_name = fitting_recipe(recipe.value, kind.value, data)
    images = ImageOptions(
        preset=recipe_name if kind is DataKind.folder else None,
        image_size=image_size,
        glimpse_size=glimpse_size,
        auto_augment=auto_augment.value,
        workers=workers,
        max_unreadable=max_unreadable,
        check=not no_check,
    )
    changed = get_recipe(
        recipe_name,
        peak_lr=peak_lr,
        weight_decay=weight_decay,
        alpha=alpha,
        gradient_scale=gradient_scale,
        gradient_scale_warmup=gradient_scale_warmup,
        adaptive_gradient_share=adaptive_gradient_share,
        gradient_clip=gradient_clip,
        optimizer=None if optimizer is None else optimizer.value,
        size_weight=size_weight,
        label_smoothing=label_smoothing,
        average_decay=average_decay,
    )
    try:
        summary = run(
            data_dir=data,
            out=folder,
            dataset=kind.value,
            model=name,
            recipe=changed,
            epochs=epochs,
            batch_size=batch_size,
            num_glimpses=num_glimpses,
            glimpse_loss=glimpse_loss.value,
            noise_std=noise_std,
            seed=seed,
            threads=threads,
            device=device,
            precision="bf16" if bf16 else "fp32",
            compiled=compiled,
            checkpoint_glimpses=checkpoint_glimpses,
            sync_batch_norm=sync_batch_norm,
            # The default says nothing, so that a run on digits refuses what it would not use.
            images=None if images == ImageOptions() else images,
            weights=weights,
            resume=resume,
            progress=not quiet,
            tensorboard=not no_tensorboard,
        )
    except KeyboardInterrupt:
        if (folder / STATE).is_file():
            console.print_error(
                f"interrupted; its whole epochs are kept in {folder}",
                hint="go on with the same command and --resume",
            )
        else:
            console.print_error("interrupted before an epoch was whole: there is nothing to resume")
        raise typer.Exit(1) from None
    if os.environ.get("RANK", "0") != "0":
        return
    screen = console.output()
    minutes, seconds = divmod(round(summary.seconds), 60)
    epochs_text = f"{summary.epochs} epoch{'s' if summary.epochs > 1 else ''}"
    title = f"{name} after {epochs_text}, {minutes} min {seconds} s"
    screen.print(accuracy_table(title, summary.accuracy))
    screen.print(f"checkpoint  {summary.checkpoint}\nlog         {summary.log}", soft_wrap=True)
    console.print_next(screen, _after_training(kind, name, summary.checkpoint, data))


def _after_training(kind: DataKind, model: str, checkpoint: Path, data: Path) -> tuple[str, str]:
    if kind is not DataKind.folder and model == "mgnet_toy":
        return f"mgnet-fast demo --checkpoint {checkpoint}", "see where it looks"
    return f"mgnet-fast eval {checkpoint} --data {data}", "its accuracy and multiply-adds"
