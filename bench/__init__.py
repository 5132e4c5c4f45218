"""Benchmarks: ``pytest bench``, ``python -m bench.report``.

Started with ``python -m`` the repository's root is first on ``sys.path``, and the folder
mgnet_fast/ beside this one would shadow the installed package, which alone has the extension.
"""

import sys
from pathlib import Path

_root = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _root]
