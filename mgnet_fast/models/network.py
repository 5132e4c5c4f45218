"""The protocol of a glimpse network: what the engine, training and evaluation build on."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .. import functional
from ..ops.arguments import normalization
from ..ops.autocast import without_autocast
from .backbones.activation_checkpoint import checkpointed
from .backbones.precision import glimpse_memory_format
from .objective import LossFunction, MeanCrossEntropy


class HasDtype(Protocol):
    """Images in any form: a tensor, a pool, files."""

    @property
    def dtype(self) -> torch.dtype: ...


class NetworkConfig(Protocol):
    """The numbers that every glimpse network has. A config is a dataclass and may hold more.

    Attributes:
        num_classes: K, number of classes.
        in_chans: C, channels of the images.
        num_glimpses: T, number of steps.
        mean, std: per channel, in units of [0, 1]; applied to uint8 images only. None: uint8
            images are only divided by 255.
    """

    num_classes: int
    in_chans: int
    num_glimpses: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    def glimpse_shape(self, image_size: int | tuple[int, int]) -> tuple[int, int]:
        """Height and width of a glimpse, in pixels, of an image of ``image_size`` (H, W)."""


def has_own_glimpse_size(config: NetworkConfig) -> bool:
    """Whether glimpses have one size for images of all sizes."""
    return getattr(config, "glimpse_size", 0) is not None


class Looks(NamedTuple):
    """The regions to look at in one step.

    Attributes:
        region (Tensor[N, 3] or Tensor[N, 4]): (s, x, y) or (s_x, s_y, x, y), float32 or float64,
            see :func:`mgnet_fast.glimpse`. A network uses the same width at every step.
        row (Tensor[N]): int64, ascending: the row of the state, and so the image, that each
            region belongs to.
    """

    region: Tensor
    row: Tensor


State = tuple[Tensor, ...]
"""What a network knows of B images: every tensor has one row per image, [B, ...].

