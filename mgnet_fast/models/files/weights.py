"""Loads weights into a network, with an error that lists everything that does not fit."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

_SHOWN = 8  # most names per kind of difference in the error


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
    differences = [
        _listed("missing", [name for name in wanted if name not in weights]),
        _listed("unexpected", [name for name in weights if name not in wanted]),
        _listed(
            "of another shape",
            [
                f"{name} (want {list(wanted[name].shape)}, got {list(weights[name].shape)})"
                for name in wanted
                if name in weights and wanted[name].shape != weights[name].shape
            ],
        ),
    ]
    found = [difference for difference in differences if difference]
    if found:
        raise ValueError(f"{source} does not fit the model's configuration: {'; '.join(found)}")
    model.load_state_dict(dict(weights), assign=share)


def _listed(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{kind}: {', '.join(names[:_SHOWN])}{more}"
