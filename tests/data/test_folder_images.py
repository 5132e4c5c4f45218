"""Images of folders as batches: transforms, determinism, workers, and what cannot be read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_trees import damage, draw, write_tree

from mgnet_fast.data import FolderImages, ImageTransform, UnreadableImagesError, read_image_tree
from mgnet_fast.data.folders import image_transform
from mgnet_fast.data.folders.auto_augment import AutoAugment, choose_auto_augment
from mgnet_fast.data.folders.image_check import check_images
from mgnet_fast.data.folders.image_transform import random_box

SMALL = ImageTransform(32, 36)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("images"))


def training(
    root: Path, seed: int = 0, transform: ImageTransform = SMALL, **options
) -> FolderImages:
    tree = read_image_tree(root, "train")
    return FolderImages(tree, transform, training=True, seed=seed, **options)


def test_training_images_depend_on_seed_epoch_and_index_alone(root: Path) -> None:
    images = training(root)
    alone = {
        index: np.asarray(images.image(index, epoch=1)) for index in reversed(range(len(images)))
    }
    seen = []
    for rank in range(2):
        for pixels, labels in images.batches(6, epoch=1, shuffle=True, rank=rank, world_size=2):
            assert pixels.dtype == torch.uint8
            assert pixels.shape[1:] == (3, 32, 32)
            assert pixels.is_contiguous(memory_format=torch.channels_last)
            for image, label in zip(pixels.permute(0, 2, 3, 1).numpy(), labels, strict=True):
                (index,) = [at for at in alone if np.array_equal(alone[at], image)]
                assert images.labels[index] == label
                seen.append(index)
    assert sorted(seen) == list(range(24))
    for other in (training(root, seed=1).image(5, 1), training(root).image(5, 2)):
        assert not np.array_equal(np.asarray(other), alone[5])


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")
def test_workers_change_nothing(root: Path) -> None:
    state = torch.get_rng_state()
    one = list(training(root).batches(10, epoch=2, shuffle=True))
    other = list(training(root, workers=2).batches(10, epoch=2, shuffle=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(labels) for _, labels in one] == [10, 10, 4]
    for (pixels, labels), (same, too) in zip(one, other, strict=True):
        assert torch.equal(pixels, same)
        assert torch.equal(labels, too)


def test_grey_images(root: Path) -> None:
    tree = read_image_tree(root, "val")
    colour, grey = (FolderImages(tree, SMALL, channels=channels) for channels in (3, 1))
    pixels, _ = next(grey.batches(4))
    assert pixels.shape == (4, 1, 32, 32)
    wanted = np.asarray(colour.image(0).convert("L")).astype(int)
    assert np.abs(pixels[0, 0].numpy() - wanted).max() <= 1  # rounded before, not after resizing
    assert training(root, channels=1).image(0).mode == "L"
    with pytest.raises(ValueError, match="channels must be 1 or 3 for folders of images, got 4"):
        FolderImages(tree, SMALL, channels=4)


@pytest.mark.parametrize("size", [(48, 40), (36, 60), (36, 36), (20, 300), (7, 5)])
def test_validation_is_the_middle_of_the_resized_image(size: tuple[int, int]) -> None:
    image = draw(1, size)
    short = min(size)
    resized = image.resize(
        (36 * size[0] // short, 36 * size[1] // short), Image.Resampling.BILINEAR
    )
    left, top = (round((side - 32) / 2) for side in resized.size)
    wanted = resized.crop((left, top, left + 32, top + 32))
    got = SMALL.validate(image)
    assert got.size == (32, 32)
    assert np.array_equal(np.asarray(got), np.asarray(wanted))


def test_crops_cover_what_they_should() -> None:
    generator = np.random.Generator(np.random.Philox(key=3))
    boxes = [random_box((1000, 800), generator.random(22)) for _ in range(3000)]
    left, top, right, bottom = np.array(boxes).T
    assert left.min() == top.min() == 0
    assert (right.max(), bottom.max()) == (1000, 800)
    area, aspect = (right - left) * (bottom - top) / 800_000, (right - left) / (bottom - top)
    assert 0.079 < area.min() < 0.09
    assert 0.95 < area.max() <= 1
    assert 0.745 < aspect.min() < 0.76
    assert 1.32 < aspect.max() < 1.34
    fits = area < 0.5  # smaller ones fit whatever their aspect, so nothing there is tried twice
    assert area[fits].mean() == pytest.approx((0.08 + 0.5) / 2, abs=0.012)
    assert np.log(aspect[fits]).mean() == pytest.approx(0, abs=0.012)
    assert np.log(aspect[fits]).std() == pytest.approx(np.log(4 / 3) / 3**0.5, abs=0.008)


@pytest.mark.parametrize(
    ("size", "box"),
    [((400, 10), (193, 0, 206, 10)), ((2, 50), (0, 23, 2, 26)), ((1, 1), (0, 0, 1, 1))],
)
def test_crop_of_an_image_that_no_crop_fits(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    assert random_box(size, np.full(22, 0.999)) == box


def test_half_of_the_training_images_are_flipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_transform, "random_box", lambda size, draws, least: (0, 0, *size))
    picture = draw(5, (32, 32))
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    seen = [SMALL.train(picture, 0, 0, index).tobytes() for index in range(200)]
    assert set(seen) == {picture.tobytes(), mirrored}
    assert 70 < seen.count(mirrored) < 130


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((0, 5), "image_size must be at least 1"), ((32, 31), "resize must be at least image_size")],
)
def test_sizes_out_of_range(sizes: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageTransform(*sizes)


def test_unreadable_images_are_left_out_named_and_limited(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    damage(root / "val" / "bee" / "1.jpg")
    (root / "val" / "cat" / "0.jpg").write_text("no image")
    tree = read_image_tree(root, "val")
    wanted = {"bee/1.jpg", "cat/0.jpg"}
    images = FolderImages(tree, SMALL, max_unreadable=2, workers=1)
    batches = list(images.batches(5))
    assert [len(labels) for _, labels in batches] == [5, 3, 2]
    assert torch.cat([labels for _, labels in batches]).tolist() == [0] * 4 + [1] * 3 + [2] * 3
    assert set(images.unreadable) == wanted
    assert "runcated" in images.unreadable["bee/1.jpg"]
    with pytest.raises(UnreadableImagesError, match=r"at most 1 .* got 2: .*bee/1.jpg \(.*cat/0"):
        list(FolderImages(tree, SMALL, max_unreadable=1).batches(12))

    counts, found = zip(*check_images(tree, workers=1), strict=True)
    assert sum(counts) == 12
    assert set().union(*found) == wanted
    shares = [
        set().union(*(u for _, u in check_images(tree, rank=r, world_size=2))) for r in (0, 1)
    ]
    assert shares == [{"cat/0.jpg"}, {"bee/1.jpg"}]


def test_which_library_has_autoaugment(monkeypatch: pytest.MonkeyPatch) -> None:
    from mgnet_fast.data.folders import auto_augment

    def missing() -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    there = {"torchvision": missing, "kornia": lambda: lambda image: image}
    monkeypatch.setattr(auto_augment, "_BUILDERS", there)
    assert choose_auto_augment("none") == "none"
    assert choose_auto_augment() == "kornia"
    with pytest.raises(ImportError, match=r"\(torchvision: RuntimeError: operator .* exist\): pip"):
        choose_auto_augment("torchvision")
    there["kornia"] = missing
    with pytest.raises(
        ImportError, match=r"kornia: .*augment\]' adds it, or choose auto_augment none"
    ):
        choose_auto_augment("kornia")
    assert choose_auto_augment() == "none"
    with pytest.raises(ValueError, match="auto_augment must be one of auto, torchvision"):
        choose_auto_augment("opencv")


@pytest.mark.parametrize("library", ["torchvision", "kornia"])
def test_autoaugment_depends_on_its_seed_alone(library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed", exc_type=Exception)
    augment, picture = AutoAugment(library), draw(9)
    state = torch.get_rng_state()
    seen = [np.asarray(augment(picture, seed)) for seed in (*range(8), 0)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(each.shape == (40, 48, 3) for each in seen)
    assert len({each.tobytes() for each in seen}) > 4
    assert np.array_equal(seen[0], seen[-1])
    again = pickle.loads(pickle.dumps(augment))
    assert np.array_equal(np.asarray(again(picture, 3)), seen[3])
