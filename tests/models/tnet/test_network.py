"""TNet: its looks, its outputs, and the protocol."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgnet_fast.assets import digit_paths
from mgnet_fast.data import DATASETS, TEST_SEED, TranslatedMNIST, read_digits
from mgnet_fast.models import GlimpseNetwork, count_multiply_adds, create_model
from mgnet_fast.models.network import sizes_of
from mgnet_fast.models.tnet import located
from mgnet_fast.models.tnet.config import TNetConfig
from mgnet_fast.models.tnet.crops import Crops, chosen_crops, regions, whole_images
from mgnet_fast.models.tnet.features import position_encoding
from mgnet_fast.models.tnet.network import TNet


def toy(**options: Any) -> TNet:
    torch.manual_seed(0)
    model: TNet = create_model("tnet_toy", antialias=False, **options)
    return model.double().eval()


def cells_of(image: Tensor, grid: int, overlap: float) -> Tensor:
    """All cells of images [B, C, H, W] as the published code cuts them, [B, n * n, C, p, q]."""
    sides = []
    for side in image.shape[-2:]:
        size = round(side * overlap)
        apart = math.ceil((side - size) / (grid - 1))
        total = (grid - 1) * apart + size - side
        sides.append((size, apart, math.ceil(total / 2), total // 2))
    (high, down, top, bottom), (wide, right, left, behind) = sides
    padded = F.pad(image, (left, behind, top, bottom))
    return torch.stack(
        [
            padded[:, :, i * down : i * down + high, j * right : j * right + wide]
            for i in range(grid)
            for j in range(grid)
        ],
        dim=1,
    )


@pytest.mark.parametrize("size", [(448, 448), (101, 200), (57, 63)])
@pytest.mark.parametrize(("grid", "overlap"), [(5, 0.35), (3, 0.5), (6, 0.2232), (2, 1.0)])
def test_crops_are_those_of_the_published_code(
    size: tuple[int, int], grid: int, overlap: float
) -> None:
    """Each cell resized by ``interpolate``, against glimpses of the whole image."""
    torch.manual_seed(0)
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    cells = cells_of(images, grid, overlap)
    sizes = sizes_of(images)
    every = torch.arange(grid**2).expand(2, 1, -1)
    crops = chosen_crops(whole_images(sizes), every, grid, overlap)
    assert crops.size.tolist() == [list(cells.shape[-2:])] * 2
    model = toy(in_chans=3, base_size=40, grid=grid, overlap=overlap, locations=(1,))
    where = regions(crops, sizes)
    rows = torch.arange(2).repeat_interleave(grid**2)
    glimpses = model.sample(images, where.flatten(0, 1), rows)
    expected = F.interpolate(cells.flatten(0, 1), (40, 40), mode="bilinear", align_corners=False)
    torch.testing.assert_close(glimpses, expected, rtol=0, atol=1e-10)


def test_crops_of_crops_are_cut_at_the_resolution_of_the_image() -> None:
    images = torch.rand(1, 1, 896, 896, dtype=torch.float64)
    sizes = sizes_of(images)
    first = chosen_crops(whole_images(sizes), torch.tensor([[[2, 6]]]), 3, 0.5)
    assert first.origin.tolist() == [[[0, 448], [448, 0]]]
    assert first.cell.tolist() == [[[0, 2], [2, 0]]]
    second = chosen_crops(first, torch.tensor([[[4], [8]]]), 3, 0.5)
    assert second.size.tolist() == [[224, 224]]
    assert second.origin.tolist() == [[[112, 560], [672, 224]]]
    assert second.cell.tolist() == [[[1, 7], [8, 2]]]
    assert regions(Crops(*second), sizes)[0, 0].tolist() == [0.25, 0.25, 0.5, -0.5]


def test_the_encoding_has_sines_then_cosines_of_each_number() -> None:
    encoding = position_encoding(torch.tensor([[3, 0, 2]]), 20)[0]
    frequencies = [1.0, 0.1, 0.01]
    wanted = [f(p * w) for p in (3, 0, 2) for f in (math.sin, math.cos) for w in frequencies]
    torch.testing.assert_close(encoding, torch.tensor([*wanted, 0.0, 0.0], dtype=torch.float64))


@torch.no_grad()
def test_glimpses_go_through_the_backbone_in_portions(
    monkeypatch: pytest.MonkeyPatch, restored_threads: None
) -> None:
    torch.set_num_threads(1)
    model = toy(locations=(5,))
    images = torch.rand(3, 1, 230, 180, dtype=torch.float64)
    seen: list[int] = []
    with_grid = model.backbone.network.with_grid
    monkeypatch.setattr(
        model.backbone.network, "with_grid", lambda x: seen.append(len(x)) or with_grid(x)
    )
    whole = model(images)["n_logit"]
    assert seen == [3, 15]
    monkeypatch.setattr(located, "PIXELS_AT_ONCE", 2 * 56 * 56)
    torch.testing.assert_close(model(images)["n_logit"], whole, rtol=0, atol=1e-12)
    assert seen[2:] == [2, 1, 2, 2, 2, 2, 2, 2, 2, 1]


def test_outputs() -> None:
    model = toy(locations=(3, 2))
    images = torch.rand(4, 1, 230, 180, dtype=torch.float64)
    output = model(images)
    shapes = {name: list(value.shape) for name, value in output.items()}
    assert shapes == {
        "n_logit": [3, 4, 10],
        "n_affparam": [10, 4, 4],
        "n_feature": [10, 4, 128],
        "attended": [4, 36 + 3 * 36],
        "probabilities": [4, 36 + 3 * 36],
    }
    assert output["attended"].dtype == torch.bool
    by_crop = output["attended"].view(4, 4, 36)
    assert (by_crop.sum(2) == torch.tensor([3, 2, 2, 2])).all()
    probabilities = output["probabilities"].view(4, 4, 36)
    torch.testing.assert_close(probabilities.sum(2), torch.ones(4, 4, dtype=torch.float64))
    assert (probabilities[by_crop].min() >= 0).all()
    least = probabilities.masked_fill(~by_crop, 2.0).amin(2)
    assert (least >= probabilities.masked_fill(by_crop, -1.0).amax(2)).all()
    assert "n_aux_logit" in model.train()(images)


@pytest.mark.parametrize("locations", [(3, 2), (1,), (36,)])
def test_the_protocol_computes_the_same(locations: tuple[int, ...]) -> None:
    model = toy(locations=locations)
    images = torch.rand(3, 1, 200, 260, dtype=torch.float64)
    own, through_protocol = model(images), GlimpseNetwork.forward(model, images)
    for name, value in through_protocol.items():
        torch.testing.assert_close(own[name], value, rtol=0, atol=1e-12)
    state = model.start(sizes_of(images))
    for step in range(len(model.looks)):
        region, row = model.next_looks(state)
        assert row.tolist() == sorted(row.tolist())
        state = model.take_in(state, model.backbone(model.sample(images, region, row)))
        torch.testing.assert_close(model.answer(state), own["n_logit"][step], rtol=0, atol=1e-12)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_rows_may_be_at_different_levels(is_weighted: bool) -> None:
    model = toy(locations=(3, 2), weighted_features=is_weighted)
    images = torch.rand(3, 1, 150, 170, dtype=torch.float64)
    expected = model(images)["n_logit"]

    def after_a_step(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        region, row = model.next_looks(state)
        return model.take_in(state, model.backbone(model.sample(images, region, row)))

    fresh = model.start(sizes_of(images))
    once = after_a_step(fresh)
    twice = after_a_step(once)
    mixed = tuple(
        torch.stack([c[0], a[1], b[2]]) for a, b, c in zip(fresh, once, twice, strict=True)
    )
    logits = model.answer(after_a_step(mixed))
    wanted = torch.stack([expected[2, 0], expected[0, 1], expected[1, 2]])
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-12)


def test_the_number_of_locations_is_an_argument_of_the_call() -> None:
    model = toy(locations=(3,))
    images = torch.rand(2, 1, 150, 170, dtype=torch.float64)
    for count in (0, 1, 5, 36):
        output = model(images, locations=count)
        assert len(output["n_affparam"]) == 1 + count
        assert len(output["n_logit"]) == (2 if count else 1)
        assert int(output["attended"].sum()) == 2 * count
    assert torch.equal(model(images, num_glimpses=1)["n_logit"], model(images)["n_logit"][:1])
    # More locations keep the better ones.
    few, many = (model(images, locations=count)["attended"] for count in (2, 4))
    assert (many | few).equal(many)


def test_bad_arguments() -> None:
    model = toy(locations=(3,))
    images = torch.rand(1, 1, 150, 170, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"locations must be 0 to 36, .*6 x 6, got 37"):
        model(images, locations=37)
    with pytest.raises(ValueError, match=r"locations must have at most 1 numbers, .* got 2"):
        model(images, locations=(1, 1))
    with pytest.raises(TypeError, match=r"locations must be ints, got 1\.5"):
        model(images, locations=(1.5,))
    with pytest.raises(ValueError, match="num_glimpses must be at most 2, got 3"):
        model(images, num_glimpses=3)
    with pytest.raises(ValueError, match=r"a cell of the last level has a pixel, got 2 x 170"):
        model(images[:, :, :2])
    with pytest.raises(ValueError, match=r"images must have shape \[B, 1, H, W\]"):
        model(images[0])
    with pytest.raises(TypeError, match=r"must have with_grid, .* got Linear without with_grid"):
        TNet(TNetConfig(), nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"location features \[128, 5, 5\], got 4608 numbers"):
        toy(grid=5)(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": 0.0}, "overlap must be above 0 and at most 1, got 0.0"),
        ({"overlap": 1.01}, "overlap must be above 0 and at most 1, got 1.01"),
        ({"locations": (26,)}, "locations must be 1 to 25, .* got 26"),
        ({"locations": (0,)}, "locations must be 1 to 25, .* got 0"),
        ({"grid": 1}, "grid must be at least 2, got 1"),
        ({"design": "vgg"}, "design must be one of"),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\], got 1.5"),
        ({"std": (0.0, 1.0, 1.0)}, "std must be positive"),
    ],
)
def test_bad_configs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TNetConfig(**options)


def test_the_shipped_weights_find_digits_in_large_scenes() -> None:
    """The first look cannot tell the digit; four looks can: 26.5 and 98.3 % of 10,000 scenes."""
    model = create_model("tnet_toy", pretrained=True).eval()
    digits = read_digits(*digit_paths())
    scenes = TranslatedMNIST(digits, seed=TEST_SEED, **DATASETS["cluttered-mnist-448"])
    chosen = torch.arange(0, 500, 5)
    with torch.no_grad():
        logits = model(scenes.scenes(chosen))["n_logit"]
    right = (logits.argmax(2) == scenes.labels[chosen]).float().mean(1)
    assert float(right[0]) < 0.5
    assert float(right[1]) > 0.93
    with pytest.raises(ValueError, match="are for antialias = True, got False"):
        create_model("tnet_toy", pretrained=True, antialias=False)


def test_small_images_are_enlarged_like_any_crop() -> None:
    """Also the first look: its samples stay on the image's own edge pixels."""
    model = toy()
    images = torch.rand(2, 1, 30, 41, dtype=torch.float64)
    whole = regions(whole_images(sizes_of(images)), sizes_of(images)).flatten(0, 1)
    expected = F.interpolate(images, (56, 56), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model.sample(images, whole), expected, rtol=0, atol=1e-12)
    assert torch.isfinite(model(images)["n_logit"]).all()


