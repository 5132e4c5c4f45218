"""A third glimpse network, made for tests: the whole image, then its four quarters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mgnet_fast.models.network import GlimpseNetwork, Looks, State
from mgnet_fast.models.stored_config import StoredConfig


@dataclass(frozen=True)
class QuartersConfig(StoredConfig):
    """The numbers of a :class:`FourQuarters`.

    Attributes:
        one_at_a_time: look at one quarter per step, in reading order, instead of at all four.
        with_four_numbers: give regions as (s_x, s_y, x, y) instead of (s, x, y).
    """

    num_classes: int = 10
    in_chans: int = 1
    glimpse_size: int = 14
    mean: tuple[float, ...] | None = (0.13,)
    std: tuple[float, ...] | None = (0.31,)
    one_at_a_time: bool = False
    with_four_numbers: bool = False

    @property
    def num_glimpses(self) -> int:
        return 5 if self.one_at_a_time else 2

    def glimpse_shape(self, image_size: int | tuple[int, int]) -> tuple[int, int]:
        return self.glimpse_size, self.glimpse_size


class FourQuarters(GlimpseNetwork):
    """Averages the features of the looks so far and classifies the average.

    ``looks`` is (1, 4), or (1, 1, 1, 1, 1) with ``one_at_a_time``. The state is (sum of the
    features [B, 8], number of looks taken, int64 [B]).
    """

    width = 8

    def __init__(self, config: QuartersConfig | None = None) -> None:
        super().__init__()
        self.config = QuartersConfig() if config is None else config
        self.backbone = nn.Sequential(
            nn.Conv2d(self.config.in_chans, self.width, 5, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(self.width, self.config.num_classes)

    @property
    def looks(self) -> tuple[int, ...]:
        return (1, 1, 1, 1, 1) if self.config.one_at_a_time else (1, 4)

    def start(self, sizes: Tensor) -> State:
        count, weight = len(sizes), self.head.weight
        return (
            weight.new_zeros(count, self.width),
            torch.zeros(count, dtype=torch.int64, device=weight.device),
        )

    def next_looks(self, state: State) -> Looks:
        return self._looks_of(state, self._row(state, None))

    def looks_at_step(self, state: State, step: int) -> Looks:
        return self._looks_of(state, self._row(state, len(state[1]) * self.looks[step]))

    def take_in(self, state: State, features: Tensor) -> State:
        total, taken = state
        total = total.index_add(0, self._row(state, len(features)), features)
        return total, taken + self._counts(taken)

    def answer(self, state: State) -> Tensor:
        total, taken = state
        logits: Tensor = self.head(total / taken.clamp(min=1)[:, None])
        return logits

    def _counts(self, taken: Tensor) -> Tensor:
        """How often each row looks in its next step."""
        return torch.where(taken == 0, 1, self.looks[-1])

    def _row(self, state: State, count: int | None) -> Tensor:
        """The row of each of the next looks; ``count`` is their number, where that is known."""
        taken = state[1]
        rows = torch.arange(len(taken), device=taken.device)
        return torch.repeat_interleave(rows, self._counts(taken), output_size=count)

    def _looks_of(self, state: State, row: Tensor) -> Looks:
        taken = state[1]
        counts = self._counts(taken)
        first = counts.cumsum(0) - counts
        at = taken[row] + torch.arange(len(row), device=row.device) - first[row]
        is_whole = at == 0
        scale = torch.where(is_whole, 1.0, 0.5)
        x = torch.where(is_whole, 0.0, torch.where(at % 2 == 1, -0.5, 0.5))
        y = torch.where(is_whole, 0.0, torch.where(at <= 2, -0.5, 0.5))
        columns = [scale, scale, x, y] if self.config.with_four_numbers else [scale, x, y]
        return Looks(torch.stack(columns, dim=1), row)
