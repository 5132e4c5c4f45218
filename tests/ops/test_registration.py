"""The ops as torch sees them: opcheck, compile, export, autocast, transforms, modes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from support.cases import LAYOUTS, random_image, random_region
from torch import Tensor, nn

import mgnet_fast.functional  # noqa: F401  registers the ops
from mgnet_fast import FoldedFusion, ImagePool, fuse_glimpse, glimpse, glimpse_from_logits
from mgnet_fast.ops.autocast import under_autocast, without_autocast
from mgnet_fast.ops.tracing import is_plain_eager

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _rows(unit: float) -> Tensor:
    return torch.stack([torch.full((3,), 1 / unit), torch.zeros(3)]).double()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bfloat16], ids=str)
def test_opcheck(backend: str, dtype: torch.dtype, layout: str) -> None:
    image = LAYOUTS[layout](random_image((2, 3, 12, 10), dtype))
    region = random_region(4).requires_grad_()
    index = torch.tensor([0, 1, 1, 0])
    grad = torch.randn(4, 3, 6, 5)
    rows = _rows(255.0) if dtype == torch.uint8 else None
    if dtype != torch.uint8:
        image.requires_grad_()
    sampling = (6, 5, True, "zeros", "float32")
    ops = torch.ops.mgnet_fast
    torch.library.opcheck(ops.glimpse, (image, region, index, rows, *sampling, True, backend))
    clamped = (6, 5, False, "zeros", "float32", True, backend, None, False, True)
    torch.library.opcheck(ops.glimpse, (image, region, index, rows, *clamped))
    torch.library.opcheck(
        ops.glimpse_from_logits,
        (image, region, index, rows, 0.2, 0.5, 0.02, *sampling, False, backend),
    )
    plain_image, plain_region = image.detach(), region.detach()
    geometry = (True, "border", backend)
    torch.library.opcheck(
        ops.glimpse_backward_region, (grad, plain_image, plain_region, index, rows, *geometry)
    )
    torch.library.opcheck(
        ops.glimpse_from_logits_backward,
        (grad, torch.randn(4, 3), plain_image, plain_region, plain_region, index, rows,
         0.2, 0.5, 0.02, *geometry),
    )  # fmt: skip
    if dtype != torch.uint8:
        torch.library.opcheck(
            ops.glimpse_backward_image, (grad, plain_image, plain_region, index, rows, *geometry)
        )


class TwoGlimpses(nn.Module):
    def __init__(self, backend: str | None) -> None:
        super().__init__()
        self.backend = backend
        self.locate = nn.Linear(3 * 6 * 6, 3)

    def forward(self, image: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
        first = glimpse(image, region, 6, mean=MEAN, std=STD, backend=self.backend)
        logits = self.locate(first.flatten(1))
        return glimpse_from_logits(image, logits, 6, mean=MEAN, std=STD, backend=self.backend)


def both_gradients(module: Any, image: Tensor, region: Tensor) -> list[Tensor]:
    region = region.clone().requires_grad_()
    samples, second = module(image, region)
    (samples.square().sum() + second.sum()).backward()
    assert region.grad is not None
    return [samples.detach(), second.detach(), region.grad]


def test_compiles_without_graph_breaks_or_recompiles(backend: str) -> None:
    torch._dynamo.reset()
    module = TwoGlimpses(backend)
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in (2, 3, 5, 7):
        image = random_image((batch, 3, 20 + batch, 31), torch.uint8)
        region = random_region(batch)
        with torch.compiler.set_stance("fail_on_recompile" if batch > 3 else "default"):
            got = both_gradients(compiled, image, region)
        for ours, eager in zip(got, both_gradients(module, image, region), strict=True):
            torch.testing.assert_close(ours, eager, rtol=1e-5, atol=1e-5)


def test_compiles_with_inductor(backend: str) -> None:
    torch._dynamo.reset()
    module = TwoGlimpses(backend)
    compiled = torch.compile(module, fullgraph=True)
    image, region = random_image((2, 3, 21, 31), torch.float32), random_region(2)
    for ours, eager in zip(
        both_gradients(compiled, image, region), both_gradients(module, image, region), strict=True
    ):
        torch.testing.assert_close(ours, eager, rtol=1e-5, atol=1e-5)


def test_exports_with_dynamic_batch_and_size(backend: str) -> None:
    module = TwoGlimpses(backend)
    batch = torch.export.Dim("batch", min=1, max=64)
    height, width = torch.export.Dim("height", min=2), torch.export.Dim("width", min=2)
    example = (random_image((2, 3, 20, 31), torch.uint8), random_region(2))
    program = torch.export.export(
        module,
        example,
        dynamic_shapes=({0: batch, 2: height, 3: width}, {0: batch}),
    )
    names = {str(node.target) for node in program.graph.nodes}
    assert "mgnet_fast.glimpse.default" in names
    assert "mgnet_fast.glimpse_from_logits.default" in names
    image, region = random_image((5, 3, 44, 17), torch.uint8), random_region(5)
    for ours, eager in zip(program.module()(image, region), module(image, region), strict=True):
        torch.testing.assert_close(ours, eager)


def test_autocast_lowers_neither_region_nor_image(backend: str) -> None:
    image = random_image((2, 3, 500, 500), torch.float32)
    region = random_region(2)
    expected = glimpse(image, region, 32, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = glimpse(image, region, 32, backend=backend)
        samples, located = glimpse_from_logits(
            image, torch.randn(2, 3).bfloat16(), 32, backend=backend
        )
        made_by_autocast = glimpse(image, located.bfloat16(), 32, backend=backend)
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)
    assert samples.dtype == located.dtype == made_by_autocast.dtype == torch.float32


def test_what_must_see_the_op_sees_it(backend: str) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Recorder(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    image, region = random_image((2, 3, 20, 21), torch.float32), random_region(2)
    assert is_plain_eager(image, region)
    with Recorder() as recorder:
        seen = glimpse(image, region, 8, backend=backend)
    assert "mgnet_fast.glimpse.default" in recorder.names
    assert torch.equal(seen, glimpse(image, region, 8, backend=backend))

    with torch._subclasses.FakeTensorMode() as mode:
        fake = glimpse(
            mode.from_tensor(image), mode.from_tensor(region), 8, mean=MEAN, std=STD,
            backend=backend,
        )  # fmt: skip
    assert fake.shape == (2, 3, 8, 8)
    # the constants of the fake call are not kept for the real one
    real = glimpse(image, region, 8, mean=MEAN, std=STD, backend=backend)
    assert type(real) is Tensor


def test_forward_mode_is_refused_not_lost(backend: str) -> None:
    from torch.autograd import forward_ad

    image, region = random_image((2, 3, 20, 21), torch.float32), random_region(2)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(region, torch.ones_like(region))
        with pytest.raises(NotImplementedError, match="forward"):
            glimpse(image, dual, 8, backend=backend)


def test_constants_made_in_inference_mode_serve_training(backend: str) -> None:
    image, region = random_image((2, 3, 20, 21), torch.uint8), random_region(2)
    constants = {"mean": (0.125, 0.25, 0.375), "std": STD}  # seen by no other test
    with torch.inference_mode():
        expected = glimpse(image, region, 8, **constants, backend=backend)
    region.requires_grad_()
    samples = glimpse(image, region, 8, **constants, backend=backend)
    samples.sum().backward()
    assert torch.equal(samples, expected)
    assert region.grad is not None


def test_both_ways_give_the_same(backend: str) -> None:
    """The registered op and the direct eager call run the same kernels."""
    image = random_image((2, 3, 40, 41), torch.float32).requires_grad_()
    region = random_region(2).requires_grad_()
    direct = glimpse(image, region, 16, backend=backend)
    registered = torch.ops.mgnet_fast.glimpse(
        image, region, None, None, 16, 16, True, "zeros", "float32", False, backend
    )
    assert torch.equal(direct, registered)
    grad = torch.randn_like(direct)
    for ours, theirs in zip(
        torch.autograd.grad(direct, (image, region), grad),
        torch.autograd.grad(registered, (image, region), grad),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_transforms_of_torch_func_take_the_reference() -> None:
    image, region = random_image((2, 3, 20, 21), torch.float64), random_region(2).double()

    def loss(image: Tensor, region: Tensor) -> Tensor:
        return glimpse(image[None], region[None], 8).square().sum()

    # Both gradients: asked for the region's alone, grid_sample itself fails here in torch 2.11.
    to_image, to_region = torch.vmap(torch.func.grad(loss, argnums=(0, 1)))(image, region)
    image, region = image.clone().requires_grad_(), region.clone().requires_grad_()
    glimpse(image, region, 8).square().sum().backward()
    torch.testing.assert_close(to_image, image.grad)
    torch.testing.assert_close(to_region, region.grad)


@pytest.mark.parametrize("grad", [False, True])
def test_tensors_without_memory_go_through(grad: bool) -> None:
    """On the meta device and in FakeTensorMode: shapes, dtypes and layouts, and no values."""
    from torch._subclasses import FakeTensorMode

    mode = FakeTensorMode()
    with torch.device("meta"):
        image, region, index = torch.zeros(2, 3, 9, 8), torch.zeros(4, 3), torch.zeros(4).long()
        tokens, length, row = torch.zeros(5, 4, 6), torch.zeros(5).long(), torch.zeros(6)
        folded = FoldedFusion(torch.zeros(6, 6), row, torch.zeros(6, 6), row)
        pool = ImagePool([torch.zeros(3, 9, 8), torch.zeros(3, 4, 5)])
    meta: tuple[Any, ...] = (image, region, index, tokens, length, folded, pool)
    with mode:
        fake = tuple(
            FoldedFusion(*(torch.zeros(part.shape) for part in each))
            if isinstance(each, FoldedFusion)
            else torch.zeros(each.shape, dtype=each.dtype)
            for each in meta[:-1]
        )
    for where, tensors in ((nullcontext(), meta), (mode, (*fake, None))):
        image, region, index, tokens, length, folded, pool = tensors
        image, region = image.requires_grad_(grad), region.requires_grad_(grad)
        with where:
            one = glimpse(image, region, (5, 6), image_index=index, dtype=torch.bfloat16)
            two, chosen = glimpse_from_logits(image, region, 7, image_index=index, mean=MEAN)
            fused = fuse_glimpse(tokens, length, folded)
            if grad:
                (one.sum() + two.sum() + chosen.sum()).backward()
                assert image.grad is not None
                assert image.grad.shape == image.shape
            if pool is not None:
                assert glimpse(pool, region, 5, image_index=index).shape == (4, 3, 5, 5)
        assert (one.shape, one.dtype) == ((4, 3, 5, 6), torch.bfloat16)
        assert (two.shape, chosen.shape, fused.shape) == ((4, 3, 7, 7), (4, 3), (5, 6))


def test_devices_without_autocast_are_no_error() -> None:
    for device in ("meta", "vulkan", "cpu"):
        with without_autocast(device):
            assert not under_autocast(device)
    with torch.autocast("cpu"):
        assert under_autocast("cpu")
        with without_autocast("cpu"), without_autocast("meta"):
            assert not under_autocast("cpu")
            assert not under_autocast("meta")
