"""What makes a network a glimpse network: all that the engine and the commands ask of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .. import functional


class NetworkConfig(Protocol):
    """The numbers that every glimpse network has; its own config may hold more."""

    num_classes: int
    in_chans: int
    num_glimpses: int  # steps
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    def glimpse_shape(self, image_size: int | tuple[int, int]) -> tuple[int, int]:
        """Height and width of a glimpse of an image of ``image_size``."""


class Looks(NamedTuple):
    """Regions to look at in one step.

    Attributes:
        region (Tensor[N, 3] or Tensor[N, 4]): (s, x, y) or (s_x, s_y, x, y), see
            :func:`mgnet_fast.glimpse`.
        row (Tensor[N]): int64, the row of the state, hence the image, of each region; ascending.
    """

    region: Tensor
    row: Tensor


# One row an image in every tensor. What else it holds is the network's own business: the engine
# moves rows about, and looks into none.
State = tuple[Tensor, ...]


class GlimpseNetwork(nn.Module, ABC):
    """Classifies an image by looking at regions of it, step by step.

    A step takes ``looks[t]`` glimpses of every image. Rows of a state may be at different steps.

    Attributes:
        config: see :class:`NetworkConfig`.
        backbone: maps glimpses [N, C, h, w] to features [N, dim].
    """

    config: Any
    backbone: nn.Module

    @property
    def looks(self) -> tuple[int, ...]:
        """Glimpses of an image at each step; one entry a step."""
        return (1,) * self.config.num_glimpses

    @abstractmethod
    def start(self, count: int) -> State:
        """The state of ``count`` images that nothing has been seen of."""

    @abstractmethod
    def next_looks(self, state: State) -> Looks:
        """The regions to look at next: as many for each row as ``looks`` says of its step."""

    @abstractmethod
    def take_in(self, state: State, features: Tensor) -> State:
        """The state after a step, from the backbone's features [N, dim] of its looks."""

    @abstractmethod
    def answer(self, state: State) -> Tensor:
        """Class logits [B, K] so far."""

    def may_stop(self, state: State) -> Tensor:
        """Which images may leave before their last step if an exit rule says so: bool [B]."""
        return torch.ones(len(state[0]), dtype=torch.bool, device=state[0].device)

    def forward(self, images: Tensor, *, num_glimpses: int | None = None) -> dict[str, Tensor]:
        """All steps of ``images`` [B, C, H, W].

        Returns:
            ``n_logit`` [T, B, K], the class logits after each step, and ``n_affparam``
            [sum of looks, B, 3 or 4], the regions looked at, in order.
        """
        steps = self.config.num_glimpses if num_glimpses is None else num_glimpses
        state = self.start(len(images))
        n_logit, n_affparam = [], []
        for _ in range(steps):
            region, row = self.next_looks(state)
            size = self.config.glimpse_shape((images.shape[-2], images.shape[-1]))
            glimpses = functional.glimpse(images, region, size, image_index=row)
            state = self.take_in(state, self.backbone(glimpses))
            n_logit.append(self.answer(state))
            n_affparam.append(region.unflatten(0, (len(images), -1)).transpose(0, 1))
        return {"n_logit": torch.stack(n_logit), "n_affparam": torch.cat(n_affparam)}
