"""A forked process under test, which may hang."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest


def forked(child: Callable[[], bool], seconds: float = 20.0) -> int:
    """The exit status of a forked process: 0 if ``child`` is true there. One that hangs fails."""
    process = os.fork()
    if process == 0:
        os._exit(0 if child() else 1)
    return exit_code(process, seconds)


def exit_code(process: int, seconds: float) -> int:
    """That of a forked process; one that hangs fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    pytest.fail(f"the forked process did not end in {seconds} s")
