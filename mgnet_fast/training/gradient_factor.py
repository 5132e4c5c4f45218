"""What the gradient into the localization is multiplied by, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mgnet_fast.models import MGNet
from mgnet_fast.training.recipe import Recipe

MEASURED_EVERY = 10  # steps; a measured one takes the time of two
LEAST, MOST = 1e-4, 1.0  # of the adapted factor; 1 is the true gradient


class GradientFactor:
    r"""The factor s of the paper's equation 5 as a function of the training.

    .. math:: s_n = s \, a_n \min(1, n / N_w)

    - :math:`s` is the recipe's ``gradient_scale``, which the network applies by itself.
    - :math:`N_w` is the number of steps of ``gradient_scale_warmup``; without, the ramp is 1.
    - :math:`a_n` is 1, or with ``adaptive_gradient_share`` r follows

      .. math:: a \leftarrow a \sqrt{r \, |g_c| / |g - g_c|}

      every ten steps, where g is the gradient at the parameters that classification and
      localization share (backbone and fusion), and g_c the same with the way through the regions
      cut. So the localization's part tends to r times the classification's. The root keeps one
      noisy batch from deciding; :math:`s \, a` stays within 1e-4 and 1. Measuring takes a second
      forward and backward pass, after which batch norm has seen that batch twice.

    With both options off, nothing is added to the network's program. One tensor holds the
    factor, so compiled programs are not compiled again as it moves.

    Attributes:
        adapted: :math:`a_n`, part of a run's state.

    Source: paper, section 3.3, equation 5, for s. The published code has the beginnings of an
    adaptive factor, which does not run; warm-up and this rule are not from the paper.
    """

    def __init__(self, model: MGNet, recipe: Recipe, total_steps: int) -> None:
        self._model = model
        looks_about = model.config.num_glimpses > 1
        self._share = recipe.adaptive_gradient_share if looks_about else 0.0
        self._warmup_steps = recipe.gradient_scale_warmup * total_steps if looks_about else 0.0
        self.adapted = 1.0
        self._ramp = 1.0
        self._is_measured = False
        if self.is_moving:
            device = next(model.parameters()).device
            model.loc_network.gradient_factor = torch.ones((), device=device)

    @property
    def is_moving(self) -> bool:
        """Whether the factor is anything but the constant ``gradient_scale``."""
        return self._share > 0 or self._warmup_steps > 0

    @property
    def is_measured(self) -> bool:
        """Whether the present step measures the two parts of the gradient."""
        return self._is_measured

    @property
    def value(self) -> float:
        """The factor of the present step."""
        return self._model.config.gradient_scale * self.adapted * self._ramp

    def apply(self, step: int) -> None:
        """Sets the factor of step 0, 1, ..."""
        self._ramp = min(1.0, step / self._warmup_steps) if self._warmup_steps else 1.0
        self._is_measured = self._share > 0 and step % MEASURED_EVERY == 0 and self._ramp > 0
        self._fill(self.adapted * self._ramp)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Within, no gradient flows through the regions."""
        self._fill(0.0)
        yield
        self._fill(self.adapted * self._ramp)

    def shared_gradient(self) -> list[Tensor]:
        """A copy of the gradient at the parameters that both parts share."""
        modules = (self._model.backbone, self._model.feat_fusion)
        found = [p.grad for module in modules for p in module.parameters() if p.grad is not None]
        return [gradient.detach().clone() for gradient in found]

    def follow(self, class_gradient: list[Tensor]) -> None:
        """Adapts the factor, given `shared_gradient` without the way through the regions."""
        class_norm = float(_norm(class_gradient))
        regions_norm = float(_norm(torch._foreach_sub(self.shared_gradient(), class_gradient)))
        if not (0 < class_norm < float("inf") and 0 < regions_norm < float("inf")):
            return
        scale = self._model.config.gradient_scale
        wanted = scale * self.adapted * (self._share * class_norm / regions_norm) ** 0.5
        self.adapted = min(max(wanted, LEAST), MOST) / scale

    def _fill(self, value: float) -> None:
        factor = self._model.loc_network.gradient_factor
        if factor is not None:
            factor.fill_(value)


def _norm(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return torch.stack(torch._foreach_norm(tensors)).norm()
