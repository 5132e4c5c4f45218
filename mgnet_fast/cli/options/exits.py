"""Exit rules as given on the command line."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...engine import ExitRule


class ExitKind(StrEnum):
    """When an image has been looked at enough."""

    confidence = "confidence"
    margin = "margin"
    entropy = "entropy"
    never = "never"


def exit_rule(kind: ExitKind, threshold: float | None) -> ExitRule:
    """The rule of this name, with its own threshold unless one is given."""
    from ...engine import Confidence, Entropy, Margin, Never

    if kind is ExitKind.never:
        return Never()
    rule = {
        ExitKind.confidence: Confidence,
        ExitKind.margin: Margin,
        ExitKind.entropy: Entropy,
    }[kind]
    return rule() if threshold is None else rule(threshold)
