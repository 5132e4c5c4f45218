"""Options of the engine: runner, precision, calibration images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from .option import option

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
Slots = Annotated[int, option("N", "Number of images in flight.", min=1)]
Artefact = Annotated[
    Path | None,
    option(
        "FILE",
        "For --runner tensorrt, or onnxruntime: the step written by mgnet-fast export. Without it "
        "onnxruntime runs the backbone of the network itself.",
        show_default=False,
    ),
]
