"""Glimpses of pools: the bits of a call for each image alone, and what cannot be asked of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.cases import DEGENERATE_REGIONS, random_image, random_region
from torch import Tensor, nn

from mgnet_fast import ImagePool, ImageRing, glimpse, glimpse_from_logits
from mgnet_fast.ops.backends import choice as backends

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8)
# Side by side and one after the other, wide and one pixel wide: each takes another path.
SIZES = ((37, 53), (1, 1), (64, 2), (2, 90), (61, 47), (130, 30), (1, 40), (33, 33))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(params=["cpu", "reference"])
def pool_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    try:
        backends.can_run(name, "cpu", raise_error=True, pool=True)
    except ValueError as reason:
        pytest.skip(str(reason))
    return name


@pytest.fixture
def backend(backend: str) -> str:
    """Each native backend that takes pools."""
    try:
        backends.can_run(backend, "cpu", raise_error=True, pool=True)
    except ValueError as reason:
        pytest.skip(str(reason))
    return backend


def images_of(dtype: torch.dtype) -> list[Tensor]:
    images = []
    for seed, size in enumerate(SIZES):
        image = random_image((3, *size), dtype, seed)
        images.append(image if seed % 2 else image.permute(1, 2, 0).contiguous().permute(2, 0, 1))
    return images


def one_by_one(images: list[Tensor], rows: Tensor, index: Tensor, **options: Any) -> Tensor:
    calls = [
        glimpse(images[int(image)][None], rows[n : n + 1], **options)
        for n, image in enumerate(index)
    ]
    return torch.cat(calls)


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("columns", [3, 4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_as_one_call_an_image(
    pool_backend: str, dtype: torch.dtype, columns: int, normalised: bool
) -> None:
    images = images_of(dtype)
    pool = ImagePool(images)
    index = torch.tensor([5, 0, 0, 3, 7, 1, 2, 6, 4, 5])
    region = random_region(len(index), columns)
    region[4, 1] = float("nan")
    incoming = torch.randn(len(index), 3, 21, 35)
    options: dict[str, Any] = {"size": (21, 35), "backend": pool_backend}
    options["memory_format"] = torch.contiguous_format
    if normalised:
        options |= {"mean": MEAN, "std": STD}
    for align_corners, padding_mode in ((True, "zeros"), (False, "border")):
        options |= {"align_corners": align_corners, "padding_mode": padding_mode}
        both = []
        for source in (pool, images):
            rows = region.clone().requires_grad_()
            if isinstance(source, ImagePool):
                samples = glimpse(source, rows, image_index=index, **options)
            else:
                samples = one_by_one(source, rows, index, **options)
            samples.backward(incoming.to(samples.dtype))
            both.append((samples.detach(), rows.grad))
        for ours, theirs in zip(*both, strict=True):
            assert ours.dtype == theirs.dtype
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
        assert both[0][0][4].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=str)
def test_logits(backend: str, dtype: torch.dtype) -> None:
    images = images_of(dtype)
    pool = ImagePool(images)
    logits = random_region(len(images), seed=4)
    both = []
    for pooled in (True, False):
        rows = logits.clone().requires_grad_()
        if pooled:  # as many regions as images: no image_index
            samples, region = glimpse_from_logits(pool, rows, 24, backend=backend)
        else:
            calls = [
                glimpse_from_logits(
                    image[None], rows[n : n + 1], 24, backend=backend,
                    memory_format=torch.contiguous_format,
                )
                for n, image in enumerate(images)
            ]  # fmt: skip
            samples, region = (torch.cat(parts) for parts in zip(*calls, strict=True))
        (samples.sum() + region.square().sum()).backward()
        assert rows.grad is not None
        both.append((samples.detach(), region.detach(), rows.grad))
    for ours, theirs in zip(*both, strict=True):
        assert torch.equal(ours, theirs)


def test_logits_by_the_reference() -> None:
    pool, logits = ImagePool(images_of(torch.float32)), random_region(len(SIZES), seed=4)
    samples, region = glimpse_from_logits(pool, logits, 24, backend="reference")
    assert torch.equal(samples, glimpse(pool, region, 24, backend="reference"))


def test_degenerate_regions_and_layout_of_the_result(pool_backend: str) -> None:
    images = images_of(torch.uint8)
    pool = ImagePool(images)
    index = torch.arange(len(DEGENERATE_REGIONS), dtype=torch.int32) % len(images)
    options: dict[str, Any] = {"size": 17, "backend": pool_backend, "dtype": torch.bfloat16}
    options["memory_format"] = torch.channels_last
    got = glimpse(pool, DEGENERATE_REGIONS, image_index=index, **options)
    assert got.is_contiguous(memory_format=torch.channels_last)
    wanted = one_by_one(images, DEGENERATE_REGIONS, index, **options)
    torch.testing.assert_close(got, wanted, rtol=0, atol=0, equal_nan=True)


def test_any_number_of_threads_gives_the_same_bits(backend: str, restored_threads: None) -> None:
    pool = ImagePool(images_of(torch.uint8))
    index = torch.arange(40) % len(pool)
    region = random_region(40)
    results = []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        rows = region.clone().requires_grad_()
        samples = glimpse(pool, rows, 64, image_index=index, backend=backend)
        samples.square().sum().backward()
        results.append((samples.detach(), rows.grad))
    for other in results[1:]:
        assert torch.equal(other[0], results[0][0])
        assert torch.equal(other[1], results[0][1])


def test_no_regions(pool_backend: str) -> None:
    pool = ImagePool(images_of(torch.uint8))
    none = torch.zeros(0, 3, requires_grad=True)
    index = torch.zeros(0, dtype=torch.int64)
    samples = glimpse(pool, none, (4, 5), image_index=index, backend=pool_backend)
    assert samples.shape == (0, 3, 4, 5)
    samples.sum().backward()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image_index": None}, r"one row for each of the 8 images .* got 2 rows"),
    (
        {"image_index": torch.tensor([0, 8])},
        r"image_index must be in \[0, 8\), got 8 at position 1",
    ),
    ({"image_index": torch.tensor([-1, 0])}, r"image_index must be in \[0, 8\), got -1"),
    ({"mean": (0.5,)}, r"mean must hold one number for each of the 3 channels"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=lambda case: str(case)[:40])
def test_wrong_arguments(pool_backend: str, change: dict[str, Any], message: str) -> None:
    arguments = {
        "image": ImagePool(images_of(torch.uint8)),
        "region": torch.ones(2, 3),
        "size": 4,
        "image_index": torch.tensor([0, 1]),
        "backend": pool_backend,
    }
    with pytest.raises(ValueError, match=message):
        glimpse(**arguments | change)


def test_a_backend_without_pools_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends._REFUSALS, "other", lambda device: None)
    monkeypatch.setitem(backends._ORDER, "cpu", ("other", "reference"))
    monkeypatch.setattr(backends, "_first_choice", {})
    assert backends.choose("cpu", None) == "other"
    assert backends.choose("cpu", None, pool=True) == "reference"
    with pytest.raises(
        ValueError, match=r"'other' cannot run on cpu tensors: it takes no ImagePool"
    ):
        backends.choose("cpu", "other", pool=True)


def test_empty_places_are_named(pool_backend: str) -> None:
    ring = ImageRing(2, 100, channels=1)
    index = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"that the pool holds, got 0 at position 0, an empty"):
        glimpse(ring, torch.ones(2, 3), 4, image_index=index, backend=pool_backend)
    first, second = (
        ring.put(random_image((1, 8, 9), torch.uint8)),
        ring.put(random_image((1, 9, 8), torch.uint8)),
    )
    before = glimpse(ring, torch.ones(2, 3), 4, image_index=index, backend=pool_backend)
    ring.release(second)
    with pytest.raises(ValueError, match=r"that the pool holds, got 1 at position 1, an empty"):
        glimpse(ring, torch.ones(2, 3), 4, image_index=index, backend=pool_backend)
    one = glimpse(ring, torch.ones(1, 3), 4, image_index=index[:1], backend=pool_backend)
    assert first == 0
    assert torch.equal(one, before[:1])


BAD_ENTRIES = {
    "before the buffer": (-1, 8, 9, 72, 9, 1),
    "one beyond it": (1, 8, 9, 72, 9, 1),
    "offset far away": (2**62, 8, 9, 72, 9, 1),
    "negative stride": (0, 8, 9, 72, -9, 1),
    "too high": (0, 9, 9, 72, 9, 1),
    "strides that overflow": (0, 8, 9, 2**61, 2**61, 2**61),
    "no width": (0, 8, 0, 72, 9, 1),
    "negative height": (0, -8, 9, 72, 9, 1),
    "too many pixels for the tables": (0, 2**31, 1, 0, 0, 0),
}


@pytest.mark.parametrize("entry", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_a_table_cannot_lead_out_of_the_buffer(backend: str, entry: tuple[int, ...]) -> None:
    pool = ImagePool([random_image((3, 8, 9), torch.float32)])
    region = torch.ones(1, 3, requires_grad=True)
    samples = glimpse(pool, region, 4, backend=backend)
    pool.table.copy_(torch.tensor([entry]))
    with pytest.raises(ValueError, match=r"image 0 of the pool must"):
        glimpse(pool, region, 4, backend=backend)
    with pytest.raises(ValueError, match=r"image 0 of the pool must"):
        glimpse_from_logits(pool, region, 4, backend=backend)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        samples.sum().backward()


def test_tables_of_another_shape_or_type_are_refused(backend: str) -> None:
    buffer, region = torch.zeros(1, 3, 1, 72), torch.ones(1, 3)
    rest = (None, None, 4, 4, True, "zeros", "float32", False, backend)
    for table in (torch.zeros(1, 5, dtype=torch.int64), torch.zeros(1, 6)):
        with pytest.raises(ValueError, match=r"pool must be int64 of shape \[B, 6\], got"):
            torch.ops.mgnet_fast.glimpse(buffer, region, *rest, table)


def test_pixels_get_no_gradient(backend: str) -> None:
    pool = ImagePool([random_image((3, 8, 9), torch.float32)])
    buffer = pool.buffer.requires_grad_()
    for samples in (
        glimpse(pool, torch.ones(1, 3), 4, backend=backend),
        glimpse_from_logits(pool, torch.ones(1, 3), 4, backend=backend)[0],
    ):
        with pytest.raises(RuntimeError, match="pixels of a pool get no gradient"):
            samples.sum().backward()
    assert buffer.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=str)
def test_opcheck(backend: str, dtype: torch.dtype) -> None:
    pool = ImagePool(images_of(dtype))
    index = torch.tensor([0, 1, 7, 0])
    region = random_region(4).requires_grad_()
    rows = torch.stack([torch.full((3,), 1 / 255.0), torch.zeros(3)]).double()
    sampling = (6, 5, True, "zeros", "float32", False, backend)
    ops = torch.ops.mgnet_fast
    tensors = (pool.buffer, region, index, rows)
    torch.library.opcheck(ops.glimpse, (*tensors, *sampling, pool.table))
    torch.library.opcheck(
        ops.glimpse_from_logits, (*tensors, 0.2, 0.5, 0.02, *sampling, pool.table)
    )
    plain = region.detach()
    grad = torch.randn(4, 3, 6, 5)
    geometry = (True, "border", backend, pool.table)
    torch.library.opcheck(
        ops.glimpse_backward_region, (grad, pool.buffer, plain, index, rows, *geometry)
    )
    torch.library.opcheck(
        ops.glimpse_from_logits_backward,
        (grad, torch.randn(4, 3), pool.buffer, plain, plain, index, rows, 0.2, 0.5, 0.02,
         *geometry),
    )  # fmt: skip


class TwoGlimpses(nn.Module):
    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = backend
        self.locate = nn.Linear(3 * 6 * 6, 3)

    def forward(self, pool: ImagePool, region: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        options: dict[str, Any] = {"image_index": index, "mean": MEAN, "std": STD}
        options["backend"] = self.backend
        first = glimpse(pool, region, 6, **options)
        return glimpse_from_logits(pool, self.locate(first.flatten(1)), 6, **options)


def outputs_and_gradient(module: Any, pool: ImagePool, index: Tensor) -> list[Tensor]:
    region = random_region(len(index)).requires_grad_()
    samples, second = module(pool, region, index)
    (samples.square().sum() + second.sum()).backward()
    assert region.grad is not None
    return [samples.detach(), second.detach(), region.grad]


def test_a_compiled_program_serves_every_image_that_a_ring_gets(backend: str) -> None:
    torch._dynamo.reset()
    module = TwoGlimpses(backend)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    ring = ImageRing(3, 4000)
    index = torch.tensor([2, 0, 1, 1])
    for round_number in range(3):
        for place in range(3):
            if round_number:
                ring.release(place)
            size = (20 + 7 * place, 31 - round_number)
            assert ring.put(random_image((3, *size), torch.uint8, round_number)) == place
        with torch.compiler.set_stance("fail_on_recompile" if round_number else "default"):
            got = outputs_and_gradient(compiled, ring, index)
        wanted = outputs_and_gradient(module, ring, index)
        for ours, eager in zip(got, wanted, strict=True):
            torch.testing.assert_close(ours, eager, rtol=1e-5, atol=1e-5)


def test_a_compiled_program_serves_pools_of_any_size(backend: str) -> None:
    torch._dynamo.reset()
    module = TwoGlimpses(backend)
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    images = images_of(torch.uint8)
    for count in (3, 4, 6, 8):
        pool = ImagePool(images[:count])
        index = torch.arange(count + 1) % count
        with torch.compiler.set_stance("fail_on_recompile" if count > 4 else "default"):
            got = outputs_and_gradient(compiled, pool, index)
        wanted = outputs_and_gradient(module, pool, index)
        for ours, eager in zip(got, wanted, strict=True):
            torch.testing.assert_close(ours, eager, rtol=1e-5, atol=1e-5)


def test_the_reference_cannot_be_traced_and_says_so() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(TwoGlimpses("reference"), fullgraph=True, backend="aot_eager")
    pool = ImagePool(images_of(torch.uint8))
    with pytest.raises(Exception, match="reads a pool on the host"):
        compiled(pool, random_region(2), torch.tensor([0, 1]))
