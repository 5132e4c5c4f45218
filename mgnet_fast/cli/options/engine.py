"""How the engine computes: its runner, its precision, the images that it is fitted to."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from .option import option

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES = 100


class EnginePrecision(StrEnum):
    """What the backbone computes in."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class EngineRunner(StrEnum):
    """What a step is run by."""

    auto = "auto"
    eager = "eager"
    channels_last = "channels_last"
    packed = "packed"
    compiled = "compiled"
    onnxruntime = "onnxruntime"
    cudagraph = "cudagraph"
    tensorrt = "tensorrt"


Precision = Annotated[
    EnginePrecision,
    option("NAME", "Of the backbone: fp32, bf16, fp16 or int8; the rest is float32."),
]
CalibrationImages = Annotated[
    int | None,
    option(
        "N",
        "Fit the precision to the first N images, and say how far it is from float32 there.",
        min=1,
        show_default=f"{SAMPLES} for int8, else none",
    ),
]
Runner = Annotated[
    EngineRunner,
    option(
        "NAME",
        f"What a step is run by: {', '.join(EngineRunner)}. auto takes the fastest in a short "
        "trial; each rounds in its own way: name one for the same last decimals in every run.",
    ),
]
Artefact = Annotated[
    Path | None,
    option(
        "FILE",
        "For --runner onnxruntime and tensorrt: the step that mgnet-fast export wrote.",
        show_default=False,
    ),
]


def first_images(files: list[Path], channels: int, count: int) -> list[Tensor]:
    """The first ``count`` images of ``files`` that can be read, as batches of one.

    Raises:
        ValueError: none can be read.
    """
    import torch

    from ...data.image_files import read_image

    found: list[Tensor] = []
    for path in files:
        try:
            pixels = read_image(path, channels)
        except (ValueError, OSError):
            continue  # reported when its turn comes
        found.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
        if len(found) == count:
            break
    if not found:
        raise ValueError("calibration needs at least one image file that can be read, got none")
    return found
