"""Imports an optional library, or says in a sentence why it cannot be used."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from types import ModuleType


class CannotRun(ValueError):
    """Why something cannot run here, as a sentence without a full stop."""

    @classmethod
    def because(cls, what: str, error: BaseException) -> CannotRun:
        """``what`` and the first line of what ``error`` says."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        return cls(f"{what}: {reason[:300]}")


def library(name: str, at_least: str, extra: str) -> ModuleType:
    """The module ``name``.

    Args:
        name: of the package and of the module.
        at_least: the oldest version that works, such as "1.20".
        extra: of this package, that installs it.

    Raises:
        CannotRun: it is not installed, too old, or cannot be imported.
    """
    hint = f"pip install 'mgnet-fast[{extra}]'"
    if importlib.util.find_spec(name) is None:
        raise CannotRun(f"it needs {name}, which is not installed: {hint}")
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found = at_least  # built by hand: the import decides
    if _numbers(found) < _numbers(at_least):
        raise CannotRun(f"it needs {name} {at_least} or newer, and {found} is installed: {hint}")
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken installation raises anything
        raise CannotRun.because(f"{name} {found} cannot be imported", error) from error


def _numbers(version: str) -> tuple[int, ...]:
    """Major and minor version."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
