"""The loop of T glimpses as a module with one tensor in and three out, ready to be exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..models import MGNet
from ..models.mgnet import POSITION_DIM
from .options import ExportOptions
from .parts import Fusion, GridGlimpse, Localization, Normalization, OpGlimpse, ready_backbone

INPUT_NAME = "images"
OUTPUT_NAMES = ("n_logit", "regions", "label")

Outputs = tuple[Tensor, Tensor, Tensor]


class PlainLoop(nn.Module):
    """The loop in operators that every runtime has; a glimpse is one ``GridSample``."""

    whole_image: Tensor

    def __init__(self, model: MGNet, options: ExportOptions) -> None:
        super().__init__()
        self.steps = options.steps(model.config)
        self.takes_bytes = options.input == "uint8"
        size = options.glimpse_shape(model.config)
        self.first_is_image = options.image_size == size
        self.register_buffer("whole_image", torch.eye(1, POSITION_DIM))
        self.normalization = Normalization(model.config)
        self.glimpse: nn.Module = GridGlimpse(size)
        self.backbone = ready_backbone(model, options.backbone_dtype)
        self.backbone_dtype = options.backbone_dtype
        self.fusion = Fusion(model)
        self.classifier = model.global_fc
        self.localization = Localization(model)

    def forward(self, images: Tensor) -> Outputs:
        """``n_logit`` [T, B, K], ``regions`` [T, B, 3] and ``label`` int64 [B] of the last step."""
        images = self._prepared(images)
        region = self.whole_image.repeat(images.shape[0], 1)
        n_logit, regions, tokens = [], [], []
        for step in range(self.steps):
            is_image = step == 0 and self.first_is_image
            glimpse = self._image(images) if is_image else self.glimpse(images, region)
            feature = self.backbone(glimpse.to(self.backbone_dtype)).float()
            tokens.append(torch.cat([feature, region], dim=1))
            fused = self.fusion(tokens)
            n_logit.append(self.classifier(fused))
            regions.append(region)
            if step + 1 < self.steps:
                region = self.localization(fused)
        return torch.stack(n_logit), torch.stack(regions), n_logit[-1].argmax(dim=-1)

    def _prepared(self, images: Tensor) -> Tensor:
        return self.normalization(images) if self.takes_bytes else images

    def _image(self, prepared: Tensor) -> Tensor:
        return prepared


class OpLoop(PlainLoop):
    """The same loop with the package's own registered op for a glimpse.

    For programs that run where the package is imported. Bytes are normalised as they are sampled.
    """

    def __init__(self, model: MGNet, options: ExportOptions) -> None:
        super().__init__(model, options)
        size = options.glimpse_shape(model.config)
        self.glimpse = OpGlimpse(size, model.config, self.takes_bytes)

    def _prepared(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2) if self.takes_bytes else images  # any strides will do

    def _image(self, prepared: Tensor) -> Tensor:
        return self.normalization(prepared.permute(0, 2, 3, 1)) if self.takes_bytes else prepared
