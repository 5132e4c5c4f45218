"""The weights of the fusion at inference, multiplied out, and of the step that follows it.

One head and one query leave two products a step instead of four. With query token h_t,

    q_t . k_j = h_j . (Wk^T Wq h_t + Wk^T bq) + what is the same for all j

and softmax drops what is the same for all; and as its weights a_j sum to one,

    Wo sum_j a_j (Wv h_j + bv) + bo = (Wo Wv) sum_j a_j h_j + (Wo bv + bo).

So the tokens are cached as they are, and neither keys nor values exist.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class FoldedFusion(NamedTuple):
    """The weights of one-head attention, multiplied out for :func:`fuse_glimpse`.

    Attributes:
        key_query (Tensor[D, D]): Wk^T Wq.
        key_bias (Tensor[D]): Wk^T bq.
        out_value (Tensor[D, D]): Wo Wv.
        out_bias (Tensor[D]): Wo bv + bo.
    """

    key_query: Tensor
    key_bias: Tensor
    out_value: Tensor
    out_bias: Tensor

    @staticmethod
    def of(attention: nn.MultiheadAttention, dtype: torch.dtype | None = None) -> FoldedFusion:
        """Folds the parameters of ``attention``; the products are taken in float64.

        Args:
            attention: with one head and biases, such as ``FeatureFusion.mha``.
            dtype: of the result (default: that of the parameters).

        Raises:
            ValueError: it has several heads, no biases, or separate widths of keys and values.
        """
        if attention.num_heads != 1 or attention.in_proj_weight is None:
            raise ValueError(
                "attention must have one head and one width of queries, keys and values, "
                f"got {attention.num_heads} heads, widths {attention.embed_dim}, "
                f"{attention.kdim}, {attention.vdim}"
            )
        if attention.in_proj_bias is None or attention.bias_k is not None:
            raise ValueError("attention must have biases in its projections and no bias_k, bias_v")
        dtype = attention.in_proj_weight.dtype if dtype is None else dtype
        query, key, value = attention.in_proj_weight.detach().double().chunk(3)
        query_bias, _, value_bias = attention.in_proj_bias.detach().double().chunk(3)
        out = attention.out_proj.weight.detach().double()
        out_bias = attention.out_proj.bias.detach().double()
        folded = (key.T @ query, key.T @ query_bias, out @ value, out @ value_bias + out_bias)
        return FoldedFusion(*(part.to(dtype).contiguous() for part in folded))


class StepWeights(NamedTuple):
    """What a step multiplies by: contiguous, all of the dtype of the cache.

    Attributes:
        folded: of the attention.
        norm (Tensor[D], Tensor[D]): weight and bias of LayerNorm.
        classify (Tensor[K, D], Tensor[K]): the class head.
        locate (Tensor[3, D], Tensor[3]): the localization layer.
        epsilon: of LayerNorm.
        scale_range: s_min and s_max.
    """

    folded: FoldedFusion
    norm: tuple[Tensor, Tensor]
    classify: tuple[Tensor, Tensor]
    locate: tuple[Tensor, Tensor]
    epsilon: float
    scale_range: tuple[float, float]

    @staticmethod
    def of(
        attention: nn.MultiheadAttention,
        norm: nn.LayerNorm,
        class_head: nn.Linear,
        localization: nn.Linear,
        scale_range: tuple[float, float],
        folded: FoldedFusion | None = None,
    ) -> StepWeights:
        """From the modules of a network, detached; ``folded`` where that is there already."""

        def detached(layer: nn.Linear | nn.LayerNorm) -> tuple[Tensor, Tensor]:
            return layer.weight.detach().contiguous(), layer.bias.detach().contiguous()

        return StepWeights(
            FoldedFusion.of(attention) if folded is None else folded,
            detached(norm),
            detached(class_head),
            detached(localization),
            norm.eps,
            scale_range,
        )
