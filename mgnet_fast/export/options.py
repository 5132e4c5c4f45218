"""The options of an export: batch range, image size, kind of input, glimpses, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..models.network import NetworkConfig, has_own_glimpse_size

InputKind = Literal["float", "uint8"]
OutputKind = Literal["steps-first", "batch-first"]
What = Literal["loop", "step"]
Precision = Literal["fp32", "fp16", "int8"]
Sampling = Literal["inside", "outside"]
LARGEST_SIDE = 16_384  # float32 coordinates are too coarse beyond
LARGEST_ENGINE_SIZE = (1024, 1024)


@dataclass(frozen=True)
class BatchRange:
    """Images per call, from ``low`` to ``high``; ``usual`` is the size for examples and samples.

    Raises:
        ValueError: not ``1 <= low <= usual <= high``.
    """

    low: int = 1
    usual: int = 8
    high: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.usual <= self.high:
            raise ValueError(
                "batch must be min:opt:max with 1 <= min <= opt <= max, "
                f"got {self.low}:{self.usual}:{self.high}"
            )

    @classmethod
    def parse(cls, text: str) -> BatchRange:
        """Parse ``min:opt:max``, or one number for all three.

        Raises:
            ValueError: it has another form or is out of order.
        """
        try:
            numbers = [int(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            numbers *= 3
        if len(numbers) != 3:
            raise ValueError(f"batch must be min:opt:max, such as 1:8:64, got {text!r}")
        return cls(*numbers)

    def __str__(self) -> str:
        return f"{self.low}:{self.usual}:{self.high}"


@dataclass(frozen=True)
class SizeRange:
    """(H, W) of images, from ``low`` to ``high``; engines are tuned for ``usual``.

    Raises:
        ValueError: not ``2 <= low <= usual <= high <= 16384`` for height and width.
    """

    low: tuple[int, int] = (2, 2)
    usual: tuple[int, int] = (224, 224)
    high: tuple[int, int] = (LARGEST_SIDE, LARGEST_SIDE)

    def __post_init__(self) -> None:
        if not all(
            2 <= low <= usual <= high <= LARGEST_SIDE
            for low, usual, high in zip(self.low, self.usual, self.high, strict=True)
        ):
            raise ValueError(
                "image sizes must be min:opt:max with "
                f"2 <= min <= opt <= max <= {LARGEST_SIDE} for height and width, "
                f"got {self.low}, {self.usual}, {self.high}"
            )


@dataclass(frozen=True)
class ExportOptions:
    """What the exported program accepts and does.

    Attributes:
        batch: images per call.
        image_size: (H, W) of all images; None for any size in ``sizes``.
        sizes: the range of an open size. None: 2 to 16384 pixels a side, and up to 1024 for
            TensorRT engines, which reserve memory for the largest.
        outputs: order of a loop's outputs. ``"steps-first"``: n_logit [T, B, K], regions [T, B, 3],
            label [B]; ``"batch-first"``, for servers: logits [B, K] of the last step, regions
            [B, T, 3], label [B, 1].
        input: ``"float"``: normalised float32 [B, C, H, W]; ``"uint8"``: [B, H, W, C], divided by
            255 and normalised by the config's mean and std inside.
        num_glimpses: T; None for the config's.
        what: ``"loop"``: all T glimpses in one call; ``"step"``: one glimpse of each image in
            flight, for early exit.
        precision: of the backbone; everything else is float32.
        sampling: ``"inside"``: the program takes glimpses of the given images; ``"outside"``
            (steps only): it gets glimpses, float32 [S, C, h, w], which the caller takes with
            :func:`mgnet_fast.functional.glimpse`.

    Raises:
        ValueError: a value is out of range.
    """

    batch: BatchRange = BatchRange()
    image_size: tuple[int, int] | None = None
    input: InputKind = "float"
    num_glimpses: int | None = None
    sizes: SizeRange | None = None
    outputs: OutputKind = "steps-first"
    what: What = "loop"
    precision: Precision = "fp32"
    sampling: Sampling = "inside"

    def __post_init__(self) -> None:
        for name, known in (
            ("input", InputKind),
            ("outputs", OutputKind),
            ("what", What),
            ("precision", Precision),
            ("sampling", Sampling),
        ):
            if getattr(self, name) not in get_args(known):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(known))}, "
                    f"got {getattr(self, name)!r}"
                )
        if self.sampling == "outside" and (self.what, self.input) != ("step", "float"):
            raise ValueError(
                "sampling outside needs what = step and input = float: a loop takes its glimpses "
                f"itself, and glimpses are float32; got {self.what} and {self.input}"
            )
        if self.image_size is not None and not all(
            2 <= side <= LARGEST_SIDE for side in self.image_size
        ):
            raise ValueError(
                f"image_size must be (H, W) of 2 to {LARGEST_SIDE} pixels, got {self.image_size}"
            )
        if self.image_size is not None and self.sizes is not None:
            raise ValueError("give image_size or sizes, not both")
        if self.num_glimpses is not None and self.num_glimpses < 1:
            raise ValueError(f"num_glimpses must be at least 1, got {self.num_glimpses}")

    @property
    def backbone_dtype(self) -> torch.dtype:
        """Of the exported program's backbone; quantisation to 8 bits follows the export."""
        return torch.float16 if self.precision == "fp16" else torch.float32

    @property
    def stem(self) -> str:
        """The artefact's name without its suffix."""
        return self.what if self.precision == "fp32" else f"{self.what}.{self.precision}"

    @property
    def open_sizes(self) -> SizeRange:
        """The allowed heights and widths if the size is open."""
        return self.sizes or SizeRange()

    def engine_sizes(self) -> SizeRange:
        """The sizes that a TensorRT engine is built for."""
        if self.image_size is not None:
            return SizeRange(self.image_size, self.image_size, self.image_size)
        return self.sizes or SizeRange(high=LARGEST_ENGINE_SIZE)

    def glimpse_shape(self, config: NetworkConfig) -> tuple[int, int]:
        """Height and width of the network's glimpses.

        Raises:
            ValueError: they depend on the image's size, which is left open.
        """
        if self.image_size is not None:
            return config.glimpse_shape(self.image_size)
        if not has_own_glimpse_size(config):
            raise ValueError(
                "the glimpses of this network depend on the image's size, so it cannot be left "
                "open: give image_size (--image-size HxW)"
            )
        return config.glimpse_shape((LARGEST_SIDE, LARGEST_SIDE))

    def steps(self, config: NetworkConfig) -> int:
        """T of the exported loop, or the number of cache places of a step."""
        return config.num_glimpses if self.num_glimpses is None else self.num_glimpses