def test_multiply_adds() -> None:
    """Table 1 of the paper, in G: the locations at the last level are not computed."""
    counts = []
    for locations in range(6):
        with torch.device("meta"):
            model = create_model("tnet_bagnet77", locations=(max(locations, 1),))
        steps = 1 if locations == 0 else 2
        counts.append(count_multiply_adds(model, 224, num_glimpses=steps) // 1_000_000)
    assert counts == [1824, 3628, 5432, 7236, 9039, 10843]


def test_bytes_are_normalised_as_they_are_sampled() -> None:
    model = toy()
    images = torch.randint(0, 256, (2, 1, 150, 170), dtype=torch.uint8)
    mean, std = model.config.mean[0], model.config.std[0]
    floats = (images.double() / 255 - mean) / std
    torch.testing.assert_close(
        model(images)["n_logit"], model(floats)["n_logit"], rtol=0, atol=1e-6
    )


def test_gradients_reach_images_and_parameters_but_not_the_backbone_by_the_locations() -> None:
    model = toy(locations=(2,))
    images = torch.rand(2, 1, 80, 90, dtype=torch.float64, requires_grad=True)
    output = model(images)
    output["n_logit"][-1].sum().backward(retain_graph=True)
    assert images.grad is not None
    assert (images.grad != 0).any()
    assert all(parameter.grad is None for parameter in model.locate.parameters())
    model.zero_grad()
    output["probabilities"][:, 0].sum().backward()
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    assert all(parameter.grad is not None for parameter in model.locate.parameters())


def test_it_compiles_into_one_graph() -> None:
    model = toy(locations=(2,)).float()
    images = torch.rand(2, 1, 80, 90)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for name, value in model(images).items():
            torch.testing.assert_close(compiled(images)[name], value)


def test_empty_batches() -> None:
    output = toy(locations=(2,))(torch.zeros(0, 1, 80, 90, dtype=torch.float64))
    assert list(output["n_logit"].shape) == [2, 0, 10]
    assert list(output["attended"].shape) == [0, 36]


def test_nan_stays_in_its_image() -> None:
    model = toy(locations=(2,))
    images = torch.rand(2, 1, 80, 90, dtype=torch.float64)
    expected = model(images)["n_logit"][:, 1]
    images[0, 0, 40, 40] = torch.nan
    logits = model(images)["n_logit"]
    assert logits[:, 0].isnan().all()
    assert torch.equal(logits[:, 1], expected)
