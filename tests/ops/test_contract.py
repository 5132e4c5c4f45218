"""What the ops say when an argument does not fit: the argument, what is wanted, what was got."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from mgnet_fast import glimpse, glimpse_from_logits

IMAGE = torch.zeros(2, 3, 8, 8)
REGION = torch.ones(2, 3)

WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"image": [1, 2]}, TypeError, r"image must be a Tensor or an ImagePool, got list"),
    ({"image": IMAGE.numpy()}, TypeError, r"image must be a Tensor or an .*, got numpy.ndarray"),
    ({"image": Image.new("RGB", (8, 8))}, TypeError, r"image must be a .*, got PIL.Image.Image"),
    ({"image": None}, TypeError, r"image must be a Tensor or an ImagePool, got NoneType"),
    ({"region": REGION.numpy()}, TypeError, r"region must be a Tensor, got numpy.ndarray"),
    ({"region": (0.5, 0, 0)}, TypeError, r"region must be a Tensor, got tuple"),
    ({"size": (4, True)}, TypeError, r"size must be an int or \(height, width\), got \(4, True\)"),
    ({"mean": {"red": 0.5}}, TypeError, r"mean must be a sequence of numbers, .* got"),
    ({"std": (0.5, "a", 1.0)}, TypeError, r"std must be a sequence of numbers, .* got"),
    ({"dtype": "float32"}, TypeError, r"dtype must be a torch.dtype, got 'float32' of type str"),
    ({"dtype": float}, TypeError, r"dtype must be a torch.dtype, got .*float.* of type type"),
    ({"memory_format": "channels_last"}, TypeError, r"memory_format must be .* of type str"),
    ({"padding_mode": 0}, TypeError, r"padding_mode must be one of .*, got 0 of type int"),
    ({"align_corners": "no"}, TypeError, r"align_corners must be a bool, got str"),
    ({"antialias": "yes"}, TypeError, r"antialias must be a bool, got str"),
    ({"clamp_to_region": "no"}, TypeError, r"clamp_to_region must be a bool, got str"),
    ({"image_index": IMAGE.numpy()}, TypeError, r"image_index must be a Tensor, got numpy.ndarray"),
    ({"backend": 3}, TypeError, r"backend must be one of .*, got 3 of type int"),
    ({"backend": ["cpu"]}, TypeError, r"backend must be one of .*, got .* of type list"),
    ({"image": IMAGE[0]}, ValueError, r"image must have shape \[B, C, H, W\], got \[3, 8, 8\]"),
    ({"image": IMAGE.int()}, TypeError, r"image must have dtype .*uint8.*, got int32"),
    ({"image": IMAGE[:, :, :0]}, ValueError, r"image must be at least 1 x 1 pixels"),
    ({"region": None}, TypeError, r"region must be a Tensor, got NoneType"),
    (
        {"region": torch.ones(4, 2)},
        ValueError,
        r"region must have shape \[N, 3\] or \[N, 4\], got \[4, 2\]",
    ),
    ({"region": torch.ones(3)}, ValueError, r"region must have shape .*, got \[3\]"),
    ({"region": REGION.half()}, TypeError, r"region must have dtype float32, float64, got float16"),
    ({"region": REGION.long()}, TypeError, r"region must have dtype .*, got int64"),
    ({"region": torch.ones(3, 3)}, ValueError, r"one row for each of the 2 images .* got 3 rows"),
    (
        {"region": torch.ones(2, 3, device="meta")},
        ValueError,
        r"region must be on image's device cpu, got meta",
    ),
    ({"size": 0}, ValueError, r"size must be at least 1 pixel each way, got 0"),
    ({"size": (4, -1)}, ValueError, r"size must be at least 1 pixel each way, got \(4, -1\)"),
    ({"size": (4, 4, 4)}, TypeError, r"size must be an int or \(height, width\), got \(4, 4, 4\)"),
    ({"size": (2.5, 3)}, TypeError, r"size must be an int or \(height, width\), got \(2.5, 3\)"),
    ({"size": True}, TypeError, r"size must be an int or \(height, width\), got True"),
    ({"mean": 0.5}, TypeError, r"mean must be a sequence of numbers, .* got 0.5"),
    ({"std": "abc"}, TypeError, r"std must be a sequence of numbers, .* got abc"),
    ({"size": 2.5}, TypeError, r"size must be an int or \(height, width\), got 2.5"),
    ({"image_index": [0, 1]}, TypeError, r"image_index must be a Tensor, got list"),
    (
        {"image_index": torch.zeros(2)},
        TypeError,
        r"image_index must have dtype int64 or int32, got float32",
    ),
    (
        {"image_index": torch.zeros(3, dtype=torch.int64)},
        ValueError,
        r"image_index must have shape \[2\], one for each region, got \[3\]",
    ),
    ({"image_index": torch.tensor([0, 2])}, ValueError, r"image_index.*2"),
    ({"image_index": torch.tensor([-1, 0])}, ValueError, r"image_index.*-1"),
    ({"padding_mode": "reflection"}, ValueError, r"padding_mode must be one of zeros, border"),
    ({"padding_mode": ["zeros"]}, TypeError, r"padding_mode must be one of .*got .* of type list"),
    ({"dtype": torch.int8}, TypeError, r"dtype must be float32, .*, got int8"),
    ({"memory_format": torch.channels_last_3d}, ValueError, r"memory_format must be"),
    ({"mean": (0.5,)}, ValueError, r"mean must hold one number for each of the 3 channels"),
    ({"std": (0.5, 0.0, 1.0)}, ValueError, r"std must be finite and not 0, got \(0.5, 0.0, 1.0\)"),
    ({"std": torch.ones(2)}, ValueError, r"std must hold one number for each of the 3 channels"),
    ({"mean": (0.1, float("nan"), 0.0)}, ValueError, r"mean must be finite, got"),
    ({"backend": "tpu"}, ValueError, r"backend must be one of .*reference, got 'tpu'"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG, ids=lambda case: str(case)[:40])
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    glimpse(IMAGE, REGION, 4)  # remembered: no wrong call may pass for this one
    arguments = {"image": IMAGE, "region": REGION, "size": 4} | change
    for backend in ("reference", None):
        with pytest.raises(error, match=message):
            glimpse(**{"backend": backend} | arguments)


def test_a_call_that_was_right_makes_no_wrong_one_right() -> None:
    glimpse(IMAGE, REGION, 4)
    glimpse(IMAGE, REGION, 1)
    glimpse(IMAGE, torch.ones(2, 4), 4)
    for size in (4.0, True):
        with pytest.raises(TypeError, match="size must be an int"):
            glimpse(IMAGE, REGION, size)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"region must have shape .*, got \[2, 2\]"):
        glimpse(IMAGE, REGION[:, :2], 4)
    with pytest.raises(ValueError, match=r"logits must have shape \[N, 3\], got \[2, 4\]"):
        glimpse_from_logits(IMAGE, torch.ones(2, 4), 4)


def test_constants_that_change_are_read_anew() -> None:
    mean = torch.zeros(3, dtype=torch.float64)
    for constants in (mean, tuple(mean), list(mean)):  # the items are views of the tensor
        for value in (0.0, 1.0):
            mean.fill_(value)
            samples = glimpse(IMAGE, REGION, 4, mean=constants, padding_mode="border")
            assert (samples == -value).all()


def test_wrong_logits() -> None:
    with pytest.raises(ValueError, match=r"logits must have shape \[N, 3\], got \[2, 4\]"):
        glimpse_from_logits(IMAGE, torch.ones(2, 4), 4)
    with pytest.raises(TypeError, match=r"logits must be a Tensor, got list"):
        glimpse_from_logits(IMAGE, [0.1, 0.2, 0.3], 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"logits must have one row for each of the 2 images"):
        glimpse_from_logits(IMAGE, torch.ones(1, 3), 4)
    with pytest.raises(TypeError, match=r"logits must have dtype .* got int64"):
        glimpse_from_logits(IMAGE, REGION.long(), 4)
    for scale_range in ((0.5, 0.2), (0.2,), 0.3, (0.1, float("nan"))):
        with pytest.raises(ValueError, match=r"scale_range must be finite \(s_min, s_max\)"):
            glimpse_from_logits(IMAGE, REGION, 4, scale_range=scale_range)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"gradient_scale must be finite, got nan"):
        glimpse_from_logits(IMAGE, REGION, 4, gradient_scale=float("nan"))
    with pytest.raises(ValueError, match=r"image_index.*5"):
        glimpse_from_logits(IMAGE, REGION, 4, image_index=torch.tensor([5, 0]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs two kinds of device")
def test_devices_are_named() -> None:
    with pytest.raises(ValueError, match=r"region must be on image's device cpu, got cuda:0"):
        glimpse(IMAGE, REGION.cuda(), 4)