Only the network interprets a state. Callers may select, reorder and concatenate rows, provided
that they treat every tensor alike. Methods return new states and never write into the given one.
"""


class Localization(NamedTuple):
    """The modules through which the gradient of a loss reaches the regions.

    Attributes:
        layer: has ``gradient_scale`` (float) and ``gradient_factor`` (0-d tensor or None), by
            which it multiplies the gradient between the regions and its own parameters.
        head: the module in ``layer`` that takes the states [B, D].
        classifier: the module that takes the same states and returns class logits.
        shared: the modules with the parameters that localization and classification share.
    """

    layer: nn.Module
    head: nn.Module
    classifier: nn.Module
    shared: tuple[nn.Module, ...]


class FusedStep(NamedTuple):
    """The modules of a step that :class:`mgnet_fast.ops.fusion.fusion_weights.StepWeights` takes:
    one-head attention over the tokens of an image, LayerNorm and ReLU, then two linear layers."""

    attention: nn.MultiheadAttention
    norm: nn.LayerNorm
    class_head: nn.Linear
    localization: nn.Linear
    scale_range: tuple[float, float]


class GlimpseNetwork(nn.Module, ABC):
    r"""Base class of networks that classify an image by looking at regions of it, step by step.

    With t = 1..T steps and :math:`k_t` = ``looks[t - 1]`` looks per image at step t::

        state           = start(sizes)                          # nothing seen yet
        region, row     = next_looks(state)                     # [B * k_t, 3 or 4], [B * k_t]
        feature         = backbone(glimpse(images[row], region))  # [B * k_t, dim]
        state           = take_in(state, feature)
        logits          = answer(state)                         # [B, K]

    A member sets ``config`` and ``backbone`` and implements ``start``, ``next_looks``,
    ``take_in`` and ``answer``. The base class checks inputs, samples the glimpses, runs the
    backbone and collects the outputs. Everything that builds on the protocol (evaluation,
    attacks, pictures, training, cost counts) then works for the member.

    The methods run outside autocast: only the backbone runs in the lower precision. Rows of one
    state may be at different steps, as they are in a stream of images, so a member keeps the
    number of the step in the state if it needs it.

    Example: look at the whole image, then at its centre; average the features. ::

        >>> import torch
        >>> from dataclasses import dataclass
        >>> from mgnet_fast import GlimpseNetwork
        >>> from mgnet_fast.models.network import Looks
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     num_classes: int = 10
        ...     in_chans: int = 1
        ...     num_glimpses: int = 2
        ...     mean: tuple[float, ...] | None = None
        ...     std: tuple[float, ...] | None = None
        ...     def glimpse_shape(self, image_size):
        ...         return 16, 16
        >>> class CentreNet(GlimpseNetwork):
        ...     def __init__(self, config):
        ...         super().__init__()
        ...         self.config = config
        ...         self.backbone = torch.nn.Sequential(
        ...             torch.nn.Conv2d(config.in_chans, 8, 5),
        ...             torch.nn.AdaptiveAvgPool2d(1),
        ...             torch.nn.Flatten(),
        ...         )
        ...         self.head = torch.nn.Linear(8, config.num_classes)
        ...     def start(self, sizes):  # (sum of the features, step) of each image
        ...         weight = self.head.weight
        ...         return weight.new_zeros(len(sizes), 8), weight.new_zeros(len(sizes))
        ...     def next_looks(self, state):
        ...         total, step = state
        ...         scale = torch.where(step == 0, 1.0, 0.5)
        ...         region = torch.stack([scale, 0 * scale, 0 * scale], dim=1)
        ...         return Looks(region, torch.arange(len(step), device=step.device))
        ...     def take_in(self, state, features):
        ...         total, step = state
        ...         return total + features, step + 1
        ...     def answer(self, state):
        ...         total, step = state
        ...         return self.head(total / step.clamp(min=1)[:, None])
        >>> output = CentreNet(Config())(torch.rand(3, 1, 28, 28))
        >>> [list(output[name].shape) for name in ("n_logit", "n_affparam")]
        [[2, 3, 10], [2, 3, 3]]

    Attributes:
        config: see :class:`NetworkConfig`.
        backbone: maps glimpses [N, C, h, w] to features [N, dim].
        checkpoint_glimpses: in training, keep only the glimpse and its feature for the backward
            pass and run the backbone a second time there: the same gradients in less memory and
            more time. May be changed at any time.
        hidden_first_share: in training, share of the images in [0, 1] whose states after the first
            are computed without the first glimpse, drawn anew in each pass. May be changed at any
            time. Only MGNet heeds it.
        backbone_name: by which the package makes the backbone again; None if it has no name.
    """

    config: Any
    backbone: nn.Module
    checkpoint_glimpses: bool = False
    hidden_first_share: float = 0.0
    backbone_name: str | None = None

    @property
    def looks(self) -> tuple[int, ...]:
        """Number of looks per image at each step, one entry per step."""
        return (1,) * int(self.config.num_glimpses)

    def looks_within(self, steps: int) -> tuple[int, ...]:
        """``looks`` of a forward pass of so many steps.

        Raises:
            ValueError: the network has fewer steps.
        """
        if steps > len(self.looks):
            raise ValueError(f"num_glimpses must be at most {len(self.looks)}, got {steps}")
        return self.looks[:steps]

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of everything but the backbone, which may have another."""
        heads = [module for name, module in self.named_children() if name != "backbone"]
        own = self.parameters(recurse=False)
        for parameter in chain(own, *(module.parameters() for module in (*heads, self.backbone))):
            if parameter.is_floating_point():
                return parameter.dtype
        return torch.float32

    @property
    def bare_backbone(self) -> nn.Module:
        """The backbone without what a family adds to it, such as attention to its maps."""
        backbone: nn.Module = self.backbone
        return backbone

    @property
    def localization(self) -> Localization | None:
        """The gradient's way to the regions; None if the regions are not learned by gradient."""
        return None

    @abstractmethod
    def start(self, sizes: Tensor) -> State:
        """The state of B images before the first step.

        The first looks must not depend on the sizes: a scheduler asks for them before it knows
        the images.

        Args:
            sizes (Tensor[B, 2]): int64, H and W of each image in pixels, on the network's device.
        """

    @abstractmethod
    def next_looks(self, state: State) -> Looks:
        """The regions to look at next, ``looks[t]`` for each row, where t is the row's step.

        Regions may carry a gradient to the state; the glimpses pass it on.
        """

    def looks_at_step(self, state: State, step: int) -> Looks:
        """:meth:`next_looks` where every row is at the same step, 0..T-1.

        The forward pass asks this one. A network whose numbers of looks differ between steps
        overrides it, so that shapes follow from ``step`` alone: compilers and meta tensors need
        that.
        """
        return self.next_looks(state)

    @abstractmethod
    def take_in(self, state: State, features: Tensor) -> State:
        """The state after one more step of every row.

        Args:
            state: a state of B rows.
            features: [N, dim], in :attr:`dtype`; row n belongs to ``next_looks(state).row[n]``.
        """

    def take_in_at_step(self, state: State, features: Tensor, step: int) -> State:
        """:meth:`take_in` where every row is at the same step, see :meth:`looks_at_step`."""
        return self.take_in(state, features)

    @abstractmethod
    def answer(self, state: State) -> Tensor:
        """Class logits [B, K] after the steps so far, in :attr:`dtype`; differentiable."""

    def may_stop(self, state: State) -> Tensor:
        """Which images an exit rule may let go after this step: bool [B]. Default: all."""
        return torch.ones(len(state[0]), dtype=torch.bool, device=state[0].device)

    @property
    def fused_step(self) -> FusedStep | None:
        """The modules behind the backbone, if a step is one of MGNet's: the engine then runs all of
        them as one op. None: the engine calls the methods above."""
        return None

    def objective(self, *, label_smoothing: float = 0.0, size_weight: float = 0.0) -> LossFunction:
        """What training minimises. Default: cross-entropy averaged over all steps.

        Args:
            label_smoothing: of the cross-entropies, in [0, 1).
            size_weight: weight of a penalty on the size of the last look, for networks that
                choose the size. Others ignore it, as the default does.

        Returns:
            A function of the output of the forward pass and labels int64 [B]; it returns 0-d
            tensors: "loss" and its parts by name.
        """
        return MeanCrossEntropy(label_smoothing)

    def published_multiply_adds(self, steps: int, convention: str) -> int | None:
        """Multiply-adds of one image outside backbone and sampling, as the paper counts them.

        Args:
            steps: T.
            convention: see :func:`mgnet_fast.count_multiply_adds`.

        Returns:
            None if no paper counts them: the operators that run are counted instead.
        """
        return None

    def forward(self, images: Tensor, *, num_glimpses: int | None = None) -> dict[str, Tensor]:
        """Runs all steps on ``images``.

        Args:
            images: [B, C, H, W], of any strides. uint8 is divided by 255 and normalised by the
                config's mean and std while sampling; floating point is used as given.
            num_glimpses: number of steps of this call, at most the config's (the default).

        Returns:
            ``n_logit`` [T, B, K], class logits after each step; ``n_affparam``
            [sum of ``looks``, B, 3 or 4], the regions in the order of the looks.

        Differentiable in the parameters and in floating-point images.

        Raises:
            TypeError: ``images`` is not a tensor, or has a dtype that no image has.
            ValueError: ``images`` has the wrong shape, or ``num_glimpses`` is out of range.
        """
        steps = self.checked_steps(num_glimpses)
        looks_by_step = self.looks_within(steps)
        self.check_images(images)
        count, device_type = images.shape[0], images.device.type
        n_logit, n_affparam = [], []
        with without_autocast(device_type):
            state = self.start(sizes_of(images))
        for step, looks in enumerate(looks_by_step):
            with without_autocast(device_type):
                region, row = self.looks_at_step(state, step)
                glimpses = self.sample(images, region, row)
            feature = self.feature(glimpses)
            with without_autocast(device_type):
                state = self.take_in_at_step(state, feature.to(self.dtype), step)
                n_logit.append(self.answer(state))
            n_affparam.append(region.view(count, looks, region.shape[1]).transpose(0, 1))
        return {"n_logit": torch.stack(n_logit), "n_affparam": torch.cat(n_affparam)}

    def feature(self, glimpse: Tensor) -> Tensor:
        """The backbone's features [N, dim] of glimpses [N, C, h, w]."""
        if self.checkpoint_glimpses and self.training and torch.is_grad_enabled():
            return checkpointed(self.backbone, glimpse)
        features: Tensor = self.backbone(glimpse)
        return features

    def sample(self, images: Tensor, region: Tensor, row: Tensor | None = None) -> Tensor:
        """Glimpses [N, C, h, w] of ``images`` [B, C, H, W] at ``region`` [N, 3 or 4].

        Args:
            images: as in :meth:`forward`.
            region: see :class:`Looks`.
            row: int64 [N], the image of each region. Default: N = B, one each.

        Returns:
            Glimpses in the dtype of the network and the memory format of the backbone's weights.
        """
        size = self.glimpse_shape(images)
        options = self.sampling_options(images)
        return functional.glimpse(images, region, size, image_index=row, **options)

    @property
    def antialias(self) -> bool:
        """Whether glimpses average the pixels between their samples: the config's ``antialias``,
        False for a config without one. See :func:`mgnet_fast.glimpse`."""
        return bool(getattr(self.config, "antialias", False))

    def as_glimpse(self, images: Tensor) -> Tensor:
        """The images themselves as glimpses: converted and normalised, but not sampled."""
        options = self.sampling_options(images)
        rows = normalization(images, options["mean"], options["std"])
        if rows is not None:
            real = torch.promote_types(options["dtype"], torch.float32)
            scale, bias = rows.to(real).view(2, 1, -1, 1, 1)
            images = torch.addcmul(bias, images.to(real), scale)
        return images.to(options["dtype"]).contiguous(memory_format=options["memory_format"])

    def glimpse_shape(self, images: Tensor) -> tuple[int, int]:
        """Height and width of the glimpses of ``images`` [B, C, H, W], in pixels."""
        height, width = images.shape[-2:]
        shape: tuple[int, int] = self.config.glimpse_shape((height, width))
        return shape

    def sampling_options(self, images: HasDtype) -> dict[str, Any]:
        """Arguments of :func:`mgnet_fast.glimpse` that follow from images and network."""
        is_bytes = images.dtype == torch.uint8
        return {
            "mean": self.config.mean if is_bytes else None,
            "std": self.config.std if is_bytes else None,
            "dtype": self.dtype,
            "memory_format": glimpse_memory_format(self.backbone),
            "antialias": self.antialias,
        }

    def checked_steps(self, num_glimpses: int | None) -> int:
        """``num_glimpses``, or the config's if it is None.

        Raises:
            ValueError: it is not an int of at least 1.
        """
        if num_glimpses is None:
            return int(self.config.num_glimpses)
        if not isinstance(num_glimpses, int) or isinstance(num_glimpses, bool) or num_glimpses < 1:
            raise ValueError(f"num_glimpses must be an int of at least 1, got {num_glimpses!r}")
        return num_glimpses

    def check_images(self, images: Tensor) -> None:
        """Raises TypeError or ValueError if the network cannot take ``images``."""
        wanted = f"[B, {self.config.in_chans}, H, W]"
        if not isinstance(images, Tensor):
            raise TypeError(f"images must be a Tensor {wanted}, got {type(images).__name__}")
        if images.dim() != 4 or images.shape[1] != self.config.in_chans:
            raise ValueError(f"images must have shape {wanted}, got {list(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise TypeError(f"images must be uint8 or floating point, got {images.dtype}")


def sizes_of(images: Tensor) -> Tensor:
    """H and W of each of ``images`` [B, C, H, W] as :meth:`GlimpseNetwork.start` takes them."""
    height, width = images.shape[-2:]
    # Not len(images), which exporters would take for a constant.
    sides = [torch.full((images.shape[0],), side, device=images.device) for side in (height, width)]
    return torch.stack(sides, dim=1)


def check_network(model: object) -> None:
    """Raises TypeError if ``model`` is not a :class:`GlimpseNetwork`."""
    if not isinstance(model, GlimpseNetwork):
        raise TypeError(f"model must be a GlimpseNetwork, got {type(model).__name__}")


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every submodule has the mode that it had before."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, is_training in modes:
            each.training = is_training


def config_values(config: NetworkConfig) -> dict[str, Any]:
    """The fields of a config, which must be a dataclass, as plain values."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config must be a dataclass, got {type(config).__name__}")
    return dataclasses.asdict(config)
