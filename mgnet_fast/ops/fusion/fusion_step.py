"""One step behind the backbone at inference: the feature into the cache, the fusion, the heads."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autocast import without_autocast
from ..tracing import is_plain_eager
from . import fuse_glimpse, native_fusion, triton_fusion
from .fusion_weights import StepWeights


def reference(
    feature: Tensor, region: Tensor, tokens: Tensor, length: Tensor, weights: StepWeights
) -> tuple[Tensor, Tensor]:
    """The step in plain PyTorch, without a wait for the device.

    A slot whose length is not one of 1..T gets NaN, and nothing is written to its cache.
    """
    token = torch.cat([feature.to(tokens.dtype), region.to(tokens.dtype)], dim=1)
    places = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    count = length.unsqueeze(1)
    newest = (places == count).unsqueeze(2)
    tokens.copy_(torch.where(newest, token.unsqueeze(1), tokens))
    # Unused places may hold anything, NaN included, and 0 * NaN is NaN.
    known = tokens.masked_fill((places > count).unsqueeze(2), 0.0)
    fused = fuse_glimpse.attended(known, token, count, weights.folded)
    state = F.relu(F.layer_norm(fused, fused.shape[1:], *weights.norm, weights.epsilon))
    low, high = weights.scale_range
    probability = F.linear(state, *weights.locate).double().sigmoid()
    scale = probability[:, :1] * (high - low) + low
    following = torch.cat([scale, (2 * probability[:, 1:] - 1) * (1 - scale)], dim=1)
    return F.linear(state, *weights.classify).float(), following.to(region.dtype)


def _on_cpu(
    feature: Tensor, region: Tensor, tokens: Tensor, length: Tensor, weights: StepWeights
) -> tuple[Tensor, Tensor]:
    """In C++ where that serves these tensors and nothing but the result is wanted."""
    if is_plain_eager(feature, region, tokens, length) and native_fusion.takes_step(
        region, tokens, length, weights
    ):
        return native_fusion.fusion_step(feature, region, tokens, length, weights)
    return reference(feature, region, tokens, length, weights)


_IMPLEMENTATIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "cpu": _on_cpu,
    "triton": triton_fusion.fusion_step,
    "cuda": reference,
    "reference": reference,
}


@torch.no_grad()
def fusion_step(
    feature: Tensor,
    region: Tensor,
    tokens: Tensor,
    length: Tensor,
    weights: StepWeights,
    backend: str,
) -> tuple[Tensor, Tensor]:
    r"""From the feature of a glimpse to the class logits and the next region, for S slots.

    .. math::
        tokens_{length} = [feature; region], \quad
        F = \mathrm{ReLU}(\mathrm{LN}(\mathrm{fuse\_glimpse}(tokens, length))), \quad
        logits = W_c F + b_c, \quad region' = \mathrm{range}(\sigma(W_l F + b_l))

    Args:
        feature (Tensor[S, D - 3]): of the glimpses, of any floating dtype.
        region (Tensor[S, 3]): where they were taken, float32 or float64.
        tokens (Tensor[S, T, D]): the cache, float32 or float64; place length - 1 is written.
        length (Tensor[S]): int64, the glimpses of each slot, this one included.
        weights: see :class:`StepWeights`.
        backend: as :func:`mgnet_fast.ops.backends.choice.choose` gives it.

    Returns:
        Logits [S, K] in float32 and the next regions [S, 3] in the dtype of ``region``. Nothing
        waits for the device: a slot whose length is not in 1..T gets NaN.

    Not differentiable. Source: paper, sections 3.2 and 3.3, equations 3 to 5.
    """
    with without_autocast(tokens.device.type):
        return _IMPLEMENTATIONS[backend](feature, region, tokens, length, weights)
