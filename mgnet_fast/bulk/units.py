"""Units of work: a tar shard, or a block of image files."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..data.sources.listing import is_tar
from ..data.sources.tar_shards import check_shard, members


@dataclass(frozen=True)
class Shard:
    """One of ``count`` runs that share the work; ``index`` is 1 to ``count``.

    Raises:
        ValueError: ``index`` is not within.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(
                f"shard must be I/N with I from 1 to N, such as 1/4, got {self.index}/{self.count}"
            )

    @staticmethod
    def parse(text: str) -> Shard:
        """The shard that "I/N" names.

        Raises:
            ValueError: it names none.
        """
        index, _, count = text.partition("/")
        try:
            return Shard(int(index), int(count))
        except ValueError:
            raise ValueError(
                f"shard must be I/N with I from 1 to N, such as 1/4, got {text}"
            ) from None

    def has(self, unit: int) -> bool:
        """Whether this run does the unit of this number."""
        return unit % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class Unit:
    """What one run does in one piece.

    Attributes:
        number: its place in the order of the inputs.
        files: image files, or one tar shard.
        size: number of images, None for a tar shard.
        shard_bytes: size of a tar shard, None if not known.
    """

    number: int
    files: tuple[str, ...]
    size: int | None
    shard_bytes: int | None = None


class Item(NamedTuple):
    """An image of a unit, or a tar shard that cannot be read on.

    Attributes:
        unit: the number of the unit.
        place: number within the unit.
        name: path or URL.
        data: the bytes of the file, if it came out of a tar shard.
        is_last: nothing follows in the unit.
        end: bytes of the tar shard up to here.
        error: why there is no image, or None.
    """

    unit: int
    place: int
    name: str
    data: bytes | None
    is_last: bool
    end: int = 0
    error: str | None = None


def units_of(names: Sequence[str], block: int) -> list[Unit]:
    """Each tar shard is a unit, and every ``block`` image files in a row.

    Raises:
        OSError, ValueError: a tar shard is missing, or is no tar file.
    """
    units: list[Unit] = []
    for in_tar, group in itertools.groupby(names, is_tar):
        files = tuple(group)
        size = 1 if in_tar else block
        for start in range(0, len(files), size):
            here = files[start : start + size]
            number = len(units)
            if in_tar:
                units.append(Unit(number, here, None, _checked(here[0])))
            else:
                units.append(Unit(number, here, len(here)))
    return units


def items_of(unit: Unit, start: int = 0) -> Iterator[Item]:
    """The images of a unit from number ``start`` on."""
    if unit.size is not None:
        for place in range(start, unit.size):
            yield Item(unit.number, place, unit.files[place], None, place == unit.size - 1)
        return
    (shard,) = unit.files
    place = start
    try:
        for member in members(shard, start):
            yield Item(unit.number, place, member.name, member.data, member.is_last, member.end)
            place += 1
    except (OSError, ValueError) as error:
        yield Item(unit.number, place, shard, None, True, error=said(error))


def digest_of(units: Sequence[Unit]) -> str:
    """16 hex digits that differ for other inputs: names, order, and sizes of tar shards."""
    digest = hashlib.sha256()
    for unit in units:
        for name in unit.files:
            digest.update(os.fsencode(name) + f"\n{unit.shard_bytes}\n".encode())
    return digest.hexdigest()[:16]


def said(error: Exception) -> str:
    """What went wrong, without the path."""
    return getattr(error, "strerror", None) or str(error)


def _checked(shard: str) -> int | None:
    try:
        return check_shard(shard)
    except (ValueError, OSError) as error:
        raise ValueError(f"tar shard {shard}: {said(error)}") from error
