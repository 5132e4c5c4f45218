"""The layers on top of the fused state: localization and classification (paper, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ... import functional
from ...ops.backends.reference import region_from_logits
from ...ops.rescale_gradient import rescale_gradient_by
from ...ops.sampling import RangeMap


class LocalizationNetwork(nn.Module):
    r"""A linear layer whose three outputs place the next glimpse.

    .. math::
        p = \Phi(\sigma(W F_t + b); s), \quad
        a^s = p_0 (s_{max} - s_{min}) + s_{min}, \quad
        (a^x, a^y) = (2 (p_1, p_2) - 1) (1 - a^s)

    where :math:`\Phi(\cdot; s)` is the identity whose gradient is multiplied by
    ``gradient_scale``. One op computes all of this from the layer's outputs, and the glimpse
    (:func:`mgnet_fast.functional.glimpse_from_logits`).

    Attributes:
        gradient_factor: a 0-d tensor by which training also multiplies the gradient, or None.
            Not part of the state dict.

    Source: paper, section 3.3, equations 4 and 5.
    """

    gradient_factor: Tensor | None

    def __init__(self, dim: int, scale_range: tuple[float, float], gradient_scale: float) -> None:
        super().__init__()
        self.fc = nn.Linear(dim, 3)
        nn.init.kaiming_normal_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        self.scale_range = scale_range
        self.gradient_scale = gradient_scale
        self.register_buffer("gradient_factor", None, persistent=False)

    def forward(
        self,
        images: Tensor,
        fused: Tensor,
        size: tuple[int, int],
        *,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        dtype: torch.dtype | None = None,
        memory_format: torch.memory_format | None = None,
        antialias: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The glimpse [B, C, h, w] that ``fused`` [B, D] asks for, and its region [B, 3].

        Both are differentiable with respect to ``fused``.
        """
        return functional.glimpse_from_logits(
            images,
            self._logits(fused),
            size,
            scale_range=self.scale_range,
            gradient_scale=self.gradient_scale,
            mean=mean,
            std=std,
            dtype=dtype,
            memory_format=memory_format,
            antialias=antialias,
        )

    def region(self, fused: Tensor) -> Tensor:
        """The region [B, 3] that ``fused`` [B, D] asks for, without its glimpse; differentiable.

        float64 for a float64 layer, else float32.
        """
        logits = self._logits(fused)
        if logits.dtype != torch.float64:
            logits = logits.float()
        return region_from_logits(logits, RangeMap(*self.scale_range, self.gradient_scale))

    def _logits(self, fused: Tensor) -> Tensor:
        logits: Tensor = self.fc(fused)
        if self.gradient_factor is not None:
            logits = rescale_gradient_by(logits, self.gradient_factor)
        return logits

    def extra_repr(self) -> str:
        return f"scale_range={self.scale_range}, gradient_scale={self.gradient_scale}"


class Classifier(nn.Module):
    """A linear layer ``fc``, initialised with Kaiming's normal distribution (fan in), zero biases.

    Its name is that of the published state dict.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(dim, num_classes)
        nn.init.kaiming_normal_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of states or features [B, dim]."""
        logits: Tensor = self.fc(x)
        return logits
