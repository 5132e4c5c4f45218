"""Exit rules as given on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ...engine import ExitRule


ExitKind = Literal["confidence", "margin", "entropy", "never"]
"""When an image has been looked at enough."""


def exit_rule(kind: ExitKind, threshold: float | None) -> ExitRule:
    """The rule of this name, with its own threshold unless one is given."""
    from ...engine import Confidence, Entropy, Margin, Never

    if kind == "never":
        return Never()
    rule = {
        "confidence": Confidence,
        "margin": Margin,
        "entropy": Entropy,
    }[kind]
    return rule() if threshold is None else rule(threshold)
