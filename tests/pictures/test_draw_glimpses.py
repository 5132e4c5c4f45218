"""The picture of glimpses: where its boxes lie, what it writes, what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mgnet_fast.pictures import Box, draw_glimpses, region_box
from mgnet_fast.pictures import series as pictures

STEPS, COUNT = 3, 2


def series(channels: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "images": torch.rand(COUNT, channels, 112, 112, generator=generator),
        "regions": torch.tensor(
            [[[1.0, 0, 0]] * COUNT, [[0.3, 0.5, -0.2]] * COUNT, [[0.2, 0.8, 0.8]] * COUNT]
        ),
        "glimpses": torch.rand(STEPS, COUNT, channels, 28, 28, generator=generator),
        "predictions": torch.tensor([[3, 5], [3, 7], [3, 7]]),
        "labels": torch.tensor([3, 7]),
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures saved during a test."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *args: object, **kwargs: object) -> None:
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def boxes(figure: Figure) -> list[Rectangle]:
    return [patch for axes in figure.axes for patch in axes.patches]


def test_whole_image_runs_from_first_to_last_pixel_centre() -> None:
    assert region_box((1, 0, 0), 112, 112) == Box(0, 0, 111, 111)
    assert region_box((1, 0, 0), 112, 112, align_corners=False) == Box(-0.5, -0.5, 112, 112)


def test_x_goes_with_width_and_y_with_height() -> None:
    box = region_box((0.25, 0.5, -0.5), height=101, width=201)
    assert box == Box(left=125, top=12.5, width=50, height=25)
    assert region_box((0.25, 0.5, 0, 0), height=101, width=201) == Box(75, 25, 50, 50)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("region", [(0.3, 0.2, -0.4), (0.3, 0.6, 0.1, 0.2)])
def test_box_corners_are_the_outermost_sample_positions(
    region: tuple[float, ...], align_corners: bool
) -> None:
    """The glimpse of an image of pixel coordinates reads the positions the box claims."""
    height, width, size = 40, 60, 9
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=torch.float64),
        torch.arange(width, dtype=torch.float64),
        indexing="ij",
    )
    scale_x, scale_y, x, y = region if len(region) == 4 else (region[0], *region)
    theta = torch.tensor([[[scale_x, 0, x], [0, scale_y, y]]], dtype=torch.float64)
    image = torch.stack([rows, columns])[None]
    # The outermost samples of a glimpse lie half a sample inside the region's edges unless the
    # corners are aligned, so the box is compared with the grid of the edges themselves.
    grid = torch.nn.functional.affine_grid(theta, [1, 2, size, size], align_corners=True)
    sampled = torch.nn.functional.grid_sample(image, grid, align_corners=align_corners)
    box = region_box(region, height, width, align_corners)
    top, left = sampled[0, :, 0, 0].tolist()
    bottom, right = sampled[0, :, -1, -1].tolist()
    np.testing.assert_allclose(
        [box.left, box.top, box.left + box.width, box.top + box.height],
        [left, top, right, bottom],
        atol=1e-9,
    )


def test_region_of_two_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="region must have 3 or 4 numbers, got 2"):
        region_box((1, 0), 10, 10)


def test_picture_has_the_announced_size_and_boxes(tmp_path: Path, drawn: list[Figure]) -> None:
    data = series()
    path = draw_glimpses(**data, path=tmp_path / "deep" / "glimpses.png", blocks_per_row=2)
    written = matplotlib.image.imread(path)
    block = STEPS * pictures.PANEL + (STEPS - 1) * pictures.PANEL_GAP
    assert written.shape[1] == 2 * pictures.MARGIN + 2 * block + pictures.BLOCK_GAP

    found = boxes(drawn[0])
    assert len(found) == STEPS * COUNT
    first_image = [(b.get_x(), b.get_y(), b.get_width(), b.get_height()) for b in found[:STEPS]]
    for measured, region in zip(first_image, data["regions"][:, 0], strict=True):
        box = region_box(region.tolist(), 112, 112)
        np.testing.assert_allclose(measured, (box.left, box.top, box.width, box.height))


def test_right_is_solid_green_and_wrong_is_dashed_red(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_glimpses(**series(), path=tmp_path / "a.png")
    looks = [(b.get_edgecolor()[:2], b.get_linestyle()) for b in boxes(drawn[0])]
    reds = [color[0] > color[1] for color, _ in looks]
    assert reds == [False, False, False, True, False, False]
    assert [style == "-" or style == "solid" for _, style in looks] == [not red for red in reds]


def test_captions_name_classes_and_confidence(tmp_path: Path, drawn: list[Figure]) -> None:
    names = [f"class-{k}" for k in range(10)]
    sure = np.full((STEPS, COUNT), 0.874)
    draw_glimpses(
        **series(), path=tmp_path / "a.png", class_names=names, confidences=sure, title="Title"
    )
    texts = [text.get_text() for text in drawn[0].texts]
    assert {"Title", "label class-3", "✗ class-5"} <= set(texts)
    assert texts.count("87 %") == STEPS * COUNT


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_format_follows_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = draw_glimpses(**series(3), path=tmp_path / f"a.{suffix}")
    head = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(head)


def test_scene_pixels_appear_unchanged(tmp_path: Path) -> None:
    """A white pixel of a 112-pixel scene is a sharp 2 by 2 square of the picture."""
    data = series()
    data["images"] = torch.zeros(COUNT, 1, 112, 112, dtype=torch.uint8)
    data["images"][0, 0, 50, 20] = 255
    data["regions"][:] = torch.tensor([0.2, 0.8, 0.8])
    written = matplotlib.image.imread(draw_glimpses(**data, path=tmp_path / "a.png"))
    top = pictures.MARGIN + pictures.STEPS + pictures.LABEL + 2 * 50
    left = pictures.MARGIN + 2 * 20
    patch = written[top - 2 : top + 4, left - 2 : left + 4, 0]
    expected = np.zeros((6, 6))
    expected[2:4, 2:4] = 1
    np.testing.assert_array_equal(patch, expected)


def test_uint8_and_float_images_give_the_same_picture(tmp_path: Path) -> None:
    data = series()
    data["images"] = (data["images"] * 255).to(torch.uint8)
    as_bytes = draw_glimpses(**data, path=tmp_path / "a.png").read_bytes()
    data["images"] = data["images"].double() / 255
    assert draw_glimpses(**data, path=tmp_path / "b.png").read_bytes() == as_bytes


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("images", torch.zeros(2, 2, 8, 8), r"images must have shape \[N, 1 or 3, H, W\]"),
        ("regions", torch.zeros(3, 2, 5), r"regions must have shape \[T, 2, 3 or 4\]"),
        ("glimpses", torch.zeros(3, 1, 1, 8, 8), r"glimpses must have shape \[3, 2, 1, h, w\]"),
        ("predictions", torch.zeros(2, 3), r"predictions must have shape \[3, 2\], got \[2, 3\]"),
        ("labels", torch.zeros(3), r"labels must have shape \[2\], got \[3\]"),
        ("confidences", torch.zeros(3), r"confidences must have shape \[3, 2\], got \[3\]"),
        ("path", "glimpses", r"path must end in .png, .pdf or .svg, got 'glimpses'"),
    ],
)
def test_wrong_shapes_are_named(tmp_path: Path, name: str, value: object, message: str) -> None:
    arguments: dict[str, object] = {**series(), "path": tmp_path / "a.png", name: value}
    with pytest.raises(ValueError, match=message):
        draw_glimpses(**arguments)  # type: ignore[arg-type]


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    data = {
        name: value[:, :0] if name in ("regions", "glimpses", "predictions") else value[:0]
        for name, value in series().items()
    }
    with pytest.raises(ValueError, match="there must be an image and a glimpse"):
        draw_glimpses(**data, path=tmp_path / "a.png")


def test_pyplot_is_not_touched(tmp_path: Path) -> None:
    draw_glimpses(**series(), path=tmp_path / "a.png")
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
