"""An output folder: its lock, its manifest, and the parts that are finished."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from .formats import Format, count_errors, write_part
from .manifest import Manifest, as_json, manifest_path
from .rows import Row
from .units import Shard, Unit

_PART = re.compile(r"part-(\d+)-(\d+)-(\d+)(-end)?\.(jsonl|csv|parquet)")
_UNFINISHED = re.compile(r"\.(.*)\.[0-9a-f]{32}\.unfinished")


@dataclass(frozen=True)
class Part:
    """A finished part: images ``start`` to ``stop`` - 1 of a unit.

    The name of its file says all this, so that giving the file its name is what finishes a part.
    """

    unit: int
    start: int
    stop: int
    is_end: bool
    form: Format

    @property
    def name(self) -> str:
        end = "-end" if self.is_end else ""
        return f"part-{self.unit:05}-{self.start:07}-{self.stop:07}{end}.{self.form}"

    @staticmethod
    def parse(name: str) -> Part | None:
        """The part that a file of this name is, or None."""
        found = _PART.fullmatch(name)
        if found is None:
            return None
        unit, start, stop, end, form = found.groups()
        return Part(int(unit), int(start), int(stop), end is not None, form)  # type: ignore[arg-type]


@dataclass(frozen=True)
class PartFolder:
    """A folder of parts; can be sent to other processes."""

    path: Path
    manifest: Manifest
    form: Format

    def commit(self, unit: int, start: int, rows: Sequence[Row], *, is_end: bool) -> Part:
        """Write rows as the part from ``start`` on.

        The file is whole or not there: it gets its name when its content is on the disk.

        Raises:
            OSError: it cannot be written. Finished parts stay.
        """
        part = Part(unit, start, start + len(rows), is_end, self.form)
        about = asdict(self.manifest)

        def content(file: BinaryIO) -> None:
            write_part(file, self.form, rows, self.manifest.classes, about)

        try:
            write_whole(self.path / part.name, content)
        except OSError as error:
            said = (
                f"{error.strerror or error}; finished parts are kept: repeat the command to go on"
            )
            raise OSError(error.errno, said, str(self.path / part.name)) from error
        return part

    def started(self, shard: Shard, units: Sequence[Unit], runner: str | None) -> PartFolder:
        """This folder with the runner in its manifest, which is stored. What a kill has left of
        ``units`` is removed.

        Raises:
            OSError: the folder cannot be written to.
        """
        mine = {unit.number for unit in units}
        kept = {part.name for parts in self.parts(units).values() for part in parts}
        manifest = replace(self.manifest, runner=runner)
        described = manifest_path(self.path, shard)
        for file in self.path.iterdir():
            unfinished = _UNFINISHED.fullmatch(file.name)
            name = unfinished[1] if unfinished else file.name
            part = Part.parse(name)
            is_mine = (part is not None and part.unit in mine) or name == described.name
            if is_mine and file.name not in {*kept, described.name}:
                file.unlink(missing_ok=True)
        text = as_json(manifest).encode()
        write_whole(described, lambda file: file.write(text))
        return replace(self, manifest=manifest)

    def parts(self, units: Sequence[Unit]) -> dict[int, list[Part]]:
        """The finished parts of units, in order, each going on where the one before ends."""
        found: dict[int, list[Part]] = {unit.number: [] for unit in units}
        with os.scandir(self.path) as files:
            parsed = [part for file in files if (part := Part.parse(file.name)) is not None]
        for part in sorted(parsed, key=lambda part: (part.unit, part.start, part.stop)):
            here = found.get(part.unit)
            if here is None:
                continue
            if part.start == (here[-1].stop if here else 0):
                here.append(part)
        return found

    def errors(self, parts: Iterable[Part]) -> int:
        """How many images of these parts could not be read."""
        return sum(count_errors(self.path / part.name, part.form) for part in parts)


@contextmanager
def claimed(path: Path, shard: Shard) -> Iterator[None]:
    """Make a folder this run's own; another run into it that does the same shard is refused.

    A process that dies gives it back.

    Raises:
        ValueError: another run has it, or it holds other files than those of predict.
        OSError: it cannot be made or written to.
    """
    from filelock import FileLock, Timeout

    path.mkdir(parents=True, exist_ok=True)
    foreign = sorted(each.name for each in path.iterdir() if each.name[0] not in "._")
    foreign = [name for name in foreign if Part.parse(name) is None]
    if foreign:
        raise ValueError(
            f"out must be a new folder, or one that predict has begun, got {path} with {foreign[0]}"
        )
    lock = FileLock(path / f"_lock-{shard.index}-of-{shard.count}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"another run is writing to {path}: wait for its end, or give another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name, flush it to the disk, then give it its name.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.unfinished")
    try:
        with unfinished.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _flush_names(path.parent)


def _flush_names(folder: Path) -> None:
    if os.name != "posix":
        return  # elsewhere folders cannot be opened
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
