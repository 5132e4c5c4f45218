"""``MGNET_FAST_LOG=debug`` shows on stderr what the package decides, such as its backends."""

from __future__ import annotations

import logging
import os
import warnings

ENVIRONMENT_VARIABLE = "MGNET_FAST_LOG"
_LEVELS = ("debug", "info", "warning", "error")


def configure_from_environment() -> None:
    """Gives the package's logger a level and a handler, if the variable asks for it."""
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
