"""The Multi-Glimpse Network: the way of an image from its first glimpse to its label."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from ... import functional
from ...ops.arguments import normalization
from ..backbones.activation_checkpoint import checkpointed
from ..backbones.by_name import backbone_dim, create_backbone
from ..backbones.precision import full_precision, glimpse_memory_format
from .classifier import Classifier
from .config import MGNetConfig
from .fusion import FeatureFusion, FusionMemory
from .localization import LocalizationNetwork

POSITION_DIM = 3  # a region is the three numbers (s, x, y)


class MGNet(nn.Module):
    r"""Classifies an image by T small glimpses, each placed by what the earlier ones showed.

    For t = 1..T, with the region :math:`a_1 = (1, 0, 0)`, the whole image::

        x_t     = glimpse(image, a_t)                  # sample a small image of region a_t
        h_t     = backbone(x_t)                        # [B, dim]
        F_t     = fuse([h_1, a_1], ..., [h_t, a_t])    # [B, D], D = dim + 3, a_j without gradient
        logits  = global_fc(F_t)                       # [B, K]
        a_{t+1} = locate(F_t)                          # [B, 3]

    The feed-forward twin (FF-Net) is the case T = 1 with glimpses of the image's own size.

    Args:
        config: everything but the backbone.
        backbone: a name (one of :func:`mgnet_fast.models.backbones.list_backbones`) or any module
            that maps [B, C, h, w] to [B, dim].
        dim: features of the backbone; found by itself for a name and for a module with an int
            attribute ``num_features`` or ``dim``.
        checkpoint_glimpses: in training, keep of each glimpse only the small image and its
            feature, and run the backbone once more in the backward pass: the same gradients, bit
            for bit, in less memory and more time. An attribute that may be changed at any time; no
            part of the config.

    Raises:
        ValueError: the name is unknown, or the backbone's dim cannot be found.

    Source: paper, sections 3.1 to 3.4.
    """

    gem: Any  # only for the published training script, which logs from it: see from_hparams

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
        self.backbone_name: str | None = None
        if isinstance(backbone, str):
            self.backbone_name = backbone
            backbone = create_backbone(backbone, config.in_chans, config.stem_pool)
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
        """Looks at ``images`` glimpse by glimpse.

        Args:
            images: [B, C, H, W], any size and layout. uint8 is divided by 255 and normalised by
                the config's mean and std while sampling; floating point is taken as it is.
            num_glimpses: T of this call (default: the config's).

        Returns:
            ``n_logit`` [T, B, K], the class logits after each glimpse; ``n_affparam`` [T, B, 3],
            the regions (s, x, y) looked at, differentiable from the second on; ``n_feature``
            [T, B, dim], the backbone's features. In training mode with a glimpse head also
            ``n_aux_logit``: [T-1, B, K], the glimpse head's logits of glimpses 2..T, or [T, B, K]
            of all with ``glimpse_loss="paper"``; left out if there is no such glimpse.

            Under autocast only the backbone runs in the lower precision: regions, fusion and
            heads keep the precision of their parameters.

        Raises:
            ValueError: ``images`` has the wrong shape or ``num_glimpses`` is below 1.
            TypeError: ``images`` has a dtype that no image has.
        """
        steps = self._checked_steps(num_glimpses)
        self._check_images(images)
        memory = FusionMemory()
        n_logit, n_affparam, n_feature = [], [], []

        glimpse, region = self.first_glimpse(images)
        for step in range(steps):
            feature = self.feature(glimpse)
            with full_precision(images.device.type):
                feature = feature.to(self.loc_network.fc.weight.dtype)
                fused = self.fuse(feature, region, memory)
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
        """The whole image made small, [B, C, h, w], and its region (1, 0, 0), [B, 3]."""
        dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
        region = torch.eye(1, POSITION_DIM, dtype=dtype, device=images.device)
        region = region.repeat(images.shape[0], 1)
        return self.glimpse_gen(images, region, is_whole_image=True), region

    def feature(self, glimpse: Tensor) -> Tensor:
        """The backbone's features [B, dim] of glimpses [B, C, h, w]."""
        if self.checkpoint_glimpses and self.training and torch.is_grad_enabled():
            return checkpointed(self.backbone, glimpse)
        features: Tensor = self.backbone(glimpse)
        return features

    def fuse(self, feature: Tensor, region: Tensor, memory: FusionMemory) -> Tensor:
        """Adds a glimpse to ``memory`` and returns the fused state F_t, [B, D].

        The region enters as three raw numbers beside the feature, without a gradient.
        """
        token = torch.cat([feature, region.detach().to(feature.dtype)], dim=1)
        fused: Tensor = self.feat_fusion(token, memory)
        return fused

    def next_glimpse(self, images: Tensor, fused: Tensor) -> tuple[Tensor, Tensor]:
        """The glimpse [B, C, h, w] that the state ``fused`` [B, D] asks for; its region [B, 3]."""
        glimpse, region = self.loc_network(
            images, fused, self.glimpse_shape(images), **self._sampling_options(images)
        )
        return glimpse, region

    def glimpse_gen(
        self, images: Tensor, region: Tensor, *, is_whole_image: bool = False
    ) -> Tensor:
        """Glimpses [B, C, h, w] of ``images`` at ``region`` [B, 3] = (s, x, y).

        ``is_whole_image`` promises that every region is (1, 0, 0): a glimpse of the image's own
        size is then the image itself, and nothing is sampled.
        """
        size = self.glimpse_shape(images)
        options = self._sampling_options(images)
        if is_whole_image and size == tuple(images.shape[-2:]):
            return _as_glimpse(images, **options)
        return functional.glimpse(images, region, size, **options)

    def glimpse_shape(self, images: Tensor) -> tuple[int, int]:
        """Height and width of the glimpses of ``images`` [B, C, H, W]."""
        height, width = images.shape[-2:]
        return self.config.glimpse_shape((height, width))

    @classmethod
    def from_hparams(cls, hparams: Any, backbone: nn.Module, dim: int) -> MGNet:
        """The network from the published code's own constructor arguments.

        Args:
            hparams: a namespace or mapping with at least ``num_class``, ``n_iter`` and ``scale``.
            backbone: maps [B, C, h, w] to [B, dim].
            dim: features of the backbone.

        Raises:
            ValueError: a name is missing, or asks for an option that this package does not have.
        """
        from ..files.published_code import network_from_hparams

        return network_from_hparams(hparams, backbone, dim)

    @classmethod
    def from_reference(cls, module: nn.Module) -> MGNet:
        """Takes over a live model of the published code: its backbone module and its parameters.

        Parameters are shared, not copied, so an optimiser built on them goes on working.

        Raises:
            ValueError: ``module`` is no such model, or uses an option that this package has not.
        """
        from ..files.published_code import network_from_reference

        return network_from_reference(module)

    def save_pretrained(self, directory: str | os.PathLike[str], **options: Any) -> str | None:
        """Writes ``model.safetensors``, ``config.json`` and a model card for Hugging Face's hub.

        Args:
            directory: made if it does not exist.
            **options: of huggingface_hub's ``ModelHubMixin.save_pretrained``: ``push_to_hub=True``
                and ``repo_id`` upload the folder, for which one must be logged in.

        Returns:
            The address of the upload, None without one.

        Raises:
            ImportError: huggingface_hub is not installed.
        """
        from ..files.hub import save_pretrained

        return save_pretrained(self, directory, **options)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        backbone: nn.Module | str | None = None,
        dim: int | None = None,
        **options: Any,
    ) -> MGNet:
        """The network in a folder of :meth:`save_pretrained`, or on Hugging Face's hub.

        Args:
            source: a folder, which needs no network; or ``OWNER/NAME``, which is downloaded, or
                taken from the cache alone with ``HF_HUB_OFFLINE=1``.
            backbone: for a network whose backbone has no name in this package: the module.
            dim: its number of features, where it does not say so itself.
            **options: of huggingface_hub's ``ModelHubMixin.from_pretrained``, such as ``revision``,
                ``cache_dir``, ``token``, ``local_files_only``.

        Returns:
            The network on the CPU, in evaluation mode.

        Raises:
            ImportError: huggingface_hub is not installed.
            FileNotFoundError: there is no such folder, or it holds no network.
            ValueError: the files do not fit each other.
        """
        from ..files.hub import from_pretrained

        return from_pretrained(source, backbone=backbone, dim=dim, **options)

    def extra_repr(self) -> str:
        return f"num_glimpses={self.config.num_glimpses}, glimpse_size={self.config.glimpse_size}"

    def _glimpse_logits(self, head: nn.Module, n_feature: Tensor) -> dict[str, Tensor]:
        classified = n_feature if self.config.glimpse_loss == "paper" else n_feature[1:]
        if classified.shape[0] == 0:
            return {}
        with full_precision(n_feature.device.type):
            return {"n_aux_logit": head(classified)}

    def _sampling_options(self, images: Tensor) -> dict[str, Any]:
        is_bytes = images.dtype == torch.uint8
        return {
            "mean": self.config.mean if is_bytes else None,
            "std": self.config.std if is_bytes else None,
            "dtype": self.loc_network.fc.weight.dtype,
            "memory_format": glimpse_memory_format(self.backbone),
        }

    def _checked_steps(self, num_glimpses: int | None) -> int:
        if num_glimpses is None:
            return self.config.num_glimpses
        if not isinstance(num_glimpses, int) or num_glimpses < 1:
            raise ValueError(f"num_glimpses must be an int of at least 1, got {num_glimpses!r}")
        return num_glimpses

    def _check_images(self, images: Tensor) -> None:
        if images.dim() != 4 or images.shape[1] != self.config.in_chans:
            raise ValueError(
                f"images must have shape [B, {self.config.in_chans}, H, W], "
                f"got {list(images.shape)}"
            )
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise TypeError(f"images must be uint8 or floating point, got {images.dtype}")


def _as_glimpse(
    images: Tensor,
    *,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
) -> Tensor:
    """The image itself as a glimpse: converted and normalised, not sampled."""
    rows = normalization(images, mean, std)
    if rows is not None:
        real = torch.promote_types(dtype, torch.float32)
        scale, bias = rows.to(real).view(2, 1, -1, 1, 1)
        images = torch.addcmul(bias, images.to(real), scale)
    return images.to(dtype).contiguous(memory_format=memory_format)
