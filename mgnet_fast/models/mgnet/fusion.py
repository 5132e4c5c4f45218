"""Fusion of the glimpses seen so far into one state (paper, section 3.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FusionMemory:
    """Keys and values of the glimpses seen so far, one token per step."""

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def append(self, key: Tensor, value: Tensor) -> None:
        """Adds one token: key and value of shape [B, D]."""
        self.keys.append(key)
        self.values.append(value)


class FeatureFusion(nn.Module):
    r"""One-head self-attention over glimpses 1..t, of which only row t is computed.

    .. math::
        F_t = \mathrm{ReLU}(\mathrm{LN}(W_o \sum_{j \le t} a_j v_j + b_o)), \quad
        a = \mathrm{softmax}_j(q_t \cdot k_j / \sqrt{D})

    Key and value of a token do not depend on later glimpses. So each token is projected once, when
    its glimpse arrives, with one query per step; the result is the last row of full attention.

    The parameters are those of :class:`torch.nn.MultiheadAttention` with one head
    (``mha.in_proj_weight`` [3D, D] and so on), initialised with Kaiming's normal distribution
    (fan in) and zero biases.

    Source: paper, section 3.2, equations 3 and 4.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(dim, num_heads=1)
        self.norm = nn.LayerNorm(dim)
        for parameter in self.mha.parameters():
            if parameter.dim() == 2:
                nn.init.kaiming_normal_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(
        self, token: Tensor, memory: FusionMemory, without_first: Tensor | None = None
    ) -> Tensor:
        """Appends ``token`` [B, D] to ``memory`` and returns the fused state F_t [B, D].

        Rows of ``without_first``, bool [B], ignore the first token if there are others.
        """
        projected = F.linear(token, self.mha.in_proj_weight, self.mha.in_proj_bias)
        query, key, value = projected.chunk(3, dim=-1)
        memory.append(key, value)
        attended = _attend(query, memory, without_first)
        return F.relu(self.norm(self.mha.out_proj(attended)))

    def fuse_rows(self, token: Tensor, tokens: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        r""":meth:`forward` for rows that may have seen different numbers of glimpses.

        It keeps raw tokens instead of keys and values:
        :math:`q \cdot k_j = (W_k^T q) \cdot x_j + q \cdot b_k`, of which the last term is the
        same for all j and drops out of the softmax, and
        :math:`\sum_j a_j v_j = W_v \sum_j a_j x_j + b_v`. Differentiable.

        Args:
            token: [B, D], the newest token of each row.
            tokens: [B, T, D], the earlier tokens; unused places must hold finite numbers.
            length: int64 [B], how many earlier tokens there are, at most T - 1.

        Returns:
            F_t [B, D], and a copy of ``tokens`` with the newest at place ``length``.
        """
        place = torch.arange(tokens.shape[1], device=tokens.device)
        tokens = torch.where((place == length[:, None])[..., None], token[:, None], tokens)
        query_weight, key_weight, value_weight = self.mha.in_proj_weight.chunk(3)
        query_bias, _, value_bias = self.mha.in_proj_bias.chunk(3)
        query = F.linear(token, query_weight, query_bias) @ key_weight
        scores = (tokens @ query.unsqueeze(-1)).squeeze(-1) / math.sqrt(tokens.shape[-1])
        weights = scores.masked_fill(place > length[:, None], -math.inf).softmax(dim=-1)
        mean = (weights.unsqueeze(1) @ tokens).squeeze(1)
        attended = F.linear(mean, value_weight, value_bias)
        return F.relu(self.norm(self.mha.out_proj(attended))), tokens


def _attend(query: Tensor, memory: FusionMemory, without_first: Tensor | None) -> Tensor:
    if len(memory.keys) == 1:
        # The softmax over a single glimpse is 1, whatever query and key are.
        return memory.values[0]
    keys = torch.stack(memory.keys, dim=1)
    values = torch.stack(memory.values, dim=1)
    scores = (keys @ query.unsqueeze(-1)).squeeze(-1) / math.sqrt(query.shape[-1])
    if without_first is not None:
        first = scores[:, :1].masked_fill(without_first[:, None], -math.inf)
        scores = torch.cat([first, scores[:, 1:]], dim=1)
    weights = scores.softmax(dim=-1)
    return (weights.unsqueeze(1) @ values).squeeze(1)
