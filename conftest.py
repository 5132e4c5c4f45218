"""``python -m pytest`` from here tests the installed package, as ``pytest`` does.

Python puts the folder that ``-m`` is started in first on ``sys.path``, where the folder mgnet_fast/
beside this file would shadow the installed package, which alone has the extension. Who names this
folder in PYTHONPATH wants it; an editable install lists it behind the standard library.
"""

import os
import sys
import sysconfig
from pathlib import Path

_root = Path(__file__).resolve().parent
_named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if _root not in [Path(entry).resolve() for entry in _named if entry]:
    _library = sysconfig.get_path("stdlib")
    _end = sys.path.index(_library) if _library in sys.path else 0
    sys.path[:_end] = [entry for entry in sys.path[:_end] if Path(entry or ".").resolve() != _root]
