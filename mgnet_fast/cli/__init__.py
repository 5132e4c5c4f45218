"""The commands: ``mgnet-fast demo | train | eval | predict | flops | bench | env``.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from .app import main

__all__ = ["main"]
