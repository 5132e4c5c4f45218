"""A network whose backbone no runner knows, and the libraries that can run it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from support.backbone_libraries import NEEDS, require
from support.networks.inverted_residuals import InvertedResiduals
from torch import Tensor

from mgnet_fast import Engine, MGNet, MGNetConfig, Never
from mgnet_fast.engine.libraries import openvino_backbone


@pytest.fixture(params=NEEDS)
def runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    require(name)
    return name


@pytest.fixture(scope="session")
def foreign() -> MGNet:
    """T = 3, 32 of 48 pixels, weights as far apart as trained ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = MGNetConfig(num_classes=10, in_chans=1, num_glimpses=3, glimpse_size=32)
        return MGNet(config, InvertedResiduals()).eval()


@pytest.fixture(scope="session")
def pictures() -> Tensor:
    """Smooth float32 [24, 1, 48, 48]."""
    coarse = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, (48, 48), mode="bicubic")


Engines = Callable[[str, str], Engine]


@pytest.fixture(scope="session")
def engines(foreign: MGNet, pictures: Tensor) -> Engines:
    """The engine of the network by runner and precision, without early exit, built once."""

    @cache
    def engine(runner: str, precision: str = "fp32") -> Engine:
        require(runner, precision)
        if precision == "bf16":
            try:
                openvino_backbone.check_processor(precision)
            except ValueError as reason:
                pytest.skip(str(reason))
        return Engine(
            foreign, runner=runner, precision=precision, slots=5, exit=Never(), calibration=pictures
        )

    return engine
