"""The network of "Learn To Pay Attention"."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...ops.autocast import without_autocast
from ..backbones.activation_checkpoint import checkpointed
from ..backbones.by_name import create_backbone
from ..backbones.preact_resnet import PreActResNet
from ..backbones.vgg import VGG
from ..network import GlimpseNetwork, Looks, State, sizes_of
from ..shared_folder import SharedAsFolder
from .backbone import AttendingBackbone, LevelHeads
from .config import LTPAConfig


class LTPA(SharedAsFolder, GlimpseNetwork):
    r"""Classifies an image by the vectors that attention sums from maps of a CNN.

    With the maps :math:`l^1, ..., l^S` of the CNN and its feature g (:class:`SpatialAttention`)::

        g_s    = attention_s(l^s, g)       # for the last ``levels`` maps
        logits = classifier([g_1, ..., g_S])

    As a glimpse network it takes one step, whose look is the whole image. An image of the config's
    ``glimpse_size``, or any image if there is none, is taken as it is; others are sampled.

    Args:
        config: all numbers but the backbone's.
        backbone: a name ("vgg", "vgg_small", "resnet164" or another ResNet's) or a module that is a
            :class:`mgnet_fast.models.ltpa.backbone.MapNetwork`.

    Attributes:
        backbone: an :class:`AttendingBackbone` around it.

    Raises:
        ValueError: the name is unknown, the backbone has too few maps, ``glimpse_size`` is missing
            or too small for a VGG, or ``attend`` is "after" where no pooling follows the maps.

    Source: Jetley et al., "Learn to pay attention", 2018 (arXiv 1804.02391).
    """

    backbone: AttendingBackbone

    def __init__(
        self, config: LTPAConfig, backbone: nn.Module | str, dim: int | None = None
    ) -> None:
        super().__init__()
        self.config = config
        if isinstance(backbone, str):
            self.backbone_name = backbone
            backbone = _network(backbone, config)
        if dim not in (None, backbone.num_features):
            raise ValueError(f"dim must be {backbone.num_features} for this backbone, got {dim}")
        self.backbone = AttendingBackbone(backbone, config.levels, config.score, config.project)
        self.classifier: nn.Module = (
            nn.Linear(self.backbone.num_features, config.num_classes)
            if config.head == "concat"
            else LevelHeads(self.backbone.dims, config.num_classes)
        )

    def forward(self, images: Tensor, *, num_glimpses: int | None = None) -> dict[str, Any]:
        """Classifies images.

        Args:
            images: [B, C, H, W], of any size and strides. uint8 is divided by 255 and normalised
                by the config's mean and std; floating point is used as given.
            num_glimpses: 1 or None.

        Returns:
            ``n_logit`` [1, B, K], class logits; ``n_affparam`` [1, B, 3], the region of the whole
            image; ``n_feature`` [1, B, D], the attended vectors of all levels side by side;
            ``attention``, a list with the weights [B, h, w] of the positions of each level, the
            last map last. They are positive, sum to 1, and are float32 (float64 in float64).

            Under autocast only the backbone runs in the lower precision.

        Raises:
            TypeError: ``images`` is not a tensor, or has a dtype that no image has.
            ValueError: ``images`` has the wrong shape, or ``num_glimpses`` is not 1.
        """
        self.looks_within(self.checked_steps(num_glimpses))
        self.check_images(images)
        device_type = images.device.type
        with without_autocast(device_type):
            state = self.start(sizes_of(images))
            region, row = self.next_looks(state)
            if self.glimpse_shape(images) == tuple(images.shape[-2:]):
                glimpses = self.as_glimpse(images)
            else:
                glimpses = self.sample(images, region, row)
        if self.checkpoint_glimpses and self.training and torch.is_grad_enabled():
            features, attention = checkpointed(self.backbone, glimpses, self.backbone.attend)
        else:
            features, attention = self.backbone.attend(glimpses)
        with without_autocast(device_type):
            state = self.take_in(state, features.to(self.dtype))
            logits = self.answer(state)
        return {
            "n_logit": logits[None],
            "n_affparam": region[None],
            "n_feature": state[0][None],
            "attention": attention,
        }

    @property
    def bare_backbone(self) -> nn.Module:
        network: nn.Module = self.backbone.network
        return network

    def start(self, sizes: Tensor) -> State:
        """(the attended vectors [B, D],): zeros before the look."""
        weight: Tensor = next(self.classifier.parameters())
        return (weight.new_zeros(sizes.shape[0], self.backbone.num_features),)

    def next_looks(self, state: State) -> Looks:
        count, device = state[0].shape[0], state[0].device
        dtype = torch.float64 if state[0].dtype == torch.float64 else torch.float32
        whole = torch.eye(1, 3, dtype=dtype, device=device).repeat(count, 1)
        return Looks(whole, torch.arange(count, device=device))

    def take_in(self, state: State, features: Tensor) -> State:
        return (features,)

    def answer(self, state: State) -> Tensor:
        logits: Tensor = self.classifier(state[0])
        return logits

    def extra_repr(self) -> str:
        config = self.config
        return f"levels={config.levels}, score={config.score!r}, head={config.head!r}"


def _network(name: str, config: LTPAConfig) -> nn.Module:
    """The backbone of this name, without attention.

    Raises:
        ValueError: it does not fit the config, or gives no maps.
    """
    if name in VGG_NAMES:
        if config.glimpse_size is None:
            raise ValueError(f"glimpse_size must be given for {name}: its last layer depends on it")
        return VGG(
            config.in_chans,
            config.glimpse_shape(0),
            config.widths,
            maps_after_pooling=config.attend == "after",
        )
    if config.attend == "after":
        raise ValueError(f"attend must be 'before' for {name}: no pooling follows its maps")
    if name == CIFAR_RESNET:
        return PreActResNet(164, config.in_chans)
    network = create_backbone(name, config.in_chans, config.stem_pool)
    if not hasattr(network, "maps"):
        raise ValueError(f"backbone {name!r} gives no maps to attend to")
    return network


VGG_NAMES = ("vgg", "vgg_small")
CIFAR_RESNET = "resnet164"
