"""The options of ``mgnet-fast train``, each said once; `train` lists them in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from . import shared as options
from .option import option, switch

MAX_UNREADABLE = 10
_INSTEAD = "Instead of the recipe's own"
_FOLDERS = "Folders of images"
_RUNNING = "How to run"


GlimpseLoss = Literal["reference", "paper"]
"""Which glimpses the glimpse head classifies."""

RecipeName = Literal["default", "paper", "imagenet100", "tiny-imagenet"]
"""Recipes that ship."""

OptimizerName = Literal["sgd", "adamw"]
"""Optimisers of recipes."""

DataKind = Literal["translated-mnist", "noisy-translated-mnist", "folder"]
"""What a network can be trained on."""

AutoAugmentBy = Literal["auto", "torchvision", "kornia", "none"]
"""Libraries that have AutoAugment."""


def _change(help_text: str, *names: str, **options: Any) -> Any:
    """An option that replaces a number of the recipe."""
    return typer.Option(
        *names,
        help=help_text,
        metavar="N" if "min" in options else "X",
        show_default=False,
        rich_help_panel=_INSTEAD,
        **options,
    )


def _of_folders(help_text: str, default: str | bool, **limits: Any) -> Any:
    """An option that only folders of images have."""
    return typer.Option(
        metavar="N" if "min" in limits else "NAME",
        help=help_text,
        show_default=default,
        rich_help_panel=_FOLDERS,
        **limits,
    )


Data = Annotated[
    Path,
    option(
        "DIR",
        "Folder with MNIST's four *-ubyte files, or with train/ and val/ that hold "
        "one folder of images a class.",
    ),
]
Out = Annotated[
    Path | None,
    option(
        "DIR",
        "Folder of the run: checkpoint, log, state to resume.",
        show_default="runs/DATASET, or runs/ and the last name in --data",
    ),
]
Kind = Annotated[
    DataKind | None,
    option(
        "NAME",
        "translated-mnist, noisy-translated-mnist or folder.",
        show_default="by what --data holds",
    ),
]
Model = Annotated[
    str | None,
    option("NAME", "What to train.", show_default="mgnet_toy; mgnet_resnet18 on folders"),
]
RecipeChoice = Annotated[
    RecipeName,
    option(
        "NAME",
        "How: the faster way to learn (default) or the paper's; on folders "
        "imagenet100 or tiny-imagenet, by default the one that fits.",
    ),
]
NumGlimpses = Annotated[
    int | None, options.num_glimpses("Glimpses an image.", default="the model's")
]
GlimpseLossChoice = Annotated[
    GlimpseLoss,
    option("NAME", "Classify glimpses 2..T alone as well (reference), or 1..T (paper)."),
]
Seed = Annotated[int, option("N", "Of the first weights and the images.", min=0)]
Weights = Annotated[
    Path | None,
    option(
        "FILE",
        "Start from this checkpoint's weights; other classes get new heads.",
        show_default="random weights",
    ),
]
Resume = Annotated[bool, switch("Go on with the interrupted run in --out.", "--resume")]
Epochs = Annotated[int | None, _change("Passes over the images.", min=1)]
BatchSize = Annotated[int | None, _change("Images a step, over all processes.", min=1)]
PeakLr = Annotated[float | None, _change("Highest learning rate of the cycle.", "--lr")]
WeightDecay = Annotated[float | None, _change("On every parameter.")]
Alpha = Annotated[float | None, _change("Weight of the glimpse loss, 0 to 1.")]
GradientScale = Annotated[float | None, _change("Factor on the gradient into the localization.")]
GradientScaleWarmup = Annotated[
    float | None, _change("Share of the steps in which that factor rises from 0.")
]
AdaptiveGradientShare = Annotated[
    float | None,
    _change("Let that factor follow: localization's gradient X times the classes'."),
]
GradientClip = Annotated[float | None, _change("Largest norm of the gradient.")]
Optimizer = Annotated[
    OptimizerName | None,
    option("NAME", "sgd or adamw.", show_default=False, rich_help_panel=_INSTEAD),
]
SizeWeight = Annotated[float | None, _change("Weight of the size regulariser.")]
LabelSmoothing = Annotated[float | None, _change("Of both classifications, 0 to 1.")]
AverageDecay = Annotated[
    float | None, _change("Of the average of weights that is kept; 0: the last weights.")
]
ImageSize = Annotated[
    int | None,
    _of_folders("Side of the images in pixels.", "224, or 64 for Tiny ImageNet", min=1),
]
GlimpseSize = Annotated[
    int | None,
    _of_folders("Side of a glimpse in pixels.", "3/7 or 1/2 of the image's", min=1),
]
AutoAugment = Annotated[
    AutoAugmentBy,
    _of_folders("AutoAugment by torchvision or kornia; auto takes what there is.", True),
]
Workers = Annotated[
    int | None,
    _of_folders("Processes that decode, each process of training.", "by processors", min=0),
]
MaxUnreadable = Annotated[int, _of_folders("Damaged images that may be left out.", True, min=0)]
NoCheck = Annotated[
    bool,
    switch(
        "Do not decode every image once before the run.", "--no-check", rich_help_panel=_FOLDERS
    ),
]
Threads = Annotated[
    int | None,
    option(
        "N",
        "Threads of each process.",
        min=1,
        show_default="torch's choice",
        rich_help_panel=_RUNNING,
    ),
]
Device = Annotated[str, option("NAME", "cpu, cuda or cuda:N.", rich_help_panel=_RUNNING)]
Bf16 = Annotated[bool, switch("bfloat16 autocast.", "--bf16", rich_help_panel=_RUNNING)]
Compiled = Annotated[bool, switch("Use torch.compile.", "--compile", rich_help_panel=_RUNNING)]
CheckpointGlimpses = Annotated[
    bool,
    switch(
        "Less memory for more time: run each glimpse's backbone twice.",
        "--checkpoint-glimpses",
        rich_help_panel=_RUNNING,
    ),
]
SyncBatchNorm = Annotated[
    bool,
    switch(
        "Batch norm over all processes' images; GPUs only.",
        "--sync-batch-norm",
        rich_help_panel=_RUNNING,
    ),
]
NoTensorboard = Annotated[
    bool,
    switch(
        "No TensorBoard files, though it is installed.",
        "--no-tensorboard",
        rich_help_panel=_RUNNING,
    ),
]
Quiet = Annotated[bool, switch("No progress bar.", "--quiet", "-q", rich_help_panel=_RUNNING)]
