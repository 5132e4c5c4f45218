"""Methods of an MGNet that take over networks of the published code."""

from __future__ import annotations

from typing import Any, Self

from torch import nn

from ..shared_folder import SharedAsFolder, provided


class FromFiles(SharedAsFolder):
    """Mixin: takes over networks of the published code, and shares networks as folders."""

    @classmethod
    def from_hparams(cls, hparams: Any, backbone: nn.Module, dim: int) -> Self:
        """Makes the network from constructor arguments of the published code.

        Args:
            hparams: a namespace or mapping with at least ``num_class``, ``n_iter`` and ``scale``.
            backbone: maps [B, C, h, w] to [B, dim].
            dim: number of features of the backbone.

        Raises:
            TypeError: ``hparams`` is neither a mapping nor a namespace.
            ValueError: a name is missing, or an option has a value that this package does not
                support.
        """
        return provided("from_hparams", hparams, backbone, dim)

    @classmethod
    def from_reference(cls, module: nn.Module) -> Self:
        """Makes the network from a live model of the published code, with its backbone module.

        Parameters are shared, not copied, so optimisers that hold them stay valid.

        Raises:
            ValueError: ``module`` is not such a model, or uses an option that this package does
                not support.
        """
        return provided("from_reference", module)
