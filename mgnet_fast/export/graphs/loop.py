"""The loop of T glimpses as a module to export: one input tensor, and its outputs by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...models import GlimpseNetwork, MGNet
from ...models.mgnet.network import POSITION_DIM
from ..options import ExportOptions
from .network_loop import NetworkLoop, Outputs, attention_shapes
from .parts import (
    Fusion,
    Localization,
    Normalization,
    OpGlimpse,
    plain_glimpse,
    ready_backbone,
)

INPUT_NAME = "images"
OUTPUT_NAMES = ("n_logit", "regions", "label")
SERVED_NAMES = ("logits", "regions", "label")  # names of batch-first outputs
ATTENTION_NAME = "attention"  # with a number from 1 on: a map, the last one last


class PlainLoop(nn.Module):
    """The loop in standard operators."""

    whole_image: Tensor

    def __init__(self, model: MGNet, options: ExportOptions) -> None:
        super().__init__()
        self.steps = options.steps(model.config)
        self.takes_bytes = options.input == "uint8"
        size = options.glimpse_shape(model.config)
        self.first_is_image = options.image_size == size
        self.register_buffer("whole_image", torch.eye(1, POSITION_DIM))
        self.normalization = Normalization(model.config)
        self.glimpse: nn.Module = plain_glimpse(size, model.config)
        self.backbone = ready_backbone(model, options.backbone_dtype)
        self.backbone_dtype = options.backbone_dtype
        self.fusion = Fusion(model)
        self.classifier = model.global_fc
        self.localization = Localization(model)

    def forward(self, images: Tensor) -> Outputs:
        """``n_logit`` [T, B, K], ``regions`` [T, B, 3] and ``label`` int64 [B] of the last step."""
        images = self._prepared(images)
        region = self.whole_image.repeat(images.shape[0], 1)
        states, regions, tokens = [], [], []
        for step in range(self.steps):
            is_image = step == 0 and self.first_is_image
            glimpse = self._image(images) if is_image else self.glimpse(images, region)
            feature = self.backbone(glimpse.to(self.backbone_dtype)).float()
            tokens.append(torch.cat([feature, region], dim=1))
            fused = self.fusion(tokens)
            states.append(fused)
            regions.append(region)
            if step + 1 < self.steps:
                region = self.localization(fused)
        # One product for all steps: TensorRT-RTX 1.4 fails to build a separate one for four steps.
        n_logit = self.classifier(torch.stack(states))
        return n_logit, torch.stack(regions), n_logit[-1].argmax(dim=-1)

    def _prepared(self, images: Tensor) -> Tensor:
        return self.normalization(images) if self.takes_bytes else images

    def _image(self, prepared: Tensor) -> Tensor:
        return prepared


class OpLoop(PlainLoop):
    """The same loop with the package's registered op.

    For programs that run where the package is installed. Bytes are normalised while sampling.
    """

    def __init__(self, model: MGNet, options: ExportOptions) -> None:
        super().__init__(model, options)
        size = options.glimpse_shape(model.config)
        self.glimpse = OpGlimpse(size, model.config, self.takes_bytes)

    def _prepared(self, images: Tensor) -> Tensor:
        # the op takes any strides
        return images.permute(0, 3, 1, 2) if self.takes_bytes else images

    def _image(self, prepared: Tensor) -> Tensor:
        return self.normalization(prepared.permute(0, 2, 3, 1)) if self.takes_bytes else prepared


class BatchFirst(nn.Module):
    """A loop whose outputs all have the batch first, as batching servers need.

    ``logits`` [B, K] of the last step, ``regions`` [B, T, 3], ``label`` int64 [B, 1], and the
    attention maps [B, h, w] of a network that has them.
    """

    def __init__(self, loop: nn.Module) -> None:
        super().__init__()
        self.loop = loop

    def forward(self, images: Tensor) -> Outputs:
        n_logit, regions, label, *attention = self.loop(images)
        return n_logit[-1], regions.transpose(0, 1), label.unsqueeze(1), *attention


def build_loop(kind: type[PlainLoop], model: GlimpseNetwork, options: ExportOptions) -> nn.Module:
    """A loop with the outputs requested by ``options``: of that class for an MGNet, for other
    networks through their protocol."""
    if isinstance(model, MGNet):
        loop: nn.Module = kind(model, options)
    else:
        loop = NetworkLoop(model, options, is_plain=kind is PlainLoop)
    return BatchFirst(loop) if options.outputs == "batch-first" else loop


def output_names(model: GlimpseNetwork, options: ExportOptions) -> tuple[str, ...]:
    """The output names of :func:`build_loop`."""
    names = SERVED_NAMES if options.outputs == "batch-first" else OUTPUT_NAMES
    maps = len(attention_shapes(model, options))
    return (*names, *(f"{ATTENTION_NAME}_{level + 1}" for level in range(maps)))


def steps_first(outputs: Outputs) -> Outputs:
    """The outputs of either order as (n_logit, regions, label) and the attention maps, with the
    available steps."""
    logits, regions, label, *attention = outputs
    if logits.dim() == 2:
        return logits.unsqueeze(0), regions.transpose(0, 1), label.squeeze(1), *attention
    return logits, regions, label, *attention
