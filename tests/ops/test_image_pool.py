"""What a pool and a ring hold, and what they say to images that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.cases import LAYOUTS, random_image

from mgnet_fast import ImagePool, ImageRing, glimpse


def bytes_of(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_of_any_strides_are_copied(layout: str) -> None:
    images = [LAYOUTS[layout](random_image((1, 3, h, 9), torch.float32, h))[0] for h in (7, 4, 12)]
    pool = ImagePool(images)
    copies = [image.clone() for image in images]
    images[0].fill_(5)
    assert len(pool) == 3
    for b, copy in enumerate(copies):
        assert torch.equal(pool[b], copy)
    assert pool.buffer.numel() == 3 * 9 * (7 + 4 + 12)


def test_layouts_are_kept() -> None:
    planar = random_image((3, 5, 6), torch.uint8)
    side_by_side = planar.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    pool = ImagePool([planar, side_by_side, bytes_of(5, 6)])
    assert [pool[b].stride() for b in range(3)] == [(30, 6, 1), (1, 18, 3), (1, 18, 3)]


def test_arrays_as_decoders_give_them() -> None:
    array = bytes_of(8, 9)
    frozen = array.copy()
    frozen.setflags(write=False)
    pool = ImagePool([array, frozen, array[::-1, 2:], array[:, :, ::-1]])
    assert np.array_equal(pool[0].permute(1, 2, 0).numpy(), array)
    assert np.array_equal(pool[1].permute(1, 2, 0).numpy(), array)
    assert np.array_equal(pool[2].permute(1, 2, 0).numpy(), array[::-1, 2:])
    assert np.array_equal(pool[3].permute(1, 2, 0).numpy(), array[:, :, ::-1])


def test_a_pool_is_where_its_images_are_or_where_it_is_sent() -> None:
    pool = ImagePool([torch.zeros(1, 4, 5)])
    assert pool.device.type == "cpu"
    assert pool.to("cpu") is pool
    elsewhere = pool.to("meta")
    assert elsewhere.device.type == elsewhere.table.device.type == "meta"
    assert pool.device.type == "cpu"
    assert ImagePool([bytes_of(2, 2)], device="meta").device.type == "meta"


def test_a_pool_made_in_inference_mode_serves_training() -> None:
    with torch.inference_mode():
        pool = ImagePool([bytes_of(20, 21)])
    region = torch.tensor([[0.5, 0.1, 0.2]], requires_grad=True)
    glimpse(pool, region, 4).sum().backward()
    assert region.grad is not None


IMAGE = torch.zeros(3, 4, 5)
WRONG: list[tuple[list[Any], type[Exception], str]] = [
    ([], ValueError, r"images must hold at least one image, got none"),
    ([IMAGE, "x"], TypeError, r"images\[1\] must be a Tensor or a NumPy array of uint8, got str"),
    ([IMAGE[0]], ValueError, r"images\[0\] must have shape \[C, H, W\] .* got \[4, 5\]"),
    ([IMAGE[:, :0]], ValueError, r"no empty axis, got \[3, 0, 5\]"),
    ([IMAGE.int()], TypeError, r"images\[0\] must have dtype float32, .*, got int32"),
    ([IMAGE, IMAGE.half()], TypeError, r"images\[1\] must have the pool's dtype float32, got flo"),
    ([IMAGE, IMAGE[:1]], ValueError, r"images\[1\] must have the pool's 3 channels, got 1"),
    ([IMAGE.clone().requires_grad_()], ValueError, r"images\[0\] must not require a gradient"),
    ([np.zeros((4, 5, 3))], TypeError, r"must be uint8 where it is a NumPy array, got float64"),
    ([np.zeros((4, 5), np.uint8)], ValueError, r"must have shape \[H, W, C\], .*, got \[4, 5\]"),
]


@pytest.mark.parametrize(("images", "error", "message"), WRONG, ids=lambda case: str(case)[:40])
def test_wrong_images(images: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ImagePool(images)


def test_an_index_must_be_that_of_an_image() -> None:
    pool = ImagePool([IMAGE])
    for index in (-1, 1):
        with pytest.raises(IndexError, match=f"got {index}"):
            _ = pool[index]


def test_a_ring_takes_the_place_that_has_been_free_longest() -> None:
    ring = ImageRing(3, 30)
    images = [bytes_of(h, 6) for h in (1, 2, 3, 4, 5)]
    assert [ring.put(image) for image in images[:3]] == [0, 1, 2]
    ring.release(1)
    ring.release(0)
    assert ring.free == 2
    assert ring.put(images[3]) == 1
    assert ring.put(images[4]) == 0
    for index, image in ((0, 4), (1, 3), (2, 2)):
        assert np.array_equal(ring[index].permute(1, 2, 0).numpy(), images[image])


def test_a_full_ring_and_images_that_do_not_fit() -> None:
    ring = ImageRing(1, 12, channels=3, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"at most 12 pixels to fit .*, got 4 x 5 = 20"):
        ring.put(IMAGE)
    with pytest.raises(TypeError, match=r"image must have the pool's dtype float32, got uint8"):
        ring.put(bytes_of(2, 2))
    with pytest.raises(ValueError, match=r"image must have the pool's 3 channels, got 1"):
        ring.put(torch.zeros(1, 2, 2))
    index = ring.put(IMAGE[:, :2])
    with pytest.raises(RuntimeError, match=r"all 1 places of the ring hold images; release one"):
        ring.put(IMAGE[:, :2])
    ring.release(index)
    with pytest.raises(IndexError, match=r"index must be that of an image of the ring, got 0"):
        ring.release(index)
    assert ring.put(IMAGE[:, 1:3]) == index


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"places": 0}, ValueError, "places must be at least 1, got 0"),
        ({"pixels": -1}, ValueError, "pixels must be at least 1, got -1"),
        ({"channels": 0}, ValueError, "channels must be at least 1, got 0"),
        ({"dtype": torch.int32}, TypeError, "dtype must be float32, .*, got int32"),
    ],
)
def test_wrong_rings(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ImageRing(**{"places": 2, "pixels": 8} | arguments)


def test_a_ring_that_moves_forgets_nothing() -> None:
    ring = ImageRing(2, 12)
    ring.put(bytes_of(2, 3))
    moved = ring.to("meta")
    assert moved.put(bytes_of(2, 2)) == 1
    assert (moved.free, ring.free) == (0, 1)
