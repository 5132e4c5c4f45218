"""What does not fit between the weights of a network and those that are given, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_SHOWN = 8  # most names per kind of difference


def in_words(
    differences: Sequence[tuple[str, Sequence[str]]], *, shown: int | None = _SHOWN
) -> str:
    """Kinds of differences, each with the names that it concerns; empty if there are none.

    Args:
        differences: (kind, names).
        shown: most names per kind; None: all.
    """
    return "; ".join(_listed(kind, names, shown) for kind, names in differences if names)


def layers_of(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """The shortest paths of modules that contain ``names`` but none of ``others``.

    ``layer1.0.conv3.weight`` becomes ``layer1.0.conv3``, ``layer1.0`` or ``layer1``, whichever
    comes first that has nothing of ``others`` in it.
    """
    taken = {path for name in others for path in _paths(name)}
    found = {next((each for each in _paths(name) if each not in taken), name) for name in names}
    return sorted(found, key=_natural)


def _paths(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def _listed(kind: str, names: Sequence[str], shown: int | None) -> str:
    more = f" and {len(names) - shown} more" if shown is not None and len(names) > shown else ""
    return f"{kind}: {', '.join(names[:shown])}{more}"
