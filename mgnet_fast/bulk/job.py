"""What a run is to do, checked before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ..evaluation.row_file import fingerprint
from .folder import PartFolder
from .formats import Format
from .manifest import Manifest, check_manifest, manifest_path, read_manifests
from .scoring import Network, Scorer, Settings, first_images, readers_for
from .units import Shard, Unit, items_of


@dataclass
class Job:
    """The inputs of all runs that share the work, and what this run does of them.

    Attributes:
        settings: how images are scored.
        network: of ``settings``.
        units: of all runs.
        shard: which of them this run does.
        part_size: most images of a part.
        samples: number of calibration images, the first ones of all; 0 for none.
    """

    settings: Settings
    network: Network
    units: Sequence[Unit]
    shard: Shard
    part_size: int
    samples: int = 0

    @cached_property
    def mine(self) -> list[Unit]:
        """The units of this run."""
        return [unit for unit in self.units if self.shard.has(unit.number)]

    @cached_property
    def readers(self) -> int:
        """Threads that read."""
        return readers_for(self.settings, (name for unit in self.mine for name in unit.files))

    def calibration(self) -> list[Tensor] | None:
        """The calibration images, or None.

        Raises:
            ValueError: none can be read.
        """
        if not self.samples:
            return None
        items = (item for unit in self.units for item in items_of(unit))
        return first_images(items, self.network.reading, self.samples)

    def scorer(self, runner: str | None = None) -> Scorer:
        """The engine, with this runner instead of that of the settings."""
        settings = replace(self.settings, runner=runner or self.settings.runner)
        return Scorer(settings, self.network, self.calibration())

    def folder(self, path: Path, form: Format) -> PartFolder:
        """An output folder for this job; it has the runner of the run that began it.

        Raises:
            ValueError: it holds results of other inputs, options or another network.
        """
        manifest = Manifest(
            network=fingerprint(self.network.model),
            options=self.settings.decisive()
            | {"format": form, "part_size": self.part_size, "calibration_images": self.samples},
            inputs=Manifest.inputs_of(self.units),
            shards=self.shard.count,
            classes=self.network.classes,
        )
        check_manifest(path, manifest)
        before = read_manifests(path).get(manifest_path(path, self.shard), manifest)
        return PartFolder(path, replace(manifest, runner=before.runner), form)
