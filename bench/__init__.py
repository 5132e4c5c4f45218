"""Benchmarks: ``pytest bench``, ``python -m bench.report``.

``python -m`` puts the repository's root first on ``sys.path``, where the folder mgnet_fast/ would
shadow the installed package, which alone has the extension.
"""

import sys
from pathlib import Path

_root = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _root]
