"""An exit rule that has learned where further glimpses help."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .exits import ExitRule

CLASSES = 5  # most likely classes that a head reads
_LOWEST_LOG = -20.0

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, repr=False)
class ExitHead:
    """Two linear layers with a ReLU between, as plain numbers, so that a rule can be stored.

    The input is :func:`exit_features`; the outputs are the logits of "looking on makes the answer
    worse", "changes nothing" and "makes it better".

    Attributes:
        hidden_weight, hidden_bias: [H, G + 5] and [H] for networks of G + 1 glimpses.
        out_weight, out_bias: [3, H] and [3].

    Raises:
        ValueError: the shapes do not fit together.
    """

    hidden_weight: Rows
    hidden_bias: tuple[float, ...]
    out_weight: Rows
    out_bias: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("hidden_weight", "out_weight"):
            rows = tuple(tuple(map(float, row)) for row in getattr(self, name))
            object.__setattr__(self, name, rows)
        for name in ("hidden_bias", "out_bias"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        hidden = len(self.hidden_bias)
        widths = {len(row) for row in self.hidden_weight}
        fits = hidden > 0 and len(self.hidden_weight) == hidden and len(widths) == 1
        fits &= [len(row) for row in self.out_weight] == [hidden] * 3 and len(self.out_bias) == 3
        if not fits or min(widths) <= CLASSES:
            raise ValueError(
                f"an exit head must have weights [H, T - 1 + {CLASSES}], [H], [3, H], [3], got "
                f"{len(self.hidden_weight)} rows of {sorted(widths)}, {hidden}, "
                f"{[len(row) for row in self.out_weight]}, {len(self.out_bias)}"
            )

    def __repr__(self) -> str:
        """Short, but different for different numbers."""
        numbers = repr([*vars(self).values()]).encode()
        digest = hashlib.sha256(numbers).hexdigest()[:12]
        return f"ExitHead({self.num_glimpses} glimpses, {digest})"

    @property
    def num_glimpses(self) -> int:
        """The number of glimpses after which it expects the last answer."""
        return len(self.hidden_weight[0]) - CLASSES + 1


@dataclass(frozen=True)
class LearnedExit(ExitRule):
    r"""Leave when looking on is expected to gain at most ``threshold``, in [-1, 1].

    .. math:: gain = P(\text{wrong now, right at the end}) - P(\text{right now, wrong at the end})

    A small head estimates it from the number of the glimpse and the probabilities of the five most
    likely classes; :func:`mgnet_fast.evaluation.learn_exit` makes one. No image reaches a threshold
    of minus infinity.

    Attributes:
        head: gives the probabilities.
        max_glimpses: at most as many as the head was made for, which is the default.

    Raises:
        ValueError: also for a temperature other than 1: the head reads the logits as they are.
        TypeError: also for a head that is none.
    """

    uses_temperature: ClassVar[bool] = False
    _lowest: ClassVar[float] = -1.0
    _highest: ClassVar[float] = 1.0
    _never: ClassVar[float] = -float("inf")

    threshold: float | tuple[float, ...] = 0.01
    head: ExitHead = field(kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.head, ExitHead):
            raise TypeError(f"head must be an ExitHead, got {type(self.head).__name__}")
        if self.max_glimpses is None:
            object.__setattr__(self, "max_glimpses", self.head.num_glimpses)
        super().__post_init__()
        assert self.max_glimpses is not None
        if self.max_glimpses > self.head.num_glimpses:
            raise ValueError(
                f"max_glimpses must be at most {self.head.num_glimpses}, for which the head was "
                f"made, got {self.max_glimpses}"
            )
        if self.temperature != 1.0:
            raise ValueError(
                "temperature of LearnedExit must be 1: its head reads the logits as they are; got "
                f"{self.temperature}"
            )

    def score(self, logits: Tensor, length: Tensor | None = None) -> Tensor:
        """Minus the expected gain of logits [..., K] after ``length`` glimpses, int64 [...]."""
        if length is None:
            raise TypeError("LearnedExit.score needs length, the number of glimpses of each row")
        return self.prepared(logits.device)(logits, length)

    def prepared(self, device: torch.device | str) -> Callable[[Tensor, Tensor], Tensor]:
        head, steps = self.head, self.head.num_glimpses
        numbers = (head.hidden_weight, head.hidden_bias, head.out_weight, head.out_bias)
        with torch.inference_mode(False):
            hidden, bias, out, out_bias = (
                torch.tensor(each, dtype=torch.float32, device=device) for each in numbers
            )

        def score(logits: Tensor, length: Tensor) -> Tensor:
            features = exit_features(logits, length, steps)
            chances = F.linear(F.linear(features, hidden, bias).relu(), out, out_bias).softmax(-1)
            return chances[..., 0] - chances[..., 2]

        return score

    def bar(self, threshold: float) -> float:
        return -threshold

    def threshold_of(self, score: float) -> float:
        return -score


def exit_features(logits: Tensor, length: Tensor, steps: int) -> Tensor:
    """What a head reads: [..., steps - 1 + 5] in float32.

    The number of the glimpse as a unit vector, then the log-probabilities of the five most likely
    classes in descending order, at least -20, divided by 4. Missing classes count as -20; NaN stays
    NaN.

    Args:
        logits: [..., K].
        length: int64 [...], the number of glimpses so far, 1 to ``steps``.
        steps: T.
    """
    numbers = torch.arange(1, steps, device=logits.device)
    number = (length.unsqueeze(-1) == numbers).float()
    logs = logits.float().log_softmax(-1).clamp_min(_LOWEST_LOG)
    first = logs.topk(min(CLASSES, logs.shape[-1]), dim=-1).values
    first = F.pad(first, (0, CLASSES - first.shape[-1]), value=_LOWEST_LOG)
    return torch.cat([number.expand(*first.shape[:-1], -1), first / 4], dim=-1)
