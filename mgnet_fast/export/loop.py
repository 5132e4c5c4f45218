"""The loop of T glimpses as a module with one tensor in and three out, ready to be exported."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import functional
from ..models import MGNet
from ..models.fusion import FusionMemory
from ..models.mgnet import POSITION_DIM
from .options import ExportOptions

INPUT_NAME = "images"
OUTPUT_NAMES = ("n_logit", "regions", "label")
SERVED_NAMES = ("logits", "regions", "label")  # of a program whose outputs have the batch first

Outputs = tuple[Tensor, Tensor, Tensor]


class PlainLoop(nn.Module):
    r"""The same loop in operators that every runtime has; a glimpse is one ``GridSample``.

    The grid of a region (s, x, y) is made by broadcasting,
    :math:`g_{ij} = (x + s u_j, y + s v_i)` with u and v evenly spaced in [-1, 1], always in
    float32. So coordinates are as exact as float32 allows, which is less exact than the package's
    own ops: about 6e-5 of N(0, 1) white noise at 224 pixels.
    """

    columns: Tensor
    rows: Tensor
    whole_image: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, model: MGNet, options: ExportOptions) -> None:
        super().__init__()
        self.model = model
        self.steps = options.steps(model.config)
        self.takes_bytes = options.input == "uint8"
        height, width = options.glimpse_shape(model.config)
        self.first_is_image = options.image_size == (height, width)
        self.register_buffer("columns", _positions(width))
        self.register_buffer("rows", _positions(height))
        self.register_buffer("whole_image", torch.eye(1, POSITION_DIM))
        channels = model.config.in_chans
        mean = torch.tensor(model.config.mean or (0.0,) * channels, dtype=torch.float64)
        std = torch.tensor(model.config.std or (1.0,) * channels, dtype=torch.float64)
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, -1, 1, 1))
        self.register_buffer("bias", (-mean / std).float().view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Outputs:
        """``n_logit`` [T, B, K], ``regions`` [T, B, 3] and ``label`` int64 [B] of the last step."""
        images = self._prepared(images)
        memory = FusionMemory()
        region = self.whole_image.repeat(images.shape[0], 1)
        n_logit, regions = [], []
        for step in range(self.steps):
            look = self._first if step == 0 else self._sampled
            feature = self.model.backbone(look(images, region))
            fused = self.model.fuse(feature, region, memory)
            n_logit.append(self.model.global_fc(fused))
            regions.append(region)
            if step + 1 < self.steps:
                region = self._located(fused)
        return torch.stack(n_logit), torch.stack(regions), n_logit[-1].argmax(dim=-1)

    def _prepared(self, images: Tensor) -> Tensor:
        if self.takes_bytes:
            # Floats first: TensorRT has no operation on bytes but the cast.
            return images.float().permute(0, 3, 1, 2) * self.scale + self.bias
        return images

    def _first(self, images: Tensor, region: Tensor) -> Tensor:
        return images if self.first_is_image else self._sampled(images, region)

    def _located(self, fused: Tensor) -> Tensor:
        low, high = self.model.config.scale_range
        probability = torch.sigmoid(self.model.loc_network.fc(fused))
        scale = probability[:, :1] * (high - low) + low
        return torch.cat([scale, (2 * probability[:, 1:] - 1) * (1 - scale)], dim=1)

    def _sampled(self, images: Tensor, region: Tensor) -> Tensor:
        scale, x, y = region[:, :1], region[:, 1:2], region[:, 2:]
        shape = (images.shape[0], self.rows.shape[0], self.columns.shape[0])
        across = (x + scale * self.columns)[:, None, :].expand(shape)
        down = (y + scale * self.rows)[:, :, None].expand(shape)
        grid = torch.stack([across, down], dim=-1)
        return F.grid_sample(images, grid, "bilinear", "zeros", align_corners=True)


class OpLoop(PlainLoop):
    """The same loop with the package's own registered op for a glimpse.

    For programs that run where the package is imported. Bytes are normalised as they are sampled.
    """

    def _prepared(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2) if self.takes_bytes else images  # any strides will do

    def _first(self, images: Tensor, region: Tensor) -> Tensor:
        if self.first_is_image:
            return self.model.glimpse_gen(images, region, is_whole_image=True)
        return self._sampled(images, region)

    def _sampled(self, images: Tensor, region: Tensor) -> Tensor:
        config = self.model.config
        return functional.glimpse(
            images,
            region,
            (self.rows.shape[0], self.columns.shape[0]),
            mean=config.mean if self.takes_bytes else None,
            std=config.std if self.takes_bytes else None,
            dtype=torch.float32,
        )


class BatchFirst(nn.Module):
    """A loop with the batch first in all outputs, as servers that gather requests want it.

    ``logits`` [B, K] of the last step, ``regions`` [B, T, 3], ``label`` int64 [B, 1].
    """

    def __init__(self, loop: PlainLoop) -> None:
        super().__init__()
        self.loop = loop

    def forward(self, images: Tensor) -> Outputs:
        n_logit, regions, label = self.loop(images)
        return n_logit[-1], regions.transpose(0, 1), label.unsqueeze(1)


def build_loop(kind: type[PlainLoop], model: MGNet, options: ExportOptions) -> nn.Module:
    """A loop of that kind with the outputs that ``options`` ask for."""
    loop = kind(model, options)
    return BatchFirst(loop) if options.outputs == "batch-first" else loop


def output_names(options: ExportOptions) -> tuple[str, ...]:
    """Names of the outputs of :func:`build_loop`."""
    return SERVED_NAMES if options.outputs == "batch-first" else OUTPUT_NAMES


def steps_first(outputs: Outputs) -> Outputs:
    """The outputs of either kind as (n_logit, regions, label), n_logit of the steps there are."""
    logits, regions, label = outputs
    if logits.dim() == 2:
        return logits.unsqueeze(0), regions.transpose(0, 1), label.squeeze(1)
    return logits, regions, label


def _positions(count: int) -> Tensor:
    """``count`` evenly spaced positions in [-1, 1], the centre if it is one."""
    if count == 1:
        return torch.zeros(1)
    return torch.linspace(-1, 1, count, dtype=torch.float64).float()
