"""The shipped toy network, exported once for all tests that only look at the file."""

from __future__ import annotations

import pytest
from support.onnx_libraries import require_onnx

from mgnet_fast.export import BatchRange, Exported, ExportOptions, export_model
from mgnet_fast.models import MGNet, create_model


@pytest.fixture(scope="session")
def toy() -> MGNet:
    return create_model("mgnet_toy", pretrained=True).eval()


@pytest.fixture(scope="session")
def exported(toy: MGNet, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A loop that takes bytes."""
    require_onnx()
    options = ExportOptions(BatchRange(1, 8, 64), input="uint8")
    return export_model(toy, tmp_path_factory.mktemp("loop"), "onnx", options)


@pytest.fixture(scope="session")
def exported_step(toy: MGNet, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A step that takes glimpses of images in float32."""
    require_onnx()
    options = ExportOptions(BatchRange(1, 4, 16), what="step")
    return export_model(toy, tmp_path_factory.mktemp("step"), "onnx", options)


@pytest.fixture(scope="session")
def exported_int8(toy: MGNet, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A step in 8 bits that is given its glimpses."""
    require_onnx()
    options = ExportOptions(BatchRange(1, 4, 16), what="step", precision="int8", sampling="outside")
    return export_model(toy, tmp_path_factory.mktemp("int8"), "onnx", options)
