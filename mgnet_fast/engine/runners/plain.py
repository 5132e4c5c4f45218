"""The runner of networks with a fused step: the backbone, then one op, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from ...functional import FoldedFusion
from ...models import GlimpseNetwork
from ...models.backbones.precision import glimpse_memory_format
from ...ops.backends import choice as backends
from ...ops.fusion.fusion_step import fusion_step
from ...ops.fusion.fusion_weights import StepWeights
from .file_images import Images, sampled
from .runner import StepInput


class PlainRunner:
    """Runs the steps of ``model`` without preparation other than folding the fusion.

    The model is used, not copied; it must be in evaluation mode and float32. ``folded`` is its
    folded fusion, if already computed. ``memory_format`` is that of the glimpses, by default that
    of the backbone's weights. ``glimpse_dtype`` is the dtype that the backbone takes; its result is
    cast to the model's. See :class:`Runner`.
    """

    def __init__(
        self,
        model: GlimpseNetwork,
        folded: FoldedFusion | None = None,
        memory_format: torch.memory_format | None = None,
        glimpse_dtype: torch.dtype | None = None,
    ) -> None:
        self.model = model
        self.config = model.config
        self.num_classes = model.config.num_classes
        fused_step = model.fused_step
        assert fused_step is not None  # other networks get a StepwiseRunner
        weight = fused_step.localization.weight
        self.device: torch.device = weight.device
        self._width = weight.shape[1]
        self._dtype = weight.dtype
        self._glimpse_dtype = glimpse_dtype or weight.dtype
        self._weights = StepWeights.of(*fused_step, folded)
        self._backend = backends.choose(self.device.type, None)
        self._memory_format = memory_format or glimpse_memory_format(model.backbone)

    def initial_regions(self, count: int) -> Tensor:
        return torch.eye(1, 3, device=self.device).repeat(count, 1)

    def new_tokens(self, slots: int) -> Tensor:
        shape = (slots, self.config.num_glimpses, self._width)
        return torch.empty(shape, dtype=self._dtype, device=self.device)

    @torch.no_grad()
    def step(self, given: StepInput) -> tuple[Tensor, Tensor]:
        glimpses = self.glimpses(given.images, given.region, given.image_index)
        return self.answer(glimpses, given.region, given.tokens, given.length)

    def answer(
        self, glimpses: Tensor, region: Tensor, tokens: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The step after the glimpses [S, C, h, w], whose shapes never change."""
        feature = self.model.backbone(glimpses)
        return fusion_step(feature, region, tokens, length, self._weights, self._backend)

    def glimpses(self, images: Images, region: Tensor, image_index: Tensor | None) -> Tensor:
        """The glimpse of each slot in the form the backbone takes: [S, C, h, w]."""
        if isinstance(images, Tensor):
            size = self.config.glimpse_shape((images.shape[-2], images.shape[-1]))
            if self.config.num_glimpses == 1 and size == tuple(images.shape[-2:]):
                # The feed-forward twin looks at the whole image at its own size.
                chosen = images if image_index is None else images.index_select(0, image_index)
                return self.model.as_glimpse(chosen).to(self._glimpse_dtype)
        else:
            # networks on pools have their own glimpse size
            size = self.config.glimpse_shape((0, 0))
        is_bytes = images.dtype == torch.uint8
        return sampled(
            images,
            region,
            size,
            image_index,
            mean=self.config.mean if is_bytes else None,
            std=self.config.std if is_bytes else None,
            dtype=self._glimpse_dtype,
            memory_format=self._memory_format,
            antialias=self.model.antialias,
        )
