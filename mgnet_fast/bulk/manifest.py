"""The manifest of an output folder: what its results were made from and how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from .units import Shard, Unit, digest_of

_PATTERN = "_manifest-*-of-*.json"


@dataclass(frozen=True)
class Manifest:
    """What results depend on.

    Attributes:
        network: a digest of config and weights.
        options: of the command, as plain values.
        inputs: number of units and a digest of the names.
        shards: number of runs that share the work.
        runner: the engine's runner; not compared, a resumed run takes the same one.
        classes: names of the classes; not compared, they belong to the network.
        version: of the package; not compared.
    """

    network: str
    options: dict[str, Any]
    inputs: dict[str, Any]
    shards: int
    runner: str | None = None
    classes: list[str] | None = None
    version: str = field(default=__version__)

    @staticmethod
    def inputs_of(units: Sequence[Unit]) -> dict[str, Any]:
        """What ``inputs`` says of these units."""
        files = sum(len(unit.files) for unit in units)
        return {"files": files, "digest": digest_of(units)}

    def differences(self, other: Manifest) -> list[str]:
        """What this one has otherwise than ``other``, in words: "exit was ..., is ..."."""
        found = []
        if self.network != other.network:
            found.append("another network")
        for name in sorted({*self.options, *other.options}):
            before, now = other.options.get(name), self.options.get(name)
            if before != now:
                found.append(f"{name} was {before}, is {now}")
        if self.inputs != other.inputs:
            before, now = other.inputs["files"], self.inputs["files"]
            found.append(
                f"inputs were {before:,} files, are {now:,}"
                if before != now
                else "inputs have other names, another order or other sizes"
            )
        if self.shards != other.shards:
            found.append(f"shard was I/{other.shards}, is I/{self.shards}")
        return found


def manifest_path(folder: Path, shard: Shard) -> Path:
    """Where the manifest of one run is."""
    return folder / f"_manifest-{shard.index}-of-{shard.count}.json"


def read_manifests(folder: Path) -> dict[Path, Manifest]:
    """The manifests in a folder.

    Raises:
        ValueError: one is damaged, or of another version of this file.
    """
    found = {}
    for path in sorted(folder.glob(_PATTERN)):
        try:
            found[path] = Manifest(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} must be a manifest of predict, got {error}") from error
    return found


def check_manifest(path: Path, manifest: Manifest) -> None:
    """Refuse a folder with results of other inputs, options or another network.

    Raises:
        ValueError: it has such results; the differences are named.
    """
    for before in read_manifests(path).values():
        differences = manifest.differences(before)
        if differences:
            raise ValueError(
                f"{path} holds results of another run: {'; '.join(differences)}. "
                "Repeat that run's options, or give another folder"
            )


def as_json(manifest: Manifest) -> str:
    """The content of the file."""
    return json.dumps(asdict(manifest), indent=1) + "\n"
