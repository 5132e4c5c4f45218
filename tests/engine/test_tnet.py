"""TNets in the engine: levels are steps, of several looks each."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mgnet_fast import Confidence, Engine, Never, create_model, open_image
from mgnet_fast.models.tnet.network import TNet

LOGITS = 1e-5  # one order of float32 sums against another, in units of the logits, which are near 1


@pytest.fixture(scope="module")
def model() -> TNet:
    torch.manual_seed(0)
    network: TNet = create_model("tnet_toy", locations=(3, 2), antialias=False)
    return network.eval()


@pytest.fixture(scope="module")
def images() -> list[Tensor]:
    sizes = ((200, 260), (150, 150), (448, 300), (200, 260), (61, 70))
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randint(0, 256, (1, *size), generator=generator, dtype=torch.uint8) for size in sizes
    ]


@pytest.mark.parametrize("slots", [1, 3])
def test_images_of_different_sizes(model: TNet, images: list[Tensor], slots: int) -> None:
    """Each image's cells follow from its own size, whatever shares its step."""
    engine = Engine(model, slots=slots, exit=Never(), runner="eager")
    for image, found in zip(images, engine.stream(images), strict=True):
        with torch.no_grad():
            wanted = model(image[None])
        torch.testing.assert_close(found.logits, wanted["n_logit"][-1, 0], rtol=0, atol=LOGITS)
        torch.testing.assert_close(found.regions, wanted["n_affparam"][:, 0].float())


def test_images_leave_after_the_level_where_they_are_sure(
    model: TNet, images: list[Tensor]
) -> None:
    with torch.no_grad():
        logits = [model(image[None])["n_logit"][:, 0] for image in images]
    sure = torch.stack([each.softmax(1).amax(1) for each in logits])  # [images, levels]
    threshold = float(sure[:, 0].sort().values[2])  # so that some leave at once
    engine = Engine(model, slots=2, exit=Confidence(threshold), runner="eager")
    leaves = []
    for number, found in enumerate(engine.stream(images)):
        level = next((n for n in range(2) if sure[number, n] >= threshold), 2)
        assert len(found.regions) == (1, 4, 10)[level]
        torch.testing.assert_close(found.logits, logits[number][level], rtol=0, atol=LOGITS)
        leaves.append(level)
    assert len(set(leaves)) > 1


def test_files_are_decoded_where_it_looks(model: TNet, images: list[Tensor]) -> None:
    """PNGs have one scale, so the results are those of the pixels, also of enlarged crops."""
    files = []
    for image in images:
        written = io.BytesIO()
        Image.fromarray(np.asarray(image[0])).save(written, "PNG")
        files.append(open_image(written.getvalue(), channels=1))
    engine = Engine(model, slots=2, exit=Never(), runner="eager")
    from_files, from_pixels = (
        engine.stream(files),
        Engine(model, slots=2, exit=Never(), runner="eager").stream(images),
    )
    for one, other in zip(from_files, from_pixels, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=LOGITS)
