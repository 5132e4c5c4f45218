"""Tar shards in the layout of webdataset."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Literal


def write_shard(path: Path, files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w") -> Path:
    """A tar file with these members."""
    with tarfile.open(path, mode) as shard:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    return path
