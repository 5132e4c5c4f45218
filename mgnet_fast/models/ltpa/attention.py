"""Attention over the positions of one map of a network."""

from __future__ import annotations

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from ... import functional
from ...ops.autocast import without_autocast

Score = Literal["pc", "dp"]
Projected = Literal["local", "global"]


class SpatialAttention(nn.Module):
    r"""Sums the vectors of a map, weighted by a score that is learned with the network.

    With the vectors :math:`l_i` [D] of the map at its positions i and the global feature g [D] of
    the network:

    .. math:: g^a = \sum_i a_i l_i, \quad a = softmax_i(c(l_i, g))

    - ``score="pc"`` (parametrised): :math:`c = \langle u, l_i + g \rangle` with a learned vector
      u. The softmax takes away what all positions share, so :math:`\langle u, g \rangle` changes
      nothing: neither the result nor any gradient, and the module does not compute it.
    - ``score="dp"`` (dot product): :math:`c = \langle l_i, g \rangle`.

    Where the widths of map and global feature differ, one of them is projected to the other's by a
    matrix W without bias: ``project="local"`` replaces :math:`l_i` by :math:`W l_i`, in score and
    sum, and ``"global"`` replaces g by W g. The local projection is never applied to the map:
    :math:`\langle q, W l_i \rangle = \langle W^T q, l_i \rangle` and
    :math:`\sum_i a_i W l_i = W \sum_i a_i l_i`.

    Args:
        local_dim: channels of the map.
        global_dim: length of the global feature.
        score: "pc" or "dp".
        project: "local" or "global"; None: the widths must be equal.

    Attributes:
        dim: D, the length of the result.
        backend: of :func:`mgnet_fast.functional.attention_pool`; "reference" is plain PyTorch, for
            programs that run without this package. May be changed at any time.

    Raises:
        ValueError: an argument is out of range, or the widths differ without a projection.

    Source: Jetley et al., "Learn to pay attention", 2018, section 3.
    """

    backend: str | None = None

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        score: Score = "pc",
        project: Projected | None = None,
    ) -> None:
        super().__init__()
        for name, width in (("local_dim", local_dim), ("global_dim", global_dim)):
            if not isinstance(width, int) or isinstance(width, bool) or width < 1:
                raise ValueError(f"{name} must be an int of at least 1, got {width!r}")
        if score not in get_args(Score):
            raise ValueError(f"score must be one of {get_args(Score)}, got {score!r}")
        if project is not None and project not in get_args(Projected):
            raise ValueError(f"project must be one of {get_args(Projected)}, got {project!r}")
        if project is None and local_dim != global_dim:
            raise ValueError(
                "local_dim and global_dim must be equal without a projection, got "
                f"{local_dim} and {global_dim}: give project='local' or project='global'"
            )
        self.local_dim, self.global_dim = local_dim, global_dim
        self.score_by, self.project = score, project
        self.dim = local_dim if project == "global" else global_dim
        self.score = nn.Linear(self.dim, 1, bias=False) if score == "pc" else None
        if project is None:
            self.projection = None
        else:
            ends = (local_dim, global_dim) if project == "local" else (global_dim, local_dim)
            self.projection = nn.Linear(*ends, bias=False)

    def forward(self, local: Tensor, global_feature: Tensor) -> tuple[Tensor, Tensor]:
        """The attended vector [B, D] and the weights [B, h, w] of the positions.

        Args:
            local: the map [B, local_dim, h, w], of any strides.
            global_feature: [B, global_dim], in the dtype of the map.

        Raises:
            ValueError: a shape does not fit.
        """
        if local.dim() != 4 or local.shape[1] != self.local_dim:
            raise ValueError(
                f"local must have shape [B, {self.local_dim}, h, w], got {list(local.shape)}"
            )
        wanted = [local.shape[0], self.global_dim]
        if list(global_feature.shape) != wanted:
            raise ValueError(
                f"global_feature must have shape {wanted}, got {list(global_feature.shape)}"
            )
        query = self._query(global_feature)
        with without_autocast(local.device.type):
            pooled, weights = functional.attention_pool(
                local, query.to(local.dtype), backend=self.backend
            )
        if self.project == "local" and self.projection is not None:
            pooled = self.projection(pooled)
        return pooled, weights

    def _query(self, global_feature: Tensor) -> Tensor:
        """By what the vectors of the map are scored: [local_dim], or one for each image."""
        if self.score is not None:
            query = self.score.weight[0]
        elif self.project == "global" and self.projection is not None:
            query = self.projection(global_feature)
        else:
            query = global_feature
        if self.project == "local" and self.projection is not None:
            query = F.linear(query, self.projection.weight.t())
        return query

    def extra_repr(self) -> str:
        return f"{self.local_dim}, {self.global_dim}, score={self.score_by!r}"
