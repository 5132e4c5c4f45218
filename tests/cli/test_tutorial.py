"""The walk through in docs/tutorial.md: its commands run as they stand, in order, and end well."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mgnet_fast.cli.commands import serve

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
NEEDED = ("onnx", "onnxruntime", "onnxscript", *serve.NEEDED)


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_every_picture_of_the_page_is_there() -> None:
    named = re.findall(r"\]\((pictures/[^)]+)\)", PAGE.read_text())
    assert len(named) == 3
    for name in named:
        assert (PAGE.parent / name).stat().st_size < 200_000


def test_every_command_of_the_page_works(tmp_path: Path) -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    missing += [name for name in ("bash", "curl") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"the page needs {', '.join(missing)}: pip install '.[export,serve]'")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, words in (("mgnet-fast", "-m mgnet_fast"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    for script in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", script)
        assert name
        (tmp_path / name[1]).write_text(script)
    ended = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"  # no service outlives the test
    program = "\n".join([ended, *blocks("bash")])
    ran = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", program],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stdout[-5000:]
    for made in ("looks/looks.html", "looks/glimpses.png", "budget.png", "exported/loop.onnx"):
        assert (tmp_path / made).is_file(), made
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = [Path(row["path"]).parent.name == row["class"] for row in rows]
    assert len(right) == 100
    assert sum(right) >= 85  # the page shows more
    assert '"class_name"' in ran.stdout  # the answer of the service
