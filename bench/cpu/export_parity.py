"""Measures how far exported networks are from the eager model: ``python -m
bench.cpu.export_parity``.

Scenes with digits for the shipped network; crops of photographs, smooth random pictures and white
noise for ResNet-18, which has random weights. The photographs come with scikit-image, or from a
folder given with ``--photos``.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from mgnet_fast import create_model
from mgnet_fast.export import (
    BatchRange,
    ExportOptions,
    Tolerances,
    calibration_batches,
    export_model,
    load_onnx,
    loop_of_steps,
    measure_parity,
    sample_batches,
)
from mgnet_fast.models import MGNet

ANY = Tolerances(float("inf"), float("inf"), 1.0)
# The camera photographs among those of scikit-image.
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "rocket.jpg",
          "motorcycle_left.png", "retina.jpg", "ihc.png")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--photos", type=Path, help="folder of photographs")
    parser.add_argument("--precisions", default="fp32,fp16,int8")
    parser.add_argument("--parts", default="loop,step")
    parser.add_argument("--networks", default="mgnet_toy,mgnet_resnet18")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = asked.photos or _shipped_photos(Path(folder))
        for network in asked.networks.split(","):
            for part in asked.parts.split(","):
                for precision in asked.precisions.split(","):
                    _compare(network, part, precision, asked.images, photos, Path(folder))


def _shipped_photos(folder: Path) -> Path | None:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        print("no photographs: pip install scikit-image, or give --photos DIR")
        return None
    kept = folder / "photos"
    kept.mkdir()
    for name in PHOTOS:
        source = Path(found.origin).parent / "data" / name
        if source.is_file():
            (kept / name).symlink_to(source)
    return kept


def _compare(
    network: str, part: str, precision: str, images: int, photos: Path | None, folder: Path
) -> None:
    torch.manual_seed(0)
    is_toy = network == "mgnet_toy"
    model = create_model(network, pretrained=is_toy).eval()
    options = ExportOptions(BatchRange(1, 20, 64), what=part, precision=precision)  # type: ignore[arg-type]
    used = None if is_toy else photos
    start = time.perf_counter()
    done = export_model(
        model,
        folder,
        "onnx",
        options,
        sample=sample_batches(model, options, 1),
        calibration=calibration_batches(model, options, folder=used),
        tolerances=ANY,
    )
    print(
        f"{network} {part} {precision}: exported in {time.perf_counter() - start:.0f} s", flush=True
    )
    run = load_onnx(done.artefact)
    if part == "step":
        run = loop_of_steps(run, model, options)  # type: ignore[arg-type]
    samples: dict[str, Iterator[Tensor]] = {}
    if is_toy:
        samples["digit scenes"] = sample_batches(model, options, images)
    else:
        samples["smooth random"] = sample_batches(model, options, min(images, 60))
        if photos is not None:
            samples["photographs"] = sample_batches(model, options, min(images, 200), folder=photos)
    samples["white noise"] = _noise(model, 60)
    for name, batches in samples.items():
        _print(name, run, model, batches)


def _noise(model: MGNet, count: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(0, count, 20):
        yield torch.randn(20, model.config.in_chans, 224, 224, generator=generator)


def _print(name: str, run, model: MGNet, batches: Iterator[Tensor]) -> None:
    parity = measure_parity(run, model, batches, tolerances=ANY)
    print(
        f"  {name:14} {parity.images:5} images   logits {parity.logit_mean:.1e} mean "
        f"{parity.logit_max:.1e} max   regions {parity.region_mean:.1e} mean "
        f"{parity.region_max:.1e} max   labels changed {parity.labels_changed}",
        flush=True,
    )


if __name__ == "__main__":
    main()
