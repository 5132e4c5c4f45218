"""The sums of the convolution kernels stay in registers, as the compiler built them here.

No result shows when they do not: one more local variable once cost AVX2 twice the time.
"""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

import mgnet_fast._native

MULTIPLY_ADD = re.compile(r"\tvfm\w+ps ")
STORED_ON_THE_STACK = re.compile(r"\tv?mov\w*\s+%[yz]mm\d+,.*\(%r[sb]p")
CONSTANT = re.compile(r"\(%rip\)")  # of Winograd's transforms, which have no sums to keep
JUMP = re.compile(r"^ *([0-9a-f]+):\tj\w+ +([0-9a-f]+) ")
ADDRESS = re.compile(r"^ *([0-9a-f]+):\t")


def innermost_loops(listing: str) -> Iterator[list[str]]:
    """The instructions between a backward jump and its target, where no other jumps back within."""
    lines = [line for line in listing.splitlines() if ADDRESS.match(line)]
    at = {int(ADDRESS.match(line)[1], 16): i for i, line in enumerate(lines)}
    last = -1  # the line of the latest backward jump
    for i, line in enumerate(lines):
        jump = JUMP.match(line)
        begin = at.get(int(jump[2], 16)) if jump else None
        if begin is not None and begin <= i:
            if begin > last:
                yield lines[begin : i + 1]
            last = i


@pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("objdump") is None,
    reason="reads x86-64 instructions with objdump",
)
def test_no_loop_of_multiply_adds_stores_its_sums_on_the_stack():
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", mgnet_fast._native.__file__],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    full = 10  # multiply-adds of a tile of five pixels in AVX2, where registers are fewest
    loops = [
        loop
        for loop in innermost_loops(listing)
        if count(MULTIPLY_ADD, loop) >= full and not count(CONSTANT, loop)
    ]
    assert len(loops) >= 12, "the kernels' loops are not where this test looks"
    for loop in loops:  # a few other values may be there, as in the loops of the glimpse
        assert 4 * count(STORED_ON_THE_STACK, loop) < count(MULTIPLY_ADD, loop), "\n".join(loop)


def count(pattern: re.Pattern[str], loop: list[str]) -> int:
    return sum(pattern.search(line) is not None for line in loop)
