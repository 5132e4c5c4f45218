"""``mgnet-fast train`` for networks that look at whole large scenes of digits, but faster.

    python -m bench.tnet.train_full train --data DIR --model ffnet_toy ...

takes the arguments of ``mgnet-fast``. The toy CNN computes the marked parts of a scene only
(:mod:`bench.tnet.mostly_blank`); the network that is trained and saved is the ordinary one.
"""

from __future__ import annotations

from bench.tnet.mostly_blank import marks_only
from mgnet_fast.cli import main

if __name__ == "__main__":
    with marks_only():
        main()
