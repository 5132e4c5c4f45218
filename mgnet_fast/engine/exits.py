"""Exit rules: when an image leaves, from its class logits after a glimpse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

_ROUNDING = 1e-6  # of a float32 probability, which calibration may use as a threshold


@dataclass(frozen=True)
class ExitRule:
    """An image leaves after glimpse t if its score reaches the bar of t, or if t is the last.

    Attributes:
        threshold: one number, or one per glimpse (the last one also applies to later glimpses).
        min_glimpses: no image leaves earlier; 1 or more.
        max_glimpses: every image leaves by then (default: the network's T).
        temperature: divides the logits before the softmax (Guo et al. 2017).

    Logits that contain NaN have the score NaN, which reaches no bar: such an image takes all
    glimpses.

    Raises:
        ValueError: a number is out of range, such as a confidence above 1.
        TypeError: a value is not a number.
    """

    # The range of useful thresholds, and the one that no image reaches.
    _lowest: ClassVar[float] = -math.inf
    _highest: ClassVar[float] = math.inf
    _never: ClassVar[float] = math.inf

    uses_temperature: ClassVar[bool] = True
    """Whether a temperature fitted to the network belongs into the rule."""

    threshold: float | tuple[float, ...]
    min_glimpses: int = 1
    max_glimpses: int | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", _checked_threshold(self.threshold))
        self._check_range()
        for name in ("min_glimpses", "max_glimpses"):
            value = getattr(self, name)
            if name == "max_glimpses" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an int, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.max_glimpses is not None and self.max_glimpses < self.min_glimpses:
            raise ValueError(
                f"max_glimpses must be at least min_glimpses = {self.min_glimpses}, "
                f"got {self.max_glimpses}"
            )
        if not (0.0 < self.temperature < math.inf):
            raise ValueError(f"temperature must be positive and finite, got {self.temperature}")

    def score(self, logits: Tensor, length: Tensor | None = None) -> Tensor:
        """The score [...] of logits [..., K]; higher means more certain.

        ``length``, int64 [...], is the number of glimpses so far, for rules that depend on it.
        """
        raise NotImplementedError

    def prepared(self, device: torch.device | str) -> Callable[[Tensor, Tensor], Tensor]:
        """:meth:`score` for logits on ``device``, with everything it needs already there."""
        return self.score

    def bar(self, threshold: float) -> float:
        """The score that ``threshold`` corresponds to."""
        return threshold

    def threshold_of(self, score: float) -> float:
        """The threshold with the bar ``score``; the inverse of :meth:`bar`."""
        return score

    def allowed(self, threshold: float) -> float:
        """``threshold``, or the one within the range that has the same effect."""
        if self._lowest <= threshold <= self._highest:
            return threshold
        # A bar below all scores lets every image leave, a bar above them none.
        easiest = min(self._lowest, self._highest, key=self.bar)
        return easiest if self.bar(threshold) < self.bar(easiest) else self._never

    def _check_range(self) -> None:
        values = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
        for value in values:
            within = self._lowest <= value <= self._highest + _ROUNDING
            if not within and value != self._never:
                wanted = f"at least {self._lowest:g}"
                if self._highest < math.inf:
                    wanted = f"in [{self._lowest:g}, {self._highest:g}]"
                raise ValueError(
                    f"threshold of {type(self).__name__} must be {wanted}, got {value:g}"
                )

    def _softmax(self, logits: Tensor) -> Tensor:
        if self.temperature != 1.0:
            logits = logits / self.temperature
        return logits.softmax(dim=-1)


@dataclass(frozen=True)
class Confidence(ExitRule):
    """Leave when the probability of the most likely class is at least ``threshold``, in [0, 1].

    No image reaches a threshold of infinity.
    """

    _lowest: ClassVar[float] = 0.0
    _highest: ClassVar[float] = 1.0

    threshold: float | tuple[float, ...] = 0.9

    def score(self, logits: Tensor, length: Tensor | None = None) -> Tensor:
        return self._softmax(logits).amax(dim=-1)


@dataclass(frozen=True)
class Margin(ExitRule):
    """Leave when the probabilities of the two most likely classes differ by at least
    ``threshold``, in [0, 1]. No image reaches a threshold of infinity."""

    _lowest: ClassVar[float] = 0.0
    _highest: ClassVar[float] = 1.0

    threshold: float | tuple[float, ...] = 0.8

    def score(self, logits: Tensor, length: Tensor | None = None) -> Tensor:
        probability = self._softmax(logits)
        if logits.shape[-1] == 1:
            return probability.squeeze(-1)
        first, second = probability.topk(2, dim=-1).values.unbind(-1)
        return first - second


@dataclass(frozen=True)
class Entropy(ExitRule):
    """Leave when the entropy of the class probabilities, in nats, is at most ``threshold``, which
    is at least 0. No image reaches a threshold of minus infinity.

    Source: Teerapittayanon et al., "BranchyNet", 2016.
    """

    _lowest: ClassVar[float] = 0.0
    _never: ClassVar[float] = -math.inf

    threshold: float | tuple[float, ...] = 0.3

    def score(self, logits: Tensor, length: Tensor | None = None) -> Tensor:
        return -torch.special.entr(self._softmax(logits)).sum(dim=-1)

    def bar(self, threshold: float) -> float:
        return -threshold

    def threshold_of(self, score: float) -> float:
        return -score


@dataclass(frozen=True)
class Never(ExitRule):
    """Every image takes ``max_glimpses`` (default: the network's T)."""

    threshold: float | tuple[float, ...] = math.inf

    def score(self, logits: Tensor, length: Tensor | None = None) -> Tensor:
        return torch.zeros_like(logits[..., 0])


class ExitDecision:
    """A rule prepared for one network: its bars as a tensor, indexed by t.

    Args:
        rule: the exit rule.
        num_glimpses: T of the network.
        device: device of the logits.

    Attributes:
        steps: the most glimpses that an image takes.

    Raises:
        TypeError: ``rule`` is not an exit rule.
        ValueError: it requires more glimpses than the network takes.
    """

    def __init__(self, rule: ExitRule, num_glimpses: int, device: torch.device | str) -> None:
        if not isinstance(rule, ExitRule):
            raise TypeError(
                f"exit must be an exit rule such as Confidence(0.9), got {type(rule).__name__}"
            )
        for name in ("min_glimpses", "max_glimpses"):
            wanted = getattr(rule, name)
            if wanted is not None and wanted > num_glimpses:
                raise ValueError(
                    f"{name} must be at most the network's {num_glimpses} glimpses, got {wanted}"
                )
        self._score = rule.prepared(device)
        self.steps = num_glimpses if rule.max_glimpses is None else rule.max_glimpses
        asked = rule.threshold if isinstance(rule.threshold, tuple) else (rule.threshold,)
        bars = [
            math.inf if t < rule.min_glimpses else rule.bar(asked[min(t, len(asked)) - 1])
            for t in range(1, self.steps + 1)
        ]
        # If no bar can be reached, no score is computed.
        self._looks = any(bar < math.inf for bar in bars[: self.steps - 1])
        is_one = len(set(bars[: self.steps - 1])) == 1  # the last glimpse needs no bar
        self._bar = bars[0] if is_one else None
        if self._bar is None:
            with torch.inference_mode(False):
                self._bars = torch.tensor(bars, dtype=torch.float32, device=device)

    def __call__(self, logits: Tensor, length: Tensor) -> Tensor:
        """Which images leave: bool [S], without waiting for the device.

        Args:
            logits: [S, K], class logits after the newest glimpse.
            length: int64 [S], the number of glimpses taken so far, in 1..steps.
        """
        last = length >= self.steps
        if not self._looks:
            return last
        bar = self._bars[length - 1] if self._bar is None else self._bar
        return last | (self._score(logits, length) >= bar)


def _checked_threshold(value: object) -> float | tuple[float, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not value:
            raise ValueError("threshold must have at least one number, got none")
        return tuple(_checked_number(number) for number in value)
    return _checked_number(value)


def _checked_number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"threshold must be a number or one for each glimpse, got {value!r}")
    if math.isnan(value):
        raise ValueError("threshold must not be NaN")
    return float(value)
