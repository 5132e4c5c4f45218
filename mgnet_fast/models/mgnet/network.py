"""The Multi-Glimpse Network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...ops.autocast import without_autocast
from ..backbones.by_name import backbone_dim, create_backbone
from ..network import FusedStep, GlimpseNetwork, Localization, Looks, State
from .config import MGNetConfig
from .from_files import FromFiles
from .fusion import FeatureFusion, FusionMemory
from .heads import Classifier, LocalizationNetwork
from .objective import Objective

POSITION_DIM = 3  # a region is the three numbers (s, x, y)


class MGNet(FromFiles, GlimpseNetwork):
    r"""Classifies an image by T small glimpses, each placed according to the earlier ones.

    For t = 1..T, with the region :math:`a_1 = (1, 0, 0)`, the whole image::

        x_t     = glimpse(image, a_t)                  # sample a small image of region a_t
        h_t     = backbone(x_t)                        # [B, dim]
        F_t     = fuse([h_1, a_1], ..., [h_t, a_t])    # [B, D], D = dim + 3, a_j without gradient
        logits  = global_fc(F_t)                       # [B, K]
        a_{t+1} = locate(F_t)                          # [B, 3]

    The feed-forward twin (FF-Net) is the case T = 1 with glimpses of the image's own size. The
    methods of the protocol (``start``, ``next_looks``, ``take_in``, ``answer``) compute the same as
    ``forward``, up to rounding, for rows at different steps.

    Args:
        config: all numbers but the backbone's.
        backbone: a name (one of :func:`mgnet_fast.models.backbones.list_backbones`) or any module
            that maps [B, C, h, w] to [B, dim].
        dim: number of features of the backbone. Default: the module's int attribute
            ``num_features`` or ``dim``.
        checkpoint_glimpses: see :class:`GlimpseNetwork`; the gradients are the same bit for bit.
            Not part of the config.

    Raises:
        ValueError: the name is unknown, or the backbone's dim cannot be found.

    Source: paper, sections 3.1 to 3.4.
    """

    gem: Any  # set by from_hparams, for the published training script, which logs from it

    def __init__(
        self,
        config: MGNetConfig,
        backbone: nn.Module | str,
        dim: int | None = None,
        *,
        checkpoint_glimpses: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.checkpoint_glimpses = checkpoint_glimpses
        if isinstance(backbone, str):
            self.backbone_name = backbone
            size = None if config.glimpse_size is None else config.glimpse_shape(0)
            backbone = create_backbone(backbone, config.in_chans, config.stem_pool, size)
        self.dim = backbone_dim(backbone, dim)
        fused_dim = self.dim + POSITION_DIM
        self.backbone = backbone
        self.feat_fusion = FeatureFusion(fused_dim)
        self.loc_network = LocalizationNetwork(fused_dim, config.scale_range, config.gradient_scale)
        self.global_fc = Classifier(fused_dim, config.num_classes)
        self.glimpse_fc = (
            Classifier(self.dim, config.num_classes) if config.has_glimpse_head else None
        )

    def forward(self, images: Tensor, *, num_glimpses: int | None = None) -> dict[str, Tensor]:
        """Takes T glimpses of every image.

        Args:
            images: [B, C, H, W], of any size and strides. uint8 is divided by 255 and normalised
                by the config's mean and std while sampling; floating point is used as given.
            num_glimpses: T of this call, which may exceed the config's (the default).

        Returns:
            ``n_logit`` [T, B, K], class logits after each glimpse; ``n_affparam`` [T, B, 3], the
            regions (s, x, y), differentiable from the second on; ``n_feature`` [T, B, dim], the
            backbone's features. In training mode with a glimpse head also ``n_aux_logit``, its
            logits: [T-1, B, K] of glimpses 2..T, or [T, B, K] with ``glimpse_loss="paper"``; left
            out if that is none.

            Under autocast only the backbone runs in the lower precision: regions, fusion and
            heads keep that of their parameters.

        Raises:
            TypeError: ``images`` is not a tensor, or has a dtype that no image has.
            ValueError: ``images`` has the wrong shape, or ``num_glimpses`` is below 1.
        """
        steps = self.checked_steps(num_glimpses)
        self.check_images(images)
        memory = FusionMemory()
        without_first = self._hidden_firsts(images)
        n_logit, n_affparam, n_feature = [], [], []

        glimpse, region = self.first_glimpse(images)
        for step in range(steps):
            feature = self.feature(glimpse)
            with without_autocast(images.device.type):
                feature = feature.to(self.loc_network.fc.weight.dtype)
                fused = self.fuse(feature, region, memory, without_first)
                n_logit.append(self.global_fc(fused))
                n_affparam.append(region)
                n_feature.append(feature)
                if step + 1 < steps:
                    glimpse, region = self.next_glimpse(images, fused)

        result = {
            "n_logit": torch.stack(n_logit),
            "n_affparam": torch.stack(n_affparam),
            "n_feature": torch.stack(n_feature),
        }
        if self.training and self.glimpse_fc is not None:
            result |= self._glimpse_logits(self.glimpse_fc, result["n_feature"])
        return result

    def first_glimpse(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The glimpse of the whole image, [B, C, h, w], and its region (1, 0, 0), [B, 3]."""
        dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
        region = torch.eye(1, POSITION_DIM, dtype=dtype, device=images.device)
        region = region.repeat(images.shape[0], 1)
        return self.glimpse_gen(images, region, is_whole_image=True), region

    def fuse(
        self,
        feature: Tensor,
        region: Tensor,
        memory: FusionMemory,
        without_first: Tensor | None = None,
    ) -> Tensor:
        """Adds a glimpse to ``memory`` and returns the fused state F_t, [B, D].

        The region enters as three raw numbers beside the feature, without a gradient. Rows of
        ``without_first``, bool [B], ignore the first glimpse if there are others.
        """
        token = torch.cat([feature, region.detach().to(feature.dtype)], dim=1)
        fused: Tensor = self.feat_fusion(token, memory, without_first)
        return fused

    def next_glimpse(self, images: Tensor, fused: Tensor) -> tuple[Tensor, Tensor]:
        """The glimpse [B, C, h, w] that the state ``fused`` [B, D] asks for; its region [B, 3]."""
        glimpse, region = self.loc_network(
            images, fused, self.glimpse_shape(images), **self.sampling_options(images)
        )
        return glimpse, region

    def glimpse_gen(
        self, images: Tensor, region: Tensor, *, is_whole_image: bool = False
    ) -> Tensor:
        """Glimpses [B, C, h, w] of ``images`` at ``region`` [B, 3] = (s, x, y).

        With ``is_whole_image`` every region must be (1, 0, 0): a glimpse of the image's own size
        is then the image itself, without sampling.
        """
        if is_whole_image and self.glimpse_shape(images) == tuple(images.shape[-2:]):
            return self.as_glimpse(images)
        return self.sample(images, region)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of everything but the backbone."""
        return self.loc_network.fc.weight.dtype

    @property
    def localization(self) -> Localization:
        """The localization layer beside the class head; both take F_t."""
        return Localization(
            self.loc_network,
            self.loc_network.fc,
            self.global_fc,
            (self.backbone, self.feat_fusion),
        )

    def looks_within(self, steps: int) -> tuple[int, ...]:
        """One look a step; its own forward pass may take more steps than the config's."""
        return (1,) * steps

    def start(self, sizes: Tensor) -> State:
        """(next region [B, 3], tokens [B, T, D], tokens so far int64 [B], F_t [B, D])."""
        count, weight = len(sizes), self.loc_network.fc.weight
        width = weight.shape[1]
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        return (
            torch.eye(1, POSITION_DIM, dtype=dtype, device=weight.device).repeat(count, 1),
            weight.new_zeros(count, self.config.num_glimpses, width),
            torch.zeros(count, dtype=torch.int64, device=weight.device),
            weight.new_zeros(count, width),
        )

    def next_looks(self, state: State) -> Looks:
        region = state[0]
        return Looks(region, torch.arange(len(region), device=region.device))

    def take_in(self, state: State, features: Tensor) -> State:
        region, tokens, length, _ = state
        token = torch.cat([features, region.detach().to(features.dtype)], dim=1)
        fused, tokens = self.feat_fusion.fuse_rows(token, tokens, length)
        return self.loc_network.region(fused), tokens, length + 1, fused

    def answer(self, state: State) -> Tensor:
        logits: Tensor = self.global_fc(state[3])
        return logits

    @property
    def fused_step(self) -> FusedStep:
        return FusedStep(
            self.feat_fusion.mha,
            self.feat_fusion.norm,
            self.global_fc.fc,
            self.loc_network.fc,
            self.loc_network.scale_range,
        )

    def objective(self, *, label_smoothing: float = 0.0, size_weight: float = 0.0) -> Objective:
        """The paper's loss with the config's ``alpha`` and smallest scale."""
        return Objective(
            alpha=self.config.alpha,
            size_weight=size_weight,
            min_scale=self.config.scale_range[0],
            label_smoothing=label_smoothing,
        )

    def published_multiply_adds(self, steps: int, convention: str) -> int:
        r"""With D = dim + 3: the linear layers of fusion, localization and class head.

        :math:`4 D^2 T (T + 1) / 2 + T (D K + 3 D)`; "cached" has :math:`4 D^2 T` in the first
        place; "table3" adds :math:`\sum_t 2 t^2 D + 5 t D` for attention and layer norm.
        """
        dim = self.dim + POSITION_DIM
        triangle = steps * (steps + 1) // 2
        total = 4 * dim**2 * (steps if convention == "cached" else triangle)
        total += steps * (dim * self.config.num_classes + POSITION_DIM * dim)
        if convention == "table3":
            total += sum(2 * t**2 * dim + 5 * t * dim for t in range(1, steps + 1))
        return total

    def extra_repr(self) -> str:
        return f"num_glimpses={self.config.num_glimpses}, glimpse_size={self.config.glimpse_size}"

    def _hidden_firsts(self, images: Tensor) -> Tensor | None:
        if not (self.training and self.hidden_first_share):
            return None
        return torch.rand(len(images), device=images.device) < self.hidden_first_share

    def _glimpse_logits(self, head: nn.Module, n_feature: Tensor) -> dict[str, Tensor]:
        classified = n_feature if self.config.glimpse_loss == "paper" else n_feature[1:]
        if classified.shape[0] == 0:
            return {}
        with without_autocast(n_feature.device.type):
            return {"n_aux_logit": head(classified)}
