"""The options of ``mgnet-fast train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from . import shared as options
from .option import option, switch

MAX_UNREADABLE = 10
_INSTEAD = "Override the recipe"
_FOLDERS = "Folders of images"
_RUNNING = "How to run"


GlimpseLoss = Literal["reference", "paper"]
"""The glimpses that the glimpse head classifies."""

RecipeName = Literal["default", "paper", "imagenet100", "tiny-imagenet", "fine-tune"]
"""The shipped recipes."""

OptimizerName = Literal["sgd", "adamw"]
"""The optimisers."""

DataKind = Literal[
    "translated-mnist",
    "noisy-translated-mnist",
    "translated-mnist-32",
    "cluttered-mnist-32",
    "padded-mnist-32",
    "cluttered-mnist-448",
    "folder",
]
"""The kinds of training data."""

AutoAugmentBy = Literal["auto", "torchvision", "kornia", "none"]
"""The libraries that implement AutoAugment."""


def _change(help_text: str, *names: str, **options: Any) -> Any:
    """An option that overrides a number of the recipe."""
    return typer.Option(
        *names,
        help=help_text,
        metavar="N" if "min" in options else "X",
        show_default=False,
        rich_help_panel=_INSTEAD,
        **options,
    )


def _of_folders(help_text: str, default: str | bool, **limits: Any) -> Any:
    """An option for folders of images only."""
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
        "Folder with MNIST's four *-ubyte files, or with train/ and val/, each with one "
        "folder of images per class.",
    ),
]
Out = Annotated[
    Path | None,
    option(
        "DIR",
        "Folder of the run: checkpoint, log, and the state to resume from.",
        show_default="runs/DATASET, or runs/NAME with the name of the --data folder",
    ),
]
Kind = Annotated[
    DataKind | None,
    option(
        "NAME",
        "[noisy-]translated-mnist, {translated,cluttered,padded}-mnist-32, cluttered-mnist-448 "
        "or folder.",
        show_default="by the contents of --data; cluttered-mnist-448 for tnet_toy",
    ),
]
Model = Annotated[
    str | None,
    option("NAME", "The network to train.", show_default="mgnet_toy; mgnet_resnet18 on folders"),
]
Backbone = Annotated[
    str | None,
    option(
        "NAME",
        "Train an MGNet with this backbone: resnet50, timm:NAME, torchvision:NAME. Short for "
        "--model mgnet_NAME.",
        show_default="the model's",
    ),
]
Mean = Annotated[
    str | None,
    option(
        "X,X,X",
        "Mean of the pixels, in units of [0, 1], one number per channel.",
        show_default="the model's",
    ),
]
Std = Annotated[
    str | None,
    option("X,X,X", "Standard deviation of the pixels, likewise.", show_default="the model's"),
]
Fields = Annotated[
    list[str] | None,
    option(
        "FIELD=VALUE",
        "A number of the network's config, such as levels=2. Repeat it for more.",
        "--set",
        show_default="the model's",
    ),
]
RecipeChoice = Annotated[
    RecipeName,
    option(
        "NAME",
        "default (learns faster) or paper; for folders imagenet100 or tiny-imagenet, by "
        "default the one that fits, or fine-tune (small sets, pretrained backbones).",
    ),
]
NumGlimpses = Annotated[
    int | None, options.num_glimpses("Glimpses per image.", default="the model's")
]
GlimpseLossChoice = Annotated[
    GlimpseLoss,
    option("NAME", "Glimpses classified alone as well: 2..T (reference) or 1..T (paper)."),
]
Antialias = Annotated[
    bool | None,
    switch(
        "Glimpses average the pixels between their samples.",
        "--antialias/--no-antialias",
        show_default="the model's; on for MGNets by default and fine-tune",
    ),
]
Seed = Annotated[int, option("N", "Seed of the initial weights and of the images.", min=0)]
Weights = Annotated[
    Path | None,
    option(
        "FILE",
        "Start from the weights of this checkpoint; new heads if the classes differ; of a network "
        "of another family only the backbone. Or mgnet_toy, the shipped one.",
        show_default="random weights",
    ),
]
BackboneWeights = Annotated[
    Path | None,
    option(
        "FILE",
        "Start from the backbone of a torchvision or timm classifier: a state dict, .pth or "
        ".safetensors. Needs --mean and --std.",
        show_default="random weights",
    ),
]
Resume = Annotated[bool, switch("Resume the interrupted run in --out.", "--resume")]
Epochs = Annotated[int | None, _change("Number of epochs.", min=1)]
BatchSize = Annotated[int | None, _change("Images per step, over all processes.", min=1)]
PeakLr = Annotated[float | None, _change("Highest learning rate of the cycle.", "--lr")]
WeightDecay = Annotated[float | None, _change("Weight decay of every parameter.")]
Alpha = Annotated[float | None, _change("Weight of the glimpse loss, 0 to 1.")]
GradientScale = Annotated[float | None, _change("Factor of the gradient into the localization.")]
GradientScaleWarmup = Annotated[
    float | None, _change("Share of the steps over which that factor rises from 0.")
]
AdaptiveGradientShare = Annotated[
    float | None,
    _change("Adapt that factor: the localization's gradient is X times the classification's."),
]
GradientClip = Annotated[float | None, _change("Clip the gradient's norm to this.")]
LayerDecay = Annotated[
    float | None,
    _change("Factor on the learning rate from each layer of the backbone to the one before it."),
]
FrozenEpochs = Annotated[
    int | None, _change("Leave the backbone as it is in the first N epochs.", min=0)
]
HideFirst = Annotated[
    float | None,
    _change(
        "Share of the images whose later glimpses are read without the first, early on "
        "(MGNets that average, by default: 0.5)."
    ),
]
HideFirstSteps = Annotated[float | None, _change("Share of the steps in which that is so (0.1).")]
Optimizer = Annotated[
    OptimizerName | None,
    option("NAME", "sgd or adamw.", show_default=False, rich_help_panel=_INSTEAD),
]
SizeWeight = Annotated[float | None, _change("Weight of the size regulariser.")]
LabelSmoothing = Annotated[
    float | None, _change("Label smoothing of both classifications, 0 to 1.")
]
AverageDecay = Annotated[
    float | None,
    _change("Decay of the saved moving average of the weights; 0 saves the last weights."),
]
ImageSize = Annotated[
    int | None,
    _of_folders("Side of the images in pixels.", "224, or 64 for Tiny ImageNet", min=1),
]
GlimpseSize = Annotated[
    int | None,
    _of_folders("Side of a glimpse in pixels.", "3/7 or 1/2 of the image size", min=1),
]
AutoAugment = Annotated[
    AutoAugmentBy,
    _of_folders(
        "Library for AutoAugment: torchvision, kornia, auto (what is installed) or none.", True
    ),
]
SmallestCrop = Annotated[
    float | None,
    _of_folders(
        "Smallest share of an image's area that a training crop keeps.", "0.08; fine-tune: 0.35"
    ),
]
Workers = Annotated[
    int | None,
    _of_folders("Decoding processes of each training process.", "by processors", min=0),
]
MaxUnreadable = Annotated[
    int, _of_folders("How many unreadable images to skip at most.", True, min=0)
]
NoCheck = Annotated[
    bool,
    switch(
        "Skip the check that decodes every image before training.",
        "--no-check",
        rich_help_panel=_FOLDERS,
    ),
]
IgnoreExif = Annotated[
    bool,
    switch(
        "Leave photographs as they are stored, not turned by EXIF.",
        "--ignore-exif",
        rich_help_panel=_FOLDERS,
    ),
]
Threads = Annotated[
    int | None,
    option(
        "N",
        "Threads per process.",
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
        "Save memory by running the backbone of each glimpse twice.",
        "--checkpoint-glimpses",
        rich_help_panel=_RUNNING,
    ),
]
SyncBatchNorm = Annotated[
    bool,
    switch(
        "Batch norm over the images of all processes; GPUs only.",
        "--sync-batch-norm",
        rich_help_panel=_RUNNING,
    ),
]
NoTensorboard = Annotated[
    bool,
    switch(
        "Write no TensorBoard files.",
        "--no-tensorboard",
        rich_help_panel=_RUNNING,
    ),
]
Quiet = Annotated[bool, switch("Show no progress bar.", "--quiet", "-q", rich_help_panel=_RUNNING)]
