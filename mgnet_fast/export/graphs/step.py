"""One step of S images, each at its own glimpse, to export for early exit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ... import functional
from ...engine.artefacts.step_artefact import STEP_INPUTS, STEP_OUTPUTS
from ...models import MGNet
from ..options import ExportOptions
from .network_loop import Outputs
from .parts import (
    CachedFusion,
    Localization,
    Normalization,
    OpGlimpse,
    plain_glimpse,
    ready_backbone,
)

__all__ = ["STEP_INPUTS", "STEP_OUTPUTS", "OpStep", "PlainStep", "Step", "loop_of_steps"]

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Outputs]


class PlainStep(nn.Module):
    """A step in standard operators.

    With sampling outside, the first input is the glimpses, [S, C, h, w] in float32.
    """

    def __init__(self, model: MGNet, options: ExportOptions) -> None:
        super().__init__()
        size = options.glimpse_shape(model.config)
        self.steps = options.steps(model.config)
        self.takes_bytes = options.input == "uint8"
        self.samples = options.sampling == "inside" and not (
            self.steps == 1 and options.image_size == size
        )
        self.normalization = Normalization(model.config)
        self.glimpse: nn.Module = plain_glimpse(size, model.config)
        self.backbone = ready_backbone(model, options.backbone_dtype)
        self.backbone_dtype = options.backbone_dtype
        self.fusion = CachedFusion(model, self.steps)
        self.classifier = model.global_fc
        self.localization = Localization(model)

    def forward(self, images: Tensor, region: Tensor, tokens: Tensor, length: Tensor) -> Outputs:
        """Take one glimpse of each image.

        Args:
            images: [S, C, H, W] float32 or [S, H, W, C] uint8.
            region: float32 [S, 3].
            tokens: float32 [S, T, D]; row i uses its places 1..length[i]-1.
            length: int64 [S], number of glimpses of each image, this one included.

        Returns:
            Class logits [S, K], the next region [S, 3], and the token [S, D] for place length[i] of
            row i, which the caller writes, so that no cache is copied.
        """
        feature = self.backbone(self._seen(images, region).to(self.backbone_dtype)).float()
        token = torch.cat([feature, region], dim=1)
        fused = self.fusion(token, tokens, length)
        return self.classifier(fused), self.localization(fused), token

    def _seen(self, images: Tensor, region: Tensor) -> Tensor:
        if self.takes_bytes:
            images = self.normalization(images)
        return self.glimpse(images, region) if self.samples else images


class OpStep(PlainStep):
    """The same with the package's registered op."""

    def __init__(self, model: MGNet, options: ExportOptions) -> None:
        super().__init__(model, options)
        size = options.glimpse_shape(model.config)
        self.glimpse = OpGlimpse(size, model.config, self.takes_bytes)

    def _seen(self, images: Tensor, region: Tensor) -> Tensor:
        if self.takes_bytes and self.samples:
            return self.glimpse(images.permute(0, 3, 1, 2), region)
        return super()._seen(images, region)


def loop_of_steps(step: Step, model: MGNet, options: ExportOptions) -> Callable[[Tensor], Outputs]:
    """The whole loop as T calls of ``step``, to compare with the eager loop.

    The cache starts as NaN, so a step that reads an unwritten place is detected.
    """
    config, steps = model.config, options.steps(model.config)
    size, width = options.glimpse_shape(config), model.loc_network.fc.in_features

    def run(images: Tensor) -> Outputs:
        count = len(images)
        region = torch.eye(1, 3).repeat(count, 1)
        tokens = torch.full((count, steps, width), torch.nan)
        n_logit, regions = [], []
        for number in range(1, steps + 1):
            seen = images
            if options.sampling == "outside":
                seen = functional.glimpse(images, region, size, antialias=config.antialias)
            length = torch.full((count,), number)
            logits, following, token = step(seen, region, tokens, length)
            tokens[:, number - 1] = token
            n_logit.append(logits)
            regions.append(region)
            region = following
        return torch.stack(n_logit), torch.stack(regions), n_logit[-1].argmax(dim=-1)

    return run
