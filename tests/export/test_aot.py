"""A package of AOTInductor: compiled, loaded, and run on other shapes than it was compiled with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mgnet_fast.export import (
    BatchRange,
    ExportOptions,
    export_model,
    load_aot,
    loop_of_steps,
    measure_parity,
)
from mgnet_fast.export.formats import aot
from mgnet_fast.models import MGNet


@pytest.mark.skipif(
    not any(shutil.which(name) for name in ("g++", "clang++")), reason="there is no C++ compiler"
)
def test_a_step_of_any_slots_and_size(toy: MGNet, tmp_path: Path) -> None:
    # A step is the quickest thing to compile: about 25 seconds.
    options = ExportOptions(BatchRange(1, 4, 16), what="step", input="uint8")
    done = export_model(toy, tmp_path, "aot", options)
    assert done.parity.holds, done.parity
    assert done.artefact.name == "step.pt2"
    assert json.loads(done.manifest.read_text())["format"] == "aot"
    run = loop_of_steps(load_aot(done.artefact), toy, options)
    for shape in ((1, 112, 112, 1), (5, 90, 150, 1), (16, 40, 28, 1)):
        images = torch.linspace(0, 255, shape[1] * shape[2]).reshape(1, *shape[1:])
        parity = measure_parity(run, toy, [images.repeat(shape[0], 1, 1, 1).to(torch.uint8)])
        assert parity.holds, parity


def test_a_missing_compiler_is_named_with_its_remedy(toy, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(aot.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler, but 'g\+\+' is not on PATH"):
        aot.write_aot(toy, tmp_path / "loop.pt2", ExportOptions())


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"package .*none.pt2 does not exist"):
        load_aot(tmp_path / "none.pt2")
