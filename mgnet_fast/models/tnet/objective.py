"""The loss that TNets are trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import TNetConfig, looks_at

REINFORCE_WEIGHT = 0.1
BASELINE_DECAY = 0.9
TINY = 1e-10  # added to probabilities before their logarithm


@dataclass(frozen=True)
class TNetObjective:
    r"""Cross-entropy of all features together and of each alone, and REINFORCE for the choices.

    .. math::
        L = w\, CE + (1 - w)\, \overline{CE_i} + 0.1 \left[
        w\, \overline{(R - b) (-\textstyle\sum_c \log p_c)}
        + (1 - w)\, \overline{(R_c - b)(-\log p_c)} \right]

    CE is the cross-entropy of the last logits, CE_i that of feature i alone. A reward is 1 if the
    largest logit is the right one, else 0: R of the last logits, R_c of the feature of the crop c
    alone. p_c is the probability with which the crop's cell was chosen, log p is
    :math:`\log(p + 10^{-10})`. Bars are means, over images, over features and over crops.
    Rewards carry no gradient.

    b is a moving average of rewards. In training every call changes it afterwards to
    :math:`0.9\, b + 0.1\, (w \overline{R} + (1 - w) \overline{R_c})`.

    Attributes:
        config: has w as ``joint_weight``; terms of single features are those of the first
            ``loss_levels`` levels.
        baseline: b, 0-d; written to.
        label_smoothing: of the cross-entropies, in [0, 1).

    Raises:
        ValueError: ``label_smoothing`` is out of range.

    Source: paper, section 3.4; published code.
    """

    config: TNetConfig
    baseline: Tensor
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")

    def __call__(self, output: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The loss and its parts.

        Args:
            output: of the forward pass. Without ``n_aux_logit``, as outside training, the terms of
                single features are left out and w counts as 1; b is left alone.
            labels: int64 [B].

        Returns:
            0-d tensors ``loss``, ``global``, ``single``, ``choice`` (the bracket).

        Raises:
            ValueError: labels do not fit the logits.
        """
        logits = output["n_logit"][-1]
        if labels.shape != logits.shape[:1]:
            raise ValueError(f"labels must have shape [{len(logits)}], got {list(labels.shape)}")
        together = self._cross_entropy(logits, labels)
        log_p = _chosen(output).add(TINY).log()  # [crops, B]
        reward = _is_right(logits, labels)
        b = self.baseline.detach().clone()
        joint_choice = ((reward - b) * -log_p.sum(dim=0)).mean()
        nothing = together.new_zeros(())
        if "n_aux_logit" not in output:
            parts = {"global": together, "single": nothing, "choice": joint_choice}
            return {"loss": together + REINFORCE_WEIGHT * joint_choice, **parts}
        w = self.config.joint_weight
        single_logits = output["n_aux_logit"][: self._single_looks()]
        alone = self._cross_entropy(single_logits.flatten(0, 1), labels.repeat(len(single_logits)))
        crop_rewards = _is_right(single_logits[1:], labels)
        single_choice, mean_crop_reward = nothing, nothing
        if len(crop_rewards):
            single_choice = ((crop_rewards - b) * -log_p[: len(crop_rewards)]).mean()
            mean_crop_reward = crop_rewards.mean()
        choice = w * joint_choice + (1 - w) * single_choice
        with torch.no_grad():
            newest = w * reward.mean() + (1 - w) * mean_crop_reward
            self.baseline.mul_(BASELINE_DECAY).add_((1 - BASELINE_DECAY) * newest)
        loss = w * together + (1 - w) * alone + REINFORCE_WEIGHT * choice
        return {"loss": loss, "global": together, "single": alone, "choice": choice}

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def _single_looks(self) -> int:
        """How many of the looks have terms of their own."""
        return sum(looks_at(self.config.locations)[: self.config.loss_levels])


def _chosen(output: Mapping[str, Tensor]) -> Tensor:
    """Probabilities [crops, B] of the cells that were looked at, in the order of the looks."""
    marked = output["attended"]
    crops = len(output["n_affparam"]) - 1
    # Every image looks at the same number of cells, so the marked ones form a matrix.
    order = marked.int().argsort(dim=1, descending=True, stable=True)[:, :crops]
    return output["probabilities"].gather(1, order).T


def _is_right(logits: Tensor, labels: Tensor) -> Tensor:
    """1 where the largest of the logits [..., B, K] is the label's, else 0; without a gradient."""
    return (logits.detach().argmax(dim=-1) == labels).to(logits.dtype)
