"""Exit rules as given on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ...engine import ExitRule


ExitKind = Literal["confidence", "margin", "entropy", "never"]
"""The rule by which an image leaves early."""


def exit_rule(kind: ExitKind, threshold: float | None) -> ExitRule:
    """The exit rule of this name, by default with its own threshold."""
    from ...engine import Confidence, Entropy, Margin, Never

    if kind == "never":
        return Never()
    rule = {
        "confidence": Confidence,
        "margin": Margin,
        "entropy": Entropy,
    }[kind]
    return rule() if threshold is None else rule(threshold)
