"""What a network saw, and the page about it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from mgnet_fast import create_model
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.pictures import Look, look_at, write_report
from mgnet_fast.pictures.looks import NamedImage


@pytest.fixture(scope="module")
def looks() -> list[Look]:
    scenes = load_scenes(6)
    pixels = scenes.scenes(np.arange(6))
    images = [
        NamedImage(f"scene <{n}>", image, label if n < 5 else None)
        for n, (image, label) in enumerate(zip(pixels, scenes.labels.tolist(), strict=True))
    ]
    return list(look_at(load_model(), images))


def test_a_look_is_what_the_network_said(looks: list[Look]) -> None:
    model, scenes = load_model().eval(), load_scenes(6)
    with torch.inference_mode():
        output = model(scenes.scenes(np.array([2])))
    look = looks[2]
    assert look.predictions == tuple(output["n_logit"][:, 0].argmax(-1).tolist())
    torch.testing.assert_close(look.regions, output["n_affparam"][:, 0])
    assert look.right == tuple(p == look.label for p in look.predictions)
    assert look.thumbnail.shape == (1, 112, 112)
    assert look.glimpses.shape == (3, 1, 28, 28)
    assert look.glimpses.dtype == torch.uint8
    # The corners of the first glimpse are the corners of the image.
    assert look.glimpses[0, 0, 0, 0] == look.thumbnail[0, 0, 0]
    assert looks[5].right is None


def test_borders_and_exits() -> None:
    look = Look("x", 1, 8, 8, torch.zeros(1, 8, 8), torch.zeros(3, 1, 4, 4),
                torch.tensor([[1.0, 0, 0], [0.3, 0.7, 0], [0.3, 0.6, -0.6]]),
                (0, 1, 1), (0.2, 0.8, 0.95))  # fmt: skip
    assert look.at_the_border == (True, True, False)
    assert look.right == (False, True, True)
    assert [look.leaves_after(bar) for bar in (0.1, 0.8, 0.9, 0.99)] == [1, 2, 3, 3]


def test_large_images_of_any_shape_become_thumbnails() -> None:
    torch.manual_seed(0)
    model = create_model("mgnet_resnet18", num_classes=4, glimpse_size=32, num_glimpses=2)
    pixels = torch.randint(0, 256, (3, 300, 600), dtype=torch.uint8)
    (look,) = look_at(model, [NamedImage("wide", pixels)])
    assert look.thumbnail.shape == (3, 112, 224)
    assert (look.height, look.width) == (300, 600)


def test_normalised_images_are_shown_as_pixels() -> None:
    model = load_model()
    scene = load_scenes(1).scenes(np.array([0]))[0]
    mean, std = model.config.mean[0], model.config.std[0]
    (look,) = look_at(model, [NamedImage("float", (scene.float() / 255 - mean) / std)])
    assert (look.thumbnail.int() - scene.int()).abs().max() <= 1


class _Links(HTMLParser):
    """Everything that a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attributes if k in ("src", "href")]


def test_the_page_needs_nothing_else(looks: list[Look], tmp_path: Path) -> None:
    page = write_report(looks, tmp_path / "deep" / "looks.html", title="A & B")
    text = page.read_text(encoding="utf-8")
    parser = _Links()
    parser.feed(text)
    assert len(parser.links) == 6 * (1 + 3)
    assert all(link.startswith("data:image/") for link in parser.links)
    assert "script" not in parser.tags
    assert "A &amp; B" in text
    assert "scene &lt;1&gt;" in text
    right = sum(bool(look.right and look.right[-1]) for look in looks)
    assert f"{right} of 5" in text
    assert "1 without a known class" in text


def test_wrong_answers_come_first(looks: list[Look], tmp_path: Path) -> None:
    wrong = Look(**{**vars(looks[4]), "name": "the wrong one", "label": 11})
    page = write_report([*looks, wrong], tmp_path / "looks.html", title="t")
    headings = re.findall(r"<h2>(.*?)<", page.read_text(encoding="utf-8"))
    assert headings[0] == "the wrong one"
    assert len(headings) == 7


def test_names_of_classes(looks: list[Look], tmp_path: Path) -> None:
    names = [f"<class {n}>" for n in range(10)]
    text = write_report(looks, tmp_path / "a.html", title="t", class_names=names).read_text()
    assert f"label &lt;class {looks[0].label}&gt;" in text


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one image, got 0"):
        write_report([], tmp_path / "a.html", title="t")
