"""Calibration of probabilities: the expected error, and temperature scaling."""

from __future__ import annotations

import torch
from torch import Tensor

_LOWEST, _HIGHEST = 0.05, 20.0  # range of temperatures


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    r"""Mean distance between confidence and accuracy over bins of confidence, weighted by size.

    .. math:: ECE = \sum_b \frac{n_b}{N} | acc_b - conf_b |

    Args:
        logits: [N, K], N >= 1.
        labels: int64 [N].
        bins: number of bins of equal width over [0, 1].

    Raises:
        ValueError: there are no logits, or ``bins`` is below 1.

    Source: Guo et al., "On calibration of modern neural networks", 2017, equation 3.
    """
    if len(logits) == 0 or bins < 1:
        raise ValueError(
            f"wanted logits of at least one image and at least one bin, got {len(logits)}, {bins}"
        )
    confidence, label = logits.double().softmax(1).max(1)
    # A bin includes its upper end, as in the paper, so 1.0 is in the last one.
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = (label == labels).double() - confidence
    return float(torch.zeros(bins).double().index_add_(0, place, gap).abs().sum() / len(logits))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature in [0.05, 20] that maximises the likelihood of ``labels``.

    The loss is convex in the inverse temperature, so bisection finds the zero of its slope.

    Args:
        logits: [N, K].
        labels: int64 [N].

    Source: Guo et al. 2017, section 4.2.
    """
    logits = logits.double()
    right = logits.gather(1, labels[:, None]).squeeze(1)
    low, high = 1 / _HIGHEST, 1 / _LOWEST
    for _ in range(50):
        inverse = (low * high) ** 0.5
        expected = ((inverse * logits).softmax(1) * logits).sum(1)
        if float((expected - right).mean()) > 0:
            high = inverse
        else:
            low = inverse
    return (low * high) ** -0.5
