"""Options of the engine: runner, precision, calibration images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from .option import option

if TYPE_CHECKING:
    from torch import Tensor

    from ...data.reading.options import ReadOptions

SAMPLES = 100


EnginePrecision = Literal["fp32", "bf16", "fp16", "int8"]
"""The precision of the backbone."""

EngineRunner = Literal[
    "auto",
    "eager",
    "channels_last",
    "packed",
    "compiled",
    "openvino",
    "onnxruntime",
    "cudagraph",
    "tensorrt",
]
"""The implementation that runs a step."""

Precision = Annotated[
    EnginePrecision,
    option("NAME", "Precision of the backbone: fp32, bf16, fp16 or int8; the rest is float32."),
]
EngineWeights = Literal["fp32", "fp16", "int8"]
"""How the weights of a float32 backbone are stored."""

Weights = Annotated[
    EngineWeights,
    option(
        "NAME",
        "How the runner packed stores the weights of a float32 backbone: fp32, fp16 or int8. Fewer "
        "bits are read faster and change results a little.",
    ),
]
CalibrationImages = Annotated[
    int | None,
    option(
        "N",
        "Calibrate on the first N images, and print the deviation from float32 there.",
        min=1,
        show_default=f"{SAMPLES} for int8, else none",
    ),
]
Runner = Annotated[
    EngineRunner,
    option(
        "NAME",
        f"What runs a step: {', '.join(get_args(EngineRunner))}. auto times them and takes the "
        "fastest. Runners round differently: name one to get the same digits in every run.",
    ),
]
Artefact = Annotated[
    Path | None,
    option(
        "FILE",
        "For --runner tensorrt, or onnxruntime: the step written by mgnet-fast export. Without it "
        "onnxruntime runs the backbone of the network itself.",
        show_default=False,
    ),
]


def first_images(files: list[Path], reading: ReadOptions, count: int) -> list[Tensor]:
    """The first ``count`` images of ``files`` that can be read, as batches of one.

    Raises:
        ValueError: none can be read.
    """
    import torch

    from ...data.reading.whole import read_image

    found: list[Tensor] = []
    for path in files:
        try:
            pixels = read_image(path, reading)
        except (ValueError, OSError):
            continue  # reported when its turn comes
        found.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
        if len(found) == count:
            break
    if not found:
        raise ValueError("calibration needs at least one readable image file, got none")
    return found
