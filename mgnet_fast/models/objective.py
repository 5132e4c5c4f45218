"""The default loss of training: cross-entropy averaged over the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

LossFunction = Callable[[Mapping[str, Tensor], Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class MeanCrossEntropy:
    r"""Cross-entropy of the class logits, averaged over the steps and the images.

    .. math:: L = \frac{1}{T B} \sum_{t, b} CE(logits_{t, b}, y_b)

    Attributes:
        label_smoothing: in [0, 1).

    Raises:
        ValueError: ``label_smoothing`` is out of range.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")

    def __call__(self, output: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """0-d tensors ``loss`` and ``global``, which are equal.

        Args:
            output: of a network's forward pass, with ``n_logit`` [T, B, K].
            labels: int64 [B].

        Raises:
            ValueError: the number of labels differs from that of the logits.
        """
        loss = stepwise_cross_entropy(output["n_logit"], labels, self.label_smoothing)
        return {"loss": loss, "global": loss}


def stepwise_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy, 0-d, of logits [T, B, K] with the same labels int64 [B] at every step.

    Raises:
        ValueError: ``labels`` does not have shape [B].
    """
    if labels.shape != logits.shape[1:2]:
        raise ValueError(f"labels must have shape [{logits.shape[1]}], got {list(labels.shape)}")
    return F.cross_entropy(
        logits.flatten(0, 1), labels.repeat(len(logits)), label_smoothing=label_smoothing
    )
