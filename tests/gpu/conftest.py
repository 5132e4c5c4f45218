"""The device of this folder's tests, and its backends; without a GPU they are skipped and say so.

``MGNET_FAST_TEST_DEVICE=cpu`` runs them on CPU tensors, to try the tests themselves out.
"""

from __future__ import annotations

import os

import pytest
import torch

from mgnet_fast.ops.backends import choice as backends

DEVICE = os.environ.get("MGNET_FAST_TEST_DEVICE", "cuda")


@pytest.fixture
def device() -> str:
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    return DEVICE


KERNELS = [
    backend.name
    for backend in backends.backends()
    if backend.device == DEVICE and backend.available and backend.name != "reference"
]


@pytest.fixture(params=KERNELS or ["no kernels"])
def kernel(request: pytest.FixtureRequest, device: str) -> str:
    """Each backend with kernels that can run on the device."""
    if not KERNELS:
        pytest.skip(f"only the reference can run on {device}")
    name: str = request.param
    return name
