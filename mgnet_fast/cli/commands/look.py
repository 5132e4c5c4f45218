"""``mgnet-fast look``: a picture and a web page of where a network looked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import console
from ..options import shared as options
from ..options.option import option
from ..options.reading import AllowTruncated, Decode, IgnoreExif
from ..options.scenes import fixed_scenes
from ..waiting import waiting_bar

if TYPE_CHECKING:
    import torch

    from ...data import TranslatedMNIST
    from ...data.reading.options import ReadOptions
    from ...pictures import Look
    from ...pictures.looks import NamedImage

DRAWN = 9  # images of the picture
MOST = 300  # images of the page: some 30 kB each


def look(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATHS]...",
            help="Image files, folders, patterns such as '*.png'.",
            show_default="scenes of digits",
        ),
    ] = None,
    checkpoint: options.Checkpoint = None,
    out: Annotated[Path, option("DIR", "Folder for the two files.", "--out", "-o")] = Path("looks"),
    images: Annotated[int, option("N", "Use only the first N images.", min=1, max=MOST)] = 36,
    confidence: Annotated[
        float, option("X", "Confidence threshold of the early exit shown.", min=0, max=1)
    ] = 0.9,
    data: options.TestDigits = None,
    dataset: options.DatasetName = "translated-mnist",
    noise_std: options.NoiseStd = None,
    decode: Decode = "auto",
    ignore_exif: IgnoreExif = False,
    allow_truncated: AllowTruncated = False,
    threads: options.Threads = None,
    device: options.Device = "cpu",
) -> None:
    """Show where a network looks: a picture, and a page for any browser.

    For a network that attends to its own maps both show heat maps over the image.

    Images in a folder named after a class are marked right or wrong.
    """
    from ...assets import toy_checkpoint_path
    from ...data.reading.options import ReadOptions, is_lazy
    from ...models.files.checkpoints import load_checkpoint
    from ...models.files.trained_on import read_trained_on
    from ...pictures import look_at, write_report
    from ...threads import fixed_threads
    from ...training.distributed import Workers, device_for

    path = checkpoint or toy_checkpoint_path()
    model = load_checkpoint(path).to(device_for(device, Workers()))
    trained = read_trained_on(path)
    names = list(trained.classes) if trained else None
    if paths:
        chosen, of = _files(paths, images)
        reading = ReadOptions(model.config.in_chans, ignore_exif, allow_truncated)
        lazy = is_lazy(decode, model)
        source = _read(chosen, reading, names, model.config, lazy)
        count, what = len(chosen), "image file" if len(chosen) == 1 else "image files"
    else:
        from ...evaluation import check_fit

        scenes = fixed_scenes(data, dataset, noise_std)
        check_fit(model, scenes)
        count, of = min(images, len(scenes)), len(scenes)
        noise = f", noise {scenes.noise_std:g}" if scenes.noise_std else ""
        source, what = _scenes(scenes, count), f"scenes of {dataset}{noise}"
    out.mkdir(parents=True, exist_ok=True)
    looks: list[Look] = []
    with fixed_threads(threads), waiting_bar(count) as show:
        for seen in look_at(model, source):
            looks.append(seen)
            show("images", len(looks))
    if not looks:
        raise ValueError("none of the image files could be read")
    title = f"{path.name}: {len(looks)} {what}"
    page = write_report(
        looks, out / "looks.html", title=title, class_names=names, confidence=confidence
    )
    if looks[0].attention:
        picture = _draw_heat(looks, out / "attention.png", names, f"{path.name}: {what}")
    else:
        picture = _draw(looks, out / "glimpses.png", names, path.name, what, is_files=bool(paths))
    screen = console.output()
    if of > count:
        screen.print(f"the first {count} of {of:,}; --images N takes up to {MOST}")
    for written in (page, picture):
        screen.print(f"written: {written}", soft_wrap=True)
    console.print_next(screen, (f"open {page}", "boxes, glimpses and predictions of every image"))
    if len(looks) < count:
        raise typer.Exit(1)


def _files(paths: list[str], most: int) -> tuple[list[Path], int]:
    from ...data.image_files import find_images

    files, missing = find_images(paths)
    for name in missing:
        console.print_warning(f"skipped: {name}: there is no such file")
    if not files:
        raise ValueError(f"no image files found in {', '.join(missing)}")
    return files[:most], len(files)


def _read(
    files: list[Path], reading: ReadOptions, names: list[str] | None, config: Any, lazy: bool
) -> Iterator[NamedImage]:
    import torch

    from ...data.reading.errors import large_images
    from ...data.reading.file_image import open_file
    from ...data.reading.whole import read_image
    from ...models.regions import smallest_look
    from ...pictures.looks import NamedImage

    names = names or [str(label) for label in range(config.num_classes)]
    with large_images():
        for path in files:
            try:
                size = None
                if lazy:  # one scale for all looks: that of the smallest
                    file = open_file(path, reading)
                    array = file.shrunk(smallest_look(config), config.glimpse_shape((0, 0)))
                    size = file.height, file.width
                else:
                    array = read_image(path, reading)
                pixels = torch.from_numpy(array.copy()).permute(2, 0, 1)
            except (ValueError, OSError) as error:
                console.print_warning(f"skipped: {path}: {error}")
                continue
            folder = path.parent.name
            label = names.index(folder) if folder in names else None
            yield NamedImage(str(path), pixels, label, size)


def _scenes(scenes: TranslatedMNIST, count: int) -> Iterator[NamedImage]:
    import numpy as np

    from ...pictures.looks import NamedImage

    for index in range(count):
        pixels = scenes.scenes(np.array([index]))[0]
        yield NamedImage(f"scene {index}", pixels, int(scenes.labels[index]))


def _draw(
    looks: list[Look],
    path: Path,
    names: list[str] | None,
    network: str,
    what: str,
    *,
    is_files: bool,
) -> Path:
    """Draw the images of the most common thumbnail size, wrong ones first."""
    import torch

    from ...pictures import draw_glimpses

    shapes = [look.thumbnail.shape for look in looks]
    shape = max(set(shapes), key=shapes.count)
    fitting = [look for look in looks if look.thumbnail.shape == shape]
    fitting.sort(key=lambda look: look.right is None or look.right[-1])
    shown = fitting[:DRAWN]

    def by_step(rows: list[tuple[float, ...]]) -> torch.Tensor:
        return torch.tensor(rows).transpose(0, 1)

    count = f"{len(looks)}" if len(shown) == len(looks) else f"{len(shown)} of {len(looks)}"
    labels = [look.label for look in shown]
    return draw_glimpses(
        torch.stack([look.thumbnail for look in shown]),
        torch.stack([look.regions for look in shown], dim=1),
        torch.stack([look.glimpses for look in shown], dim=1),
        by_step([look.predictions for look in shown]),
        None if None in labels else torch.tensor(labels),
        path,
        confidences=by_step([look.confidences for look in shown]),
        looks=shown[0].looks or None,
        class_names=names,
        image_names=[_short_name(look.name) for look in shown] if is_files else None,
        title=f"{network}: {count} {what}",
    )


def _draw_heat(looks: list[Look], path: Path, names: list[str] | None, title: str) -> Path:
    """Draw the first images, wrong ones first."""
    from ...pictures import draw_attention

    shown = sorted(looks, key=lambda look: look.right is None or look.right[-1])[:DRAWN]
    return draw_attention(shown, path, class_names=names, title=title)


def _short_name(name: str) -> str:
    """Folder and file name, which distinguish the files of a run."""
    return "/".join(Path(name).parts[-2:])
