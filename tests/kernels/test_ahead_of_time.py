"""The Triton kernels compile for GPUs that are not there, and no thread spills its registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mgnet_fast.ops.attention import triton_attention
from mgnet_fast.ops.backends.triton import LAUNCHER
from mgnet_fast.ops.fusion import triton_fusion
from mgnet_fast.ops.fusion.fusion_weights import FoldedFusion, StepWeights
from mgnet_fast.ops.fusion.slot_state import SlotState, admit, settle
from mgnet_fast.ops.sampling import Options, RangeMap, Sampling

pytest.importorskip("triton", reason="triton is not installed")
ahead_of_time = pytest.importorskip(
    "support.ahead_of_time", reason="mgnet_fast.kernels is not installed", exc_type=ImportError
)
compiled, launches_of = ahead_of_time.compiled, ahead_of_time.launches_of

# image dtype, result dtype, channels_last, constants, index: what a network asks for
SHIPPED = {
    "float32 planes": (torch.float32, torch.float32, False, False, False),
    "bfloat16 planes": (torch.bfloat16, torch.bfloat16, False, False, False),
    "camera bytes to bfloat16": (torch.uint8, torch.bfloat16, True, True, True),
    "bytes to float32": (torch.uint8, torch.float32, False, True, False),
    "float16 pixels": (torch.float16, torch.float16, True, False, True),
    "float64 planes": (torch.float64, torch.float64, False, True, False),
}
RANGE = RangeMap(0.2, 0.5, 0.02)
EVERYWHERE = ("float32 planes", "camera bytes to bfloat16", "float16 pixels")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def _meta(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    order = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device="meta", memory_format=order)


def _runs(
    case: str, channels: int = 3, antialias: bool = False, clamp_to_region: bool = False
) -> dict[str, Callable[[], Any]]:
    """Each launcher of the backend on tensors without memory."""
    dtype, result, last, constants, indexed = SHIPPED[case]
    image = _meta((256, channels, 224, 224), dtype, last)
    grad = _meta((256, channels, 96, 96), result, last)
    region = _meta((256, 3), torch.float64 if dtype == torch.float64 else torch.float32)
    index = _meta((256,), torch.int64) if indexed else None
    rows = _meta((2, channels), torch.float64) if constants else None
    name = str(result).removeprefix("torch.")
    options = Options(
        96, 96, not clamp_to_region, "zeros", name, last, "triton", antialias, clamp_to_region
    )
    sampling = Sampling(image, index, rows, None, options)
    runs: dict[str, Callable[[], Any]] = {
        "glimpse": lambda: LAUNCHER.glimpse(sampling, region),
        "glimpse_from_logits": lambda: LAUNCHER.glimpse_from_logits(sampling, region, RANGE),
        "region_gradient": lambda: LAUNCHER.region_gradient(sampling, region, grad),
        "logits_gradient": lambda: LAUNCHER.logits_gradient(
            sampling, region, region, RANGE, grad, region
        ),
    }
    if dtype != torch.uint8:
        runs["image_gradient"] = lambda: LAUNCHER.image_gradient(sampling, region, grad)
    return runs


@pytest.mark.parametrize(
    ("case", "capability"),
    [(case, 90) for case in SHIPPED]
    + [(case, other) for case in EVERYWHERE for other in (80, 100)],
)
def test_compiles_without_spills(case: str, capability: int) -> None:
    seen = set()
    for name, run in _runs(case).items():
        for launch in launches_of(run):
            kernel = launch.kernel.__name__
            if kernel in seen and name != "glimpse_from_logits":
                continue  # the same kernel with the same specialisation
            seen.add(kernel)
            used = ahead_of_time.usage(compiled(launch, capability), capability)
            assert used.spilled == 0, f"{name}: {kernel} spills {used.spilled} bytes"
    assert seen >= {"glimpse_kernel", "region_sums_kernel", "logits_gradient_kernel"}


@pytest.mark.parametrize(
    ("case", "capability"),
    [("float32 planes", 80), ("camera bytes to bfloat16", 90), ("float32 planes", 100)],
)
def test_clamped_samples_compile_without_spills(case: str, capability: int) -> None:
    runs = _runs(case, clamp_to_region=True)
    for name in ("glimpse", "region_gradient", "image_gradient"):
        for launch in launches_of(runs[name]) if name in runs else ():
            if launch.constants.get("CLAMP"):
                used = ahead_of_time.usage(compiled(launch, capability), capability)
                assert used.spilled == 0, f"{launch.kernel.__name__} spills {used.spilled} bytes"


@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("case", EVERYWHERE)
def test_the_filter_compiles_without_spills(case: str, capability: int) -> None:
    """Whatever depends on antialiasing, and nothing that is compiled above."""
    seen = set()
    runs = _runs(case, antialias=True)
    for name in ("glimpse", "region_gradient", "image_gradient"):
        for launch in launches_of(runs[name]) if name in runs else ():
            kernel = launch.kernel.__name__
            if kernel.startswith(("filtered", "reach")):
                seen.add(kernel)
                used = ahead_of_time.usage(compiled(launch, capability), capability)
                assert used.spilled == 0, f"{name}: {kernel} spills {used.spilled} bytes"
    assert seen >= {"filtered_glimpse_kernel", "filtered_sums_kernel"}


@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize(
    ("width", "dtype"), [(131, torch.float32), (515, torch.float64), (2051, torch.float32)], ids=str
)
def test_the_fusion_step_compiles_without_spills(
    width: int, dtype: torch.dtype, capability: int
) -> None:
    square, row = _meta((width, width), dtype), _meta((width,), dtype)
    weights = StepWeights(
        FoldedFusion(square, row, square, row), (row, row),
        (_meta((1000, width), dtype), _meta((1000,), dtype)),
        (_meta((3, width), dtype), _meta((3,), dtype)), 1e-5, (0.2, 0.5),
    )  # fmt: skip
    feature, region = _meta((64, width - 3), torch.bfloat16), _meta((64, 3), torch.float32)
    tokens, length = _meta((64, 4, width), dtype), _meta((64,), torch.int64)
    launches = launches_of(
        lambda: triton_fusion.fusion_step(feature, region, tokens, length, weights)
    )
    alone = launches_of(lambda: triton_fusion.fuse_glimpse(tokens, length, weights.folded))
    names = [launch.kernel.__name__ for launch in launches]
    assert names == ["append_kernel", "attend_kernel", "state_kernel"]
    for launch in (*launches, alone[0]):
        used = ahead_of_time.usage(compiled(launch, capability), capability)
        assert used.spilled == 0, f"{launch.kernel.__name__} spills {used.spilled} bytes"


@pytest.mark.parametrize(
    ("slots", "classes", "capability"),
    [(256, 1000, 80), (256, 1000, 90), (256, 1000, 100), (1, 10, 90), (1024, 100, 90)],
)
def test_slots_compile_without_spills(slots: int, classes: int, capability: int) -> None:
    numbers, flags = _meta((slots,), torch.int64), _meta((slots,), torch.bool)
    one, regions = _meta((1,), torch.int64), _meta((slots, 3), torch.float32)
    state = SlotState(
        control=_meta((3 + 2 * slots,), torch.int64), length=numbers, place=numbers,
        region=regions, first_region=_meta((1, 3), torch.float32),
        seen=_meta((slots, 4, 3), torch.float32), admitted=one, turn=one,
        records=_meta((2, slots, classes + 14), torch.float32),
    )  # fmt: skip
    logits = _meta((slots, classes), torch.float32)
    for launch in launches_of(
        lambda: (admit(state, "triton"), settle(state, logits, regions, flags, "triton"))
    ):
        used = ahead_of_time.usage(compiled(launch, capability), capability)
        assert used.spilled == 0, f"{launch.kernel.__name__} spills {used.spilled} bytes"


@pytest.mark.parametrize(
    ("dtype", "channels_last", "capability"),
    [(torch.float32, False, 80), (torch.float32, False, 90), (torch.float32, False, 100),
     (torch.bfloat16, True, 90), (torch.float64, False, 80)],
    ids=str,
)  # fmt: skip
def test_the_attention_pool_compiles_without_spills(
    dtype: torch.dtype, channels_last: bool, capability: int
) -> None:
    local, query = _meta((32, 512, 16, 16), dtype, channels_last), _meta((512,), dtype)
    kept = torch.promote_types(dtype, torch.float32)
    weights, from_pooled = _meta((32, 16, 16), kept), _meta((32, 512), dtype)
    launches = launches_of(lambda: triton_attention.attention_pool(local, query))
    launches += launches_of(
        lambda: triton_attention.attention_pool_backward(
            local, query, weights, from_pooled, weights, wants_local=True
        )
    )
    names = [launch.kernel.__name__ for launch in launches]
    assert names == ["score_kernel", "pool_kernel", "score_kernel", "slope_kernel"]
    for launch in launches:
        used = ahead_of_time.usage(compiled(launch, capability), capability)
        assert used.spilled == 0, f"{launch.kernel.__name__} spills {used.spilled} bytes"


@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_pools_compile_without_spills(dtype: torch.dtype, capability: int) -> None:
    buffer, table = _meta((1, 3, 1, 2**33), dtype), _meta((64, 6), torch.int64)
    region, index = _meta((256, 3), torch.float32), _meta((256,), torch.int64)
    grad = _meta((256, 3, 96, 96), torch.float32)
    rows = _meta((2, 3), torch.float64)
    options = Options(96, 96, True, "zeros", "bfloat16", False, "triton")
    sampling = Sampling(buffer, index, rows, table, options)
    for launch in launches_of(
        lambda: (
            LAUNCHER.glimpse_from_logits(sampling, region, RANGE),
            LAUNCHER.region_gradient(sampling, region, grad),
        )
    ):
        used = ahead_of_time.usage(compiled(launch, capability), capability)
        name = launch.kernel.__name__
        assert used.spilled == 0, f"{name} spills {used.spilled} bytes"
        if "OFFSET" in launch.constants:
            assert str(launch.constants["OFFSET"]) == "int64"


def test_the_forward_is_one_launch_from_logits_too() -> None:
    runs = _runs("camera bytes to bfloat16")
    assert len(launches_of(runs["glimpse"])) == 1
    assert len(launches_of(runs["glimpse_from_logits"])) == 1


def test_more_than_two_to_the_31_elements_are_addressed_in_64_bits() -> None:
    """One image of that size takes 64-bit offsets; a batch of smaller ones needs them only for the
    batch and the channel, which always have them."""
    for image, wide in (
        (_meta((1, 1, 50000, 50000), torch.uint8), True),
        (_meta((2, 3, 30000, 30000), torch.uint8, channels_last=True), True),
        (_meta((2000, 3, 1024, 1024), torch.uint8), False),
    ):
        region = _meta((image.shape[0], 3), torch.float32)
        options = Options(8, 8, True, "zeros", "float32", False, "triton")
        sampling = Sampling(image, None, None, None, options)
        (launch,) = launches_of(
            lambda sampling=sampling, region=region: LAUNCHER.glimpse(sampling, region)
        )
        assert str(launch.constants["OFFSET"]) == ("int64" if wide else "int32")
        assert compiled(launch, 90).asm["cubin"]
