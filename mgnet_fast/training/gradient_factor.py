"""The factor on the gradient into the localization layer, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.training.recipe import Recipe

MEASURED_EVERY = 10  # steps; a measured step takes as long as two
LEAST, MOST = 1e-4, 1.0  # bounds of the adapted factor; 1 is the true gradient


class GradientFactor:
    r"""The factor s of the paper's equation 5 as a function of the training step.

    .. math:: s_n = s \, a_n \min(1, n / N_w)

    - :math:`s` is the recipe's ``gradient_scale``, which the network itself applies.
    - :math:`N_w` is the number of warm-up steps (``gradient_scale_warmup``). Without warm-up the
      ramp is 1.
    - :math:`a_n` is 1. With ``adaptive_gradient_share`` r it is updated every ten steps:

      .. math:: a \leftarrow a \sqrt{r \, |g_c| / |g - g_c|}

      g is the gradient at the parameters that classification and localization share (backbone
      and fusion), and g_c the same without the path through the regions. The part of the
      localization so tends to r times that of the classification. The square root damps the
      noise of single batches, and :math:`s \, a` is kept within [1e-4, 1]. A measurement takes a
      second forward and backward pass, so batch norm sees that batch twice.

    With both options off, or for a network without a localization layer, nothing is added to the
    network's program. The factor is a tensor, so compiled programs need no recompilation when it
    changes.

    Attributes:
        adapted: :math:`a_n`, part of a run's state.

    Source: paper, section 3.3, equation 5, for s. The published code contains parts of an
    adaptive factor that never run; warm-up and this rule are not from the paper.
    """

    def __init__(self, model: GlimpseNetwork, recipe: Recipe, total_steps: int) -> None:
        self._model = model
        path = model.localization if model.config.num_glimpses > 1 else None
        self._layer: Any = None if path is None else path.layer
        self._shared = () if path is None else path.shared
        self._share = 0.0 if path is None else recipe.adaptive_gradient_share
        self._warmup_steps = 0.0 if path is None else recipe.gradient_scale_warmup * total_steps
        self.adapted = 1.0
        self._ramp = 1.0
        self._is_measured = False
        if path is not None and self.is_moving:
            device = next(model.parameters()).device
            path.layer.gradient_factor = torch.ones((), device=device)

    @property
    def is_moving(self) -> bool:
        """Whether the factor differs from the constant ``gradient_scale`` at any step."""
        return self._share > 0 or self._warmup_steps > 0

    @property
    def is_measured(self) -> bool:
        """Whether this step measures the two parts of the gradient."""
        return self._is_measured

    @property
    def value(self) -> float:
        """The factor of this step."""
        return float(self._model.config.gradient_scale) * self.adapted * self._ramp

    def apply(self, step: int) -> None:
        """Sets the factor of step 0, 1, ..."""
        self._ramp = min(1.0, step / self._warmup_steps) if self._warmup_steps else 1.0
        self._is_measured = self._share > 0 and step % MEASURED_EVERY == 0 and self._ramp > 0
        self._fill(self.adapted * self._ramp)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Inside, no gradient flows through the regions."""
        self._fill(0.0)
        yield
        self._fill(self.adapted * self._ramp)

    def shared_gradient(self) -> list[Tensor]:
        """Copies of the gradients of the parameters that both parts share."""
        parameters = [p for module in self._shared for p in module.parameters()]
        return [p.grad.detach().clone() for p in parameters if p.grad is not None]

    def follow(self, class_gradient: list[Tensor]) -> None:
        """Updates the factor from :meth:`shared_gradient` without the path through the regions."""
        class_norm = float(_norm(class_gradient))
        regions_norm = float(_norm(torch._foreach_sub(self.shared_gradient(), class_gradient)))
        if not (0 < class_norm < float("inf") and 0 < regions_norm < float("inf")):
            return
        scale = self._model.config.gradient_scale
        wanted = scale * self.adapted * (self._share * class_norm / regions_norm) ** 0.5
        self.adapted = min(max(wanted, LEAST), MOST) / scale

    def _fill(self, value: float) -> None:
        if self._layer is not None and self._layer.gradient_factor is not None:
            self._layer.gradient_factor.fill_(value)


def _norm(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return torch.stack(torch._foreach_norm(tensors)).norm()
