"""The loss that MGNets are trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..objective import stepwise_cross_entropy

CONFIDENT_BELOW = 0.4


@dataclass(frozen=True)
class Objective:
    """Classifies after every glimpse and from every glimpse alone, and favours small last glimpses.

        loss = alpha * glimpse + (1 - alpha) * global + size_weight * size

    - ``global``: cross-entropy of ``n_logit`` [T, B, K], averaged over T and B (paper, eq. 7).
    - ``glimpse``: cross-entropy of ``n_aux_logit``, averaged over its rows and B (eq. 8). The
      published code has T - 1 rows, glimpses 2..T; the paper's formula has T rows; see
      ``config.glimpse_loss``. Without rows (T = 1, or no glimpse head) alpha counts as 0.
    - ``size``: the sum of ``(s_T - s_min)^2`` over the samples whose cross-entropy after the last
      glimpse is below 0.4, divided by B. It shrinks only the last glimpse, and only of samples
      that are classified well. The published code uses it for translated MNIST only. 0 for
      T = 1, where the region is fixed.

    Attributes:
        alpha: weight of the glimpse part, in [0, 1].
        size_weight: weight of the size part, at least 0.
        min_scale: s_min, the smallest scale that the network can choose.
        label_smoothing: of both classification parts, in [0, 1).

    Raises:
        ValueError: an attribute is out of range.
    """

    alpha: float = 0.6
    size_weight: float = 0.0
    min_scale: float = 0.2
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {self.alpha}")
        if not self.size_weight >= 0:
            raise ValueError(f"size_weight must be at least 0, got {self.size_weight}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")

    def __call__(self, output: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The loss and its parts.

        Args:
            output: the model's: ``n_logit`` [T, B, K], ``n_affparam`` [T, B, 3] and, with a
                glimpse head in training mode, ``n_aux_logit`` [T - 1 or T, B, K].
            labels: int64 [B].

        Returns:
            0-d tensors ``loss``, ``global``, ``glimpse``, ``size``; the parts without weights.

        Raises:
            ValueError: labels do not fit the logits.
        """
        logits = output["n_logit"]
        at_each = stepwise_cross_entropy(logits, labels, self.label_smoothing)
        parts = {"global": at_each, "glimpse": at_each.new_zeros(()), "size": at_each.new_zeros(())}
        alpha = 0.0
        if "n_aux_logit" in output and len(output["n_aux_logit"]):
            alpha = self.alpha
            parts["glimpse"] = stepwise_cross_entropy(
                output["n_aux_logit"], labels, self.label_smoothing
            )
        if self.size_weight and len(logits) > 1:
            parts["size"] = self._size(logits[-1], output["n_affparam"][-1, :, 0], labels)
        loss = alpha * parts["glimpse"] + (1 - alpha) * parts["global"]
        return {"loss": loss + self.size_weight * parts["size"], **parts}

    def _size(self, last_logits: Tensor, last_scale: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            entropy = F.cross_entropy(last_logits, labels, reduction="none")
            confident = entropy < CONFIDENT_BELOW
        return ((last_scale - self.min_scale).square() * confident).mean()
