"""What a network's answers lose where files are decoded as they are looked at.

python -m bench.lazy_reading --checkpoint FILE    write bench/results/streams/lazy_reading.json

The 500 shipped digits, each in a scene that is enlarged and saved in several formats. Lazily read
files against the same files decoded whole.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mgnet_fast import open_image
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.engine import Engine, Never, Prediction
from mgnet_fast.models.regions import smallest_look

from .rows import RESULTS, machine

OUT = RESULTS / "streams" / "lazy_reading.json"
SIDES = (112, 224, 448, 896, 1792)
FORMATS = ("JPEG", "PNG", "tiled TIFF")


def encoded(pixels: np.ndarray, form: str, folder: Path, number: int) -> bytes | Path:
    """A file of this format: its bytes, or the path of a TIFF."""
    if form != "tiled TIFF":
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form, quality=90)
        return file.getvalue()
    import tifffile

    path = folder / f"{number}.tif"
    with tifffile.TiffWriter(path) as writer:
        for level in range(5):
            side = pixels.shape[0] >> level
            small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)
            kind = {"subifds": 4} if level == 0 else {"subfiletype": 1}
            writer.write(np.asarray(small), tile=(256, 256), photometric="minisblack", **kind)
    return path


def compare(engine: Engine, form: str, side: int, labels: list[int]) -> dict[str, Any]:
    """Answers of all scenes, enlarged to ``side`` pixels."""
    scenes = load_scenes().scenes(np.arange(len(labels)))
    lazy: list[Prediction] = []
    whole: list[Prediction] = []
    scale = 1.0
    with tempfile.TemporaryDirectory() as folder:
        for number, scene in enumerate(scenes):
            size = (side, side)
            large = Image.fromarray(scene[0].numpy()).resize(size, Image.Resampling.BICUBIC)
            file = encoded(np.asarray(large), form, Path(folder), number)
            lazy += engine.predict([open_image(file, 1)])
            whole += engine.predict([open_image(file, 1).pixels()])
            if number == 0:
                scale = _scale(open_image(file, 1), engine)
    spread = torch.stack([each.logits for each in whole]).std()
    shifts = [float((a.regions - b.regions).abs().max()) for a, b in zip(lazy, whole, strict=True)]
    moved = [float((a.logits - b.logits).abs().max()) for a, b in zip(lazy, whole, strict=True)]
    return {
        "format": form,
        "side": side,
        "scale": scale,
        "images": len(labels),
        "labels_changed": sum(a.label != b.label for a, b in zip(lazy, whole, strict=True)),
        "right_lazy": sum(a.label == b for a, b in zip(lazy, labels, strict=True)),
        "right_whole": sum(a.label == b for a, b in zip(whole, labels, strict=True)),
        "largest_region_shift": max(shifts),
        "median_region_shift": float(np.median(shifts)),
        "largest_logit_change": max(moved) / float(spread),
        "median_logit_change": float(np.median(moved)) / float(spread),
    }


def _scale(image: Any, engine: Engine) -> float:
    """Pixels of the file per pixel of the coarsest scale that the network's first look uses."""
    config = engine.model.config
    small = image.shrunk(smallest_look(config), config.glimpse_shape((0, 0)))
    return float(image.height / small.shape[0])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lazy_reading", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine = Engine(load_model(arguments.checkpoint), slots=1, runner="eager", exit=Never())
    labels = load_scenes().labels.tolist()
    rows = []
    for form in FORMATS:
        for side in SIDES:
            rows.append(compare(engine, form, side, labels))
            print(json.dumps(rows[-1]), flush=True)
    OUT.write_text(
        json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8"
    )
    print(f"written: {OUT}")


if __name__ == "__main__":
    main()
