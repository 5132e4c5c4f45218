"""``MGNET_FAST_LOG=debug`` logs the package's decisions, such as its backends, to stderr."""

from __future__ import annotations

import logging
import os
import warnings

ENVIRONMENT_VARIABLE = "MGNET_FAST_LOG"
_LEVELS = ("debug", "info", "warning", "error")


def configure_from_environment() -> None:
    """Set up the package's logger if the variable asks for it."""
    level = os.environ.get(ENVIRONMENT_VARIABLE, "").lower()
    if not level:
        return
    if level not in _LEVELS:
        warnings.warn(
            f"{ENVIRONMENT_VARIABLE} must be one of {', '.join(_LEVELS)}, got {level!r}",
            stacklevel=2,
        )
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("mgnet_fast")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
