"""All steps of any glimpse network as a module to export, through the protocol's methods."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...models import GlimpseNetwork, SpatialAttention
from ...models.ltpa.backbone import AttendingBackbone
from ...models.network import sizes_of
from ..options import ExportOptions
from .parts import Normalization
from .plain_looks import PlainLooks

Outputs = tuple[Tensor, ...]
"""Logits, regions, labels; and the attention maps of a network that has them."""


class NetworkLoop(nn.Module):
    """The forward pass of a network with one input, and three outputs besides attention maps.

    Args:
        model: the network; it is copied.
        options: what the program accepts.
        is_plain: sample in standard operators; else by the package's registered op, for programs
            that run where the package is installed.
    """

    def __init__(self, model: GlimpseNetwork, options: ExportOptions, *, is_plain: bool) -> None:
        super().__init__()
        self.network = copy.deepcopy(model)
        self.network.backbone.to(options.backbone_dtype)
        self.backbone_dtype = options.backbone_dtype
        self.looks = model.looks_within(options.steps(model.config))
        self.takes_bytes = options.input == "uint8"
        self.normalization = Normalization(model.config)
        self.plain = None
        if is_plain:
            size = options.glimpse_shape(model.config)
            self.plain = PlainLooks(size, model.sampling_options(torch.empty(0)))
            for module in self.network.modules():
                if isinstance(module, SpatialAttention):
                    module.backend = "reference"

    def forward(self, images: Tensor) -> Outputs:
        """``n_logit`` [T, B, K], ``regions`` [sum of looks, B, 3 or 4], ``label`` int64 [B], and
        the weights [B, h, w] of each map that the network attends to."""
        if self.takes_bytes:
            # The op takes bytes of any strides and normalises them while sampling.
            is_plain = self.plain is not None
            images = self.normalization(images) if is_plain else images.permute(0, 3, 1, 2)
        state = self.network.start(sizes_of(images))
        logits, regions, attention = [], [], []
        for step, count in enumerate(self.looks):
            region, row = self.network.looks_at_step(state, step)
            by_image = region.unflatten(0, (-1, count)).float()
            if self.plain is not None:
                glimpses = self.plain(images, by_image)
            else:
                glimpses = self.network.sample(images, region, row)
            feature, maps = self._encoded(glimpses.to(self.backbone_dtype))
            attention += maps
            state = self.network.take_in_at_step(state, feature, step)
            logits.append(self.network.answer(state))
            regions.append(by_image.transpose(0, 1))
        n_logit = torch.stack(logits)
        return n_logit, torch.cat(regions), n_logit[-1].argmax(dim=-1), *attention

    def _encoded(self, glimpses: Tensor) -> tuple[Tensor, list[Tensor]]:
        backbone = self.network.backbone
        if isinstance(backbone, AttendingBackbone):
            feature, maps = backbone.attend(glimpses)
            return feature.float(), maps
        return backbone(glimpses).float(), []


def attention_shapes(model: GlimpseNetwork, options: ExportOptions) -> list[tuple[int, int]]:
    """Height and width of each map that the network attends to; none for most networks."""
    if not isinstance(model.backbone, AttendingBackbone):
        return []
    weight = next(model.parameters())
    look = weight.new_zeros(1, model.config.in_chans, *options.glimpse_shape(model.config))
    with torch.no_grad():
        _, maps = model.backbone.attend(look)
    return [(each.shape[1], each.shape[2]) for each in maps]
