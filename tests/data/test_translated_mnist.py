"""Scenes: where digits are, what noise does, and that nothing but (seed, epoch, index) decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mgnet_fast.data import MNIST_MEAN, MNIST_STD, Digits, TranslatedMNIST

FIRST_PLACES = [[73, 78], [19, 37], [25, 68]]


@pytest.fixture(scope="module")
def digits() -> Digits:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(1, 256, (40, 28, 28), dtype=torch.uint8, generator=generator)
    return Digits(images, torch.arange(40) % 10)


def blank(count: int) -> Digits:
    return Digits(
        torch.zeros(count, 28, 28, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64)
    )


def everything(scenes: TranslatedMNIST, epoch: int = 0) -> torch.Tensor:
    return scenes.scenes(torch.arange(len(scenes)), epoch)


def test_each_scene_is_its_digit_on_black(digits: Digits) -> None:
    scenes = TranslatedMNIST(digits, seed=1)
    images = everything(scenes, epoch=2)
    assert images.shape == (40, 1, 112, 112)
    assert images.dtype == torch.uint8
    for image, (top, left), digit in zip(images, scenes.top_left(2), digits.images, strict=True):
        expected = torch.zeros(112, 112, dtype=torch.uint8)
        expected[top : top + 28, left : left + 28] = digit
        assert torch.equal(image[0], expected)


def test_offsets_are_rounded_uniform_in_both_directions() -> None:
    offsets = TranslatedMNIST(blank(100_000), seed=0).top_left() - 42
    for axis in offsets.T:
        counts = np.bincount(axis + 42, minlength=85)
        assert len(counts) == 85
        # round(U(-42, 42)) gives the two extreme offsets half the share of the others.
        expected: np.ndarray = np.full(85, 100_000 / 84)
        expected[[0, -1]] /= 2
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert chi_square < 84 + 5 * np.sqrt(2 * 84)
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.015


def test_first_places_of_seed_0_never_change() -> None:
    # A fixed test set must be the same on every machine and with every version of numpy.
    assert TranslatedMNIST(blank(3), seed=0).top_left(0).tolist() == FIRST_PLACES


def test_epochs_seeds_and_scenes_differ(digits: Digits) -> None:
    scenes = TranslatedMNIST(digits, seed=1)
    assert not np.array_equal(scenes.top_left(0), scenes.top_left(1))
    assert not np.array_equal(scenes.top_left(0), TranslatedMNIST(digits, seed=2).top_left(0))


@pytest.mark.parametrize("noise_std", [0.0, 0.3])
def test_scene_depends_on_seed_epoch_and_index_alone(digits: Digits, noise_std: float) -> None:
    whole = everything(TranslatedMNIST(digits, seed=5, noise_std=noise_std), epoch=3)
    other = TranslatedMNIST(digits, seed=5, noise_std=noise_std)
    other.scenes(torch.arange(40), epoch=7)  # drawing another epoch first must not matter
    for index in (39, 0, 17):
        assert torch.equal(other.scenes(torch.tensor([index]), epoch=3)[0], whole[index])


def test_batches_are_a_permutation_that_changes_each_epoch(digits: Digits) -> None:
    scenes = TranslatedMNIST(digits, seed=0)
    orders = []
    for epoch in (0, 1, 0):
        batches = list(scenes.batches(16, epoch=epoch, shuffle=True))
        assert [len(images) for images, _ in batches] == [16, 16, 8]
        images = torch.cat([images for images, _ in batches])
        every = everything(scenes, epoch)
        order = [int((every == image).flatten(1).all(1).nonzero()[0]) for image in images]
        assert sorted(order) == list(range(40))
        labels = torch.cat([labels for _, labels in batches])
        assert labels.tolist() == [index % 10 for index in order]
        orders.append(order)
    assert orders[0] == orders[2] != orders[1]


def test_unshuffled_batches_come_in_order_and_drop_last_drops(digits: Digits) -> None:
    scenes = TranslatedMNIST(digits)
    batches = list(scenes.batches(16, drop_last=True))
    assert len(batches) == 2
    assert torch.equal(torch.cat([images for images, _ in batches]), everything(scenes)[:32])


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_each_batch(digits: Digits, world_size: int) -> None:
    scenes = TranslatedMNIST(digits, seed=0)
    whole = list(scenes.batches(16, shuffle=True, drop_last=True))
    shares = [
        list(scenes.batches(16, shuffle=True, drop_last=True, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for at, (images, labels) in enumerate(whole):
        for rank in range(world_size):
            assert torch.equal(shares[rank][at][0], images[rank::world_size])
            assert torch.equal(shares[rank][at][1], labels[rank::world_size])


def test_noise_is_clamped_to_the_clean_range_and_normalised(digits: Digits) -> None:
    noisy = everything(TranslatedMNIST(digits, seed=4, noise_std=0.3))
    clean = everything(TranslatedMNIST(digits, seed=4)).float() / 255
    assert noisy.dtype == torch.float32
    pixels = noisy * MNIST_STD + MNIST_MEAN
    assert pixels.amin() > -1e-6
    highest = clean.amax((1, 2, 3))
    assert torch.allclose(pixels.amax((1, 2, 3)), highest, atol=1e-6)
    # Away from the clamps noise is what was added: look at mid-grey pixels only.
    middle = (clean > 0.45) & (clean < 0.55)
    added = (pixels - clean)[middle]
    inside = added.abs() < 0.4
    assert abs(added[inside].mean()) < 0.02
    share_within_one_std = (added.abs() < 0.3).float().mean()
    assert abs(share_within_one_std - 0.6827) < 0.02
    # Half of the background is lifted by the positive half of the noise.
    background = pixels[clean == 0]
    assert abs((background > 1e-6).float().mean() - 0.5) < 0.01
    assert abs(background.mean() - 0.3 / np.sqrt(2 * np.pi)) < 0.002


def test_small_digits_are_means_and_masks_show_their_ink(digits: Digits) -> None:
    images = digits.images.clone()
    images[:, 14:] = 0  # the lower half is without ink
    scenes = TranslatedMNIST(
        Digits(images, digits.labels), seed=1, scene_size=32, digit_size=14, clutter=3
    )
    alone = TranslatedMNIST(Digits(images, digits.labels), seed=1, scene_size=32, digit_size=14)
    masks = scenes.masks(torch.arange(40), epoch=1)
    assert torch.equal(masks, everything(alone, epoch=1)[:, 0] > 0)
    for mask, scene, (top, left), digit in zip(
        masks, everything(alone, 1), alone.top_left(1), images, strict=True
    ):
        assert mask.sum() == 14 * 7
        small = digit.float().view(14, 2, 14, 2).mean((1, 3)).round()
        assert torch.equal(scene[0, top : top + 14, left : left + 14].float(), small)


def test_clutter_is_of_pieces_that_only_brighten_and_follow_the_index(digits: Digits) -> None:
    options = {"seed": 2, "scene_size": 32, "digit_size": 20}
    cluttered = TranslatedMNIST(digits, clutter=2, clutter_size=6, **options)
    added = everything(cluttered) > everything(TranslatedMNIST(digits, **options))
    assert (everything(cluttered) >= everything(TranslatedMNIST(digits, **options))).all()
    counts = added.sum((1, 2, 3))
    assert counts.max() <= 2 * 6 * 6
    assert counts.float().mean() > 20
    assert torch.equal(cluttered.scenes(torch.tensor([17]))[0], everything(cluttered)[17])
    assert not torch.equal(everything(cluttered, 1)[17], everything(cluttered)[17])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digit_size": 29}, r"digit_size must be in 1\.\.28, got 29"),
        ({"digit_size": 20, "scene_size": 33}, "must be 20 plus an even number, got 33"),
        ({"clutter": -1}, "clutter must be at least 0 pieces, got -1"),
        ({"digit_size": 6}, r"clutter_size must be in 1\.\.6, got 8"),
    ],
)
def test_scenes_that_cannot_be_are_refused(
    digits: Digits, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TranslatedMNIST(digits, **options)


def test_noise_of_two_scenes_is_uncorrelated() -> None:
    images = torch.full((2, 28, 28), 0, dtype=torch.uint8)
    images[:, 0, 0] = 255
    scenes = TranslatedMNIST(Digits(images, torch.zeros(2).long()), noise_std=0.3)
    pair = everything(scenes).flatten(1).numpy()
    assert abs(np.corrcoef(pair)[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_std": -0.1}, "noise_std must be at least 0"),
        ({"noise_std": float("nan")}, "noise_std must be at least 0"),
        ({"scene_size": 27}, "scene_size must be 28 plus an even number, got 27"),
        ({"scene_size": 111}, "scene_size must be 28 plus an even number, got 111"),
    ],
)
def test_bad_arguments(digits: Digits, change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TranslatedMNIST(digits, **change)  # type: ignore[arg-type]


def test_bad_digits(digits: Digits) -> None:
    with pytest.raises(ValueError, match=r"digits.images must be uint8 \[N, 28, 28\]"):
        TranslatedMNIST(Digits(digits.images.float(), digits.labels))
    with pytest.raises(ValueError, match=r"digits.labels must have shape \[40\], got \[39\]"):
        TranslatedMNIST(Digits(digits.images, digits.labels[:39]))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        next(TranslatedMNIST(digits).batches(0))


def test_smallest_scene_is_the_digit(digits: Digits) -> None:
    scenes = TranslatedMNIST(digits, scene_size=28)
    assert torch.equal(everything(scenes)[:, 0], digits.images)


def test_no_scenes(digits: Digits) -> None:
    for noise_std in (0.0, 0.3):
        scenes = TranslatedMNIST(digits, noise_std=noise_std)
        assert scenes.scenes(torch.zeros(0).long()).shape == (0, 1, 112, 112)
