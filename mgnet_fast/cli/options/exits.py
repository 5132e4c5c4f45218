"""Exit rules as given on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from .option import option

if TYPE_CHECKING:
    from ...engine import ExitRule


ExitKind = Literal["confidence", "margin", "entropy", "never"]
"""The rule by which an image leaves early."""

Exit = Annotated[ExitKind, option("NAME", "confidence, margin, entropy or never.", "--exit")]
Threshold = Annotated[
    float | None,
    option("X", "Threshold of the exit rule.", show_default="0.9, 0.8, 0.3 by --exit"),
]


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
