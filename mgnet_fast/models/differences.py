"""What does not fit between the weights of a network and those that are given, in words."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 8  # most names per kind of difference


def in_words(differences: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Kinds of differences, each with the names that it concerns; empty if there are none."""
    return "; ".join(_listed(kind, names) for kind, names in differences if names)


def _listed(kind: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{kind}: {', '.join(names[:_SHOWN])}{more}"
