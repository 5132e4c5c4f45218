"""What the bindings promise beside the numbers: errors, threads, forks, logits, pools."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from support.forking import forked

from mgnet_fast import glimpse


def test_image_index_out_of_range(call: Any) -> None:
    for bad in (-1, 2):
        glimpse = call(
            torch.randn(2, 1, 8, 8),
            torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]),
            (4, 4),
            image_index=torch.tensor([0, bad]),
        )
        with pytest.raises(ValueError, match=rf"image_index .*\[0, 2\), got {bad} at position 1"):
            glimpse.forward()


def test_wrong_number_of_arguments(native: Any) -> None:
    with pytest.raises(TypeError, match="takes 8 arguments, got 2"):
        native.glimpse_forward(1, 2)
    with pytest.raises(TypeError, match="IMAGE takes 10 arguments, got 2"):
        native.glimpse_plan((0, 1), None, None, None, None, None)


def test_arguments_of_the_wrong_type(call: Any, native: Any) -> None:
    for plan in (0, None, "plan", native.glimpse_forward):
        with pytest.raises(TypeError, match="the first argument must be a plan"):
            native.glimpse_forward(plan, *[0] * 7)
    with pytest.raises(TypeError, match="IMAGE must be a tuple, got int"):
        native.glimpse_plan(*[0] * 6)
    glimpse = call(torch.randn(1, 1, 8, 8), torch.tensor([[1.0, 0, 0]]), (4, 4))
    with pytest.raises(TypeError):
        native.glimpse_forward(glimpse.plan(glimpse.new_glimpse()), "image", *[0] * 6)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"image": (9, 1, 1, 8, 8, 64, 64, 8, 1, 0)}, "image dtype code must be 0 to 4, got 9"),
        ({"image": (0, 1, 1, 0, 8, 64, 64, 8, 1, 0)}, "image must have at least one pixel"),
        ({"image": (2**40, 1, 1, 8, 8, 64, 64, 8, 1, 0)}, "image dtype code must be 0 to 4"),
        ({"region": (0, 5, 3, 1, 1)}, "region must have 3 or 4 columns, got 5"),
        ({"glimpse": (4, 4, 4, 16, 16, 4, 1)}, "glimpse dtype code must be 0 to 3, got 4"),
        ({"glimpse": (0, -4, 4, 16, 16, 4, 1)}, "size must not be negative"),
        ({"grid": (1, 2, 0, 0)}, "padding_mode code must be 0"),
        ({"grid": (0, 0, 1, 1)}, "antialias and clamp_to_region must not both be 1"),
    ],
)
def test_plans_are_checked_when_they_are_made(
    call: Any, groups: dict[str, Any], message: str
) -> None:
    glimpse = call(torch.randn(1, 1, 8, 8), torch.tensor([[1.0, 0, 0]]), (4, 4))
    with pytest.raises(ValueError, match=message):
        glimpse.plan(glimpse.new_glimpse(), **groups)


def test_what_a_plan_or_a_call_lacks_is_named(call: Any, native: Any) -> None:
    glimpse = call(torch.randn(1, 1, 8, 8), torch.tensor([[1.0, 0, 0]]), (4, 4))
    out = glimpse.new_glimpse()
    plan, *addresses = glimpse.common(out)
    some = out.data_ptr()
    for place, name in ((0, "image"), (2, "region"), (5, "glimpse")):
        missing = [0 if k == place else address for k, address in enumerate(addresses)]
        with pytest.raises(ValueError, match=f"{name} must have an address, got 0"):
            native.glimpse_forward(plan, *missing, 1)
    with pytest.raises(ValueError, match="region gradient must have an address"):
        native.glimpse_backward_region(plan, *addresses, 0, 1)
    with pytest.raises(ValueError, match="logits dtype must be float32 or float64"):
        native.glimpse_from_logits_forward(plan, *addresses, some, 1)
    with pytest.raises(ValueError, match="image gradient dtype code must be 0 to 3"):
        native.glimpse_backward_image(plan, *addresses, some, 1)
    with pytest.raises(ValueError, match="agree on whether there is a pool"):
        native.glimpse_forward(plan, addresses[0], some, *addresses[2:], 1)


def test_region_count_without_index(call: Any) -> None:
    glimpse = call(torch.randn(2, 1, 8, 8), torch.tensor([[1.0, 0, 0]]), (4, 4))
    with pytest.raises(ValueError, match="2 images, 1 regions"):
        glimpse.forward()


def test_unknown_isa(native: Any) -> None:
    with pytest.raises(ValueError, match=r"isa must be one of .*portable, got mmx"):
        native.select_isa("mmx")


def test_empty(call: Any) -> None:
    empty = call(torch.randn(0, 3, 8, 8), torch.empty(0, 3), (4, 4))
    assert empty.forward().shape == (0, 3, 4, 4)
    assert empty.backward_region(torch.empty(0, 3, 4, 4)).shape == (0, 3)
    no_glimpse = call(
        torch.randn(2, 3, 8, 8), torch.empty(0, 3), (4, 4), image_index=torch.empty(0).long()
    )
    assert (no_glimpse.backward_image(torch.empty(0, 3, 4, 4)) == 0).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bfloat16])
def test_same_bits_for_any_number_of_threads(
    call: Any, isa: str, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    image = (torch.rand(5, 3, 120, 140) * 255).to(dtype).contiguous(memory_format=layout)
    region = torch.rand(7, 3) * 0.5 + 0.1
    index = torch.tensor([4, 1, 1, 0, 3, 2, 1])
    results = []
    for threads in (1, 2, 3, 5):
        glimpse = call(image, region, (64, 61), image_index=index, threads=threads)
        out = glimpse.forward()
        gradient = out * 0.25 - 1
        result = [out, glimpse.backward_region(gradient)]
        if dtype != torch.uint8:
            result.append(glimpse.backward_image(gradient))
        results.append(result)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("native")
def test_works_in_a_forked_child_after_threads_were_used(threads: int) -> None:
    image, region = torch.randn(16, 3, 100, 100), torch.rand(16, 3)
    torch.set_num_threads(2)
    expected = glimpse(image, region, 96, backend="cpu").numpy()

    def child() -> bool:
        torch.set_num_threads(threads)
        # Compared by NumPy: torch would start threads for so many numbers, and hang.
        return bool((glimpse(image, region, 96, backend="cpu").numpy() == expected).all())

    assert forked(child) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_from_logits(call: Any, native: Any, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(4, 3, 50, 60, generator=generator, dtype=dtype)
    logits = torch.randn(4, 3, generator=generator, dtype=dtype)
    scale_min, scale_max, factor = 0.2, 0.5, 0.02
    region = torch.empty(4, 3, dtype=dtype)
    glimpse = call(image, region, (20, 24))
    out = glimpse.new_glimpse()
    code = {torch.float32: 0, torch.float64: 1}[dtype]
    group = (code, *logits.stride(), scale_min, scale_max, factor, *region.stride())
    common = glimpse.common(out, logits=group)
    native.glimpse_from_logits_forward(*common, logits.data_ptr(), 1)

    wanted = logits.double().requires_grad_()
    p = wanted.sigmoid()
    s = p[:, :1] * (scale_max - scale_min) + scale_min
    expected_region = torch.cat([s, (2 * p[:, 1:] - 1) * (1 - s)], 1)
    tolerance = {"rtol": 1e-6, "atol": 1e-7}
    torch.testing.assert_close(region.double(), expected_region, **tolerance)
    assert torch.equal(out, glimpse.forward())  # sampled at the rounded region

    for with_glimpse, with_region in itertools.product((True, False), repeat=2):
        d_glimpse = torch.randn_like(out)
        d_region = torch.randn_like(region)
        incoming = d_region.data_ptr() if with_region else 0
        *common, _ = glimpse.common(d_glimpse, logits=group)
        common.append(d_glimpse.data_ptr() if with_glimpse else 0)
        actual = torch.full_like(logits, float("nan"))
        native.glimpse_from_logits_backward(
            *common, logits.data_ptr(), incoming, actual.data_ptr(), 1
        )
        total = torch.zeros((), dtype=torch.float64)
        if with_glimpse:
            sampled = glimpse.reference(expected_region, image.double())
            total = total + (sampled * d_glimpse.double()).sum()
        if with_region:
            total = total + (expected_region * d_region.double()).sum()
        expected = torch.zeros_like(wanted)
        if total.requires_grad:
            (expected,) = torch.autograd.grad(total, wanted, retain_graph=True)
        torch.testing.assert_close(actual.double(), expected * factor, rtol=2e-4, atol=1e-6)


def test_pool_of_images_of_different_sizes(call: Any, native: Any, isa: str) -> None:
    generator = torch.Generator().manual_seed(2)
    planar = torch.randn(3, 40, 70, generator=generator)
    interleaved = torch.randn(31, 25, 3, generator=generator)
    buffer = torch.cat([planar.flatten(), interleaved.flatten()])
    table = torch.tensor(
        [[0, 40, 70, 2800, 70, 1], [planar.numel(), 31, 25, 1, 75, 3]], dtype=torch.int64
    )
    index = torch.tensor([1, 0, 1])
    region = torch.tensor([[1.0, 0.01, 0.02], [0.4, 0.3, 0.1], [0.3, -0.2, 0.5]])
    single = [
        call(image[None], region[n : n + 1], (19, 22)).forward()
        for n, image in enumerate(
            (interleaved.permute(2, 0, 1), planar, interleaved.permute(2, 0, 1))
        )
    ]
    pooled = call(torch.empty(2, 3, 1, 1), region, (19, 22), image_index=index)
    out = pooled.new_glimpse()
    image_group = (0, 2, 3, 0, buffer.numel(), 0, 0, 0, 0, 1)
    plan, _, _, *rest = pooled.common(out, image=image_group)
    native.glimpse_forward(plan, buffer.data_ptr(), table.data_ptr(), *rest, 1)
    assert torch.equal(out, torch.cat(single))
