"""Loads weights into a network, with an error that lists everything that does not fit."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..differences import in_words


def load_weights(
    model: nn.Module, weights: Mapping[str, Tensor], source: str, *, share: bool = False
) -> None:
    """Loads ``weights`` into ``model``, all of them or none.

    Args:
        model: the network.
        weights: a state dict with all its names.
        source: what the error message calls the weights.
        share: use the given tensors themselves as parameters instead of copying their values.

    Raises:
        ValueError: names are missing or unexpected, or shapes differ; the message names them.
    """
    wanted = model.state_dict()
    found = in_words(
        [
            ("missing", [name for name in wanted if name not in weights]),
            ("unexpected", [name for name in weights if name not in wanted]),
            (
                "of another shape",
                [
                    f"{name} (want {list(wanted[name].shape)}, got {list(weights[name].shape)})"
                    for name in wanted
                    if name in weights and wanted[name].shape != weights[name].shape
                ],
            ),
        ]
    )
    if found:
        raise ValueError(f"{source} does not fit the model's configuration: {found}")
    model.load_state_dict(dict(weights), assign=share)
