"""Attention maps and saliency as segmentations of a known object."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.networks.four_quarters import FourQuarters

from mgnet_fast.assets import digit_paths
from mgnet_fast.data import DATASETS, TranslatedMNIST, read_digits
from mgnet_fast.evaluation import (
    above_otsu,
    attention_segments,
    evaluate_segments,
    jaccard,
    saliency,
)
from mgnet_fast.models import create_model


@pytest.fixture(scope="module")
def scenes() -> TranslatedMNIST:
    digits = read_digits(*digit_paths())
    some = type(digits)(digits.images[:12], digits.labels[:12])
    return TranslatedMNIST(some, **DATASETS["cluttered-mnist-32"])


def test_otsu_separates_two_groups_with_the_largest_variance_between_them() -> None:
    maps = torch.randint(0, 40, (5, 9, 7), generator=torch.Generator().manual_seed(0)).float()
    maps[3:] += 100 * (maps[3:] % 3 == 0)
    for found, values in zip(above_otsu(maps), maps, strict=True):
        splits = [values > limit for limit in values.unique()[:-1]]
        shares = [split.double().mean() for split in splits]
        gaps = [values[split].mean() - values[~split].mean() for split in splits]
        between = [float(s * (1 - s) * gap**2) for s, gap in zip(shares, gaps, strict=True)]
        assert torch.equal(found, splits[between.index(max(between))])
    assert not above_otsu(torch.ones(1, 4, 4)).any()
    assert not above_otsu(torch.ones(2, 1, 1)).any()
    with pytest.raises(ValueError, match="maps must be finite"):
        above_otsu(torch.tensor([[[1.0, torch.nan]]]))


def test_attention_selects_by_scores_not_by_the_peak_of_the_softmax() -> None:
    scores = torch.zeros(1, 4, 4)
    scores[0, 1:3, 1:3] = torch.tensor([[12.0, 8.0], [9.0, 10.0]])
    weights = scores.flatten(1).softmax(1).view_as(scores)
    chosen = attention_segments(weights, (4, 4))
    assert torch.equal(chosen[0], scores[0] > 0)
    assert attention_segments(weights * 0, (8, 8)).shape == (1, 8, 8)  # rounded to 0


def test_jaccard() -> None:
    found = torch.tensor([[[1, 1, 0]], [[0, 0, 0]], [[1, 0, 0]]]).bool()
    wanted = torch.tensor([[[0, 1, 1]], [[0, 0, 0]], [[0, 1, 0]]]).bool()
    assert jaccard(found, wanted).tolist() == [1 / 3, 1.0, 0.0]
    with pytest.raises(ValueError, match=r"shape \[3, 1, 3\], got \[3, 3\]"):
        jaccard(found[:, 0], wanted)


def test_saliency_is_the_slope_of_the_last_logit(scenes: TranslatedMNIST) -> None:
    torch.manual_seed(0)
    model = FourQuarters().train()
    images, labels = scenes.scenes(np.arange(2)), scenes.labels[:2]
    found = saliency(model, images, labels)
    assert model.training
    pixels = model.as_glimpse(images)
    step = torch.zeros_like(pixels)
    step[:, 0, 15, 16] = 1e-2
    with torch.no_grad():
        up, down = (model(pixels + sign * step)["n_logit"][-1] for sign in (1, -1))
    slope = (up - down).gather(1, labels[:, None])[:, 0] / 2e-2
    torch.testing.assert_close(found[:, 15, 16], slope.abs(), rtol=1e-2, atol=1e-4)


def test_every_level_and_the_saliency_are_compared_with_the_digit(scenes: TranslatedMNIST) -> None:
    torch.manual_seed(0)
    model = create_model("ltpa_vgg_small", widths=(2, 2, 3, 3, 4, 4), levels=2)
    found = evaluate_segments(model, scenes, count=10, batch_size=4)
    assert [each.name for each in found] == ["level 2", "level 3", "saliency", "log saliency"]
    weights = model.eval()(scenes.scenes(np.arange(10)))["attention"][1]
    expected = jaccard(attention_segments(weights, (32, 32)), scenes.masks(np.arange(10)))
    assert found[1].indices == pytest.approx(expected.tolist())
    low, high = found[1].interval()
    assert low < found[1].mean < high
    assert evaluate_segments(FourQuarters(), scenes)[0].name == "saliency"
    with pytest.raises(ValueError, match=r"count must be in 2\.\.12, the number of scenes, got 13"):
        evaluate_segments(model, scenes, count=13)
