"""``mgnet_fast.ray`` and ``predict --ray``; the cluster has two CPUs and is started once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mgnet_fast import Confidence, Engine
from mgnet_fast.cli import main
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.ray import Classifier

COUNT = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits")
    for number, pixels in enumerate(_scenes()):
        Image.fromarray(pixels).save(path / f"{number:02}.png")
    (path / "50.png").write_text("hello")
    return path


@pytest.fixture(scope="module")
def wanted() -> list[int]:
    engine = Engine(load_model(), exit=Confidence(0.9), runner="eager")
    return [each.label for each in engine.predict(pixels[:, :, None] for pixels in _scenes())]


def _scenes() -> np.ndarray:
    return np.ascontiguousarray(load_scenes(COUNT).scenes(np.arange(COUNT)).numpy()[:, 0])


@pytest.mark.parametrize("column", ["image", "bytes", "path"])
def test_batches_of_pixels_files_and_paths(
    folder: Path, wanted: list[int], column: str, restored_threads: None
) -> None:
    paths = sorted(folder.iterdir())
    batch: dict[str, Any] = {"path": np.array([str(path) for path in paths]), "n": np.arange(49)}
    if column == "bytes":
        batch["bytes"] = [path.read_bytes() for path in paths]
    if column == "image":
        batch = {"image": list(_scenes()), "n": np.arange(COUNT)}  # [H, W]
    results = Classifier(runner="eager")(batch)
    assert results["label"].tolist() == wanted + [-1] * (column != "image")
    assert [len(regions) for regions in results["regions"]] == results["glimpses"].tolist()
    assert set(results) >= set(batch) - {"image", "bytes"}
    assert not results["error"][:COUNT].any()
    if column != "image":
        assert "cannot identify image file" in results["error"][COUNT]
        assert not results["finite"][COUNT]
        assert np.isnan(results["probability"][COUNT])


def test_batches_without_images(restored_threads: None) -> None:
    with pytest.raises(ValueError, match="must have the column image, bytes or path, got n"):
        Classifier(runner="eager")({"n": np.arange(3)})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="needs Ray: mgnet-fast[ray]")
    pytest.importorskip("ray.data", reason="needs Ray Data: mgnet-fast[ray]")
    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=80_000_000,
        include_dashboard=False,
        _system_config={"worker_niceness": 0},  # 15 else, which on a busy machine takes minutes
    )
    yield ray
    ray.shutdown()


def test_map_batches(cluster: Any, folder: Path, wanted: list[int]) -> None:
    paths = [{"path": str(path)} for path in sorted(folder.iterdir())]
    data = cluster.data.from_items(paths, override_num_blocks=4)
    results = data.map_batches(
        Classifier, fn_constructor_kwargs={"runner": "eager"}, concurrency=2, batch_size=10
    ).take_all()
    results.sort(key=lambda row: row["path"])
    assert [row["label"] for row in results] == [*wanted, -1]


def test_a_killed_worker_costs_nothing_but_time(
    cluster: Any, folder: Path, wanted: list[int], tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: mgnet-fast[ray]")
    for copy in range(30):
        (tmp_path / f"copy{copy:02}").symlink_to(folder)
    names = [str(path) for copy in sorted(tmp_path.glob("copy*")) for path in copy.iterdir()]
    (tmp_path / "list.txt").write_text("\n".join(sorted(names)))
    out = tmp_path / "out"
    killed: list[int] = []

    def kill() -> None:
        end = time.monotonic() + 300
        while time.monotonic() < end and not list(out.glob("part-*")):
            time.sleep(0.01)
        killed.extend(_workers()[:1])
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    words = ("predict", "--files-from", tmp_path / "list.txt", "--out", f"{out}/", "--ray")
    words = (*words, "--part-size", 70, "--runner", "eager", "--workers", 2)
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    killer.join()
    assert stop.value.code == 1  # thirty files cannot be read
    assert killed
    rows = [
        row for path in sorted(out.glob("part-*")) for row in parquet.read_table(path).to_pylist()
    ]
    assert [row["path"] for row in rows] == sorted(names)
    assert [row["label"] for row in rows] == [*wanted, None] * 30
    assert not list(out.glob(".*.unfinished"))


def _workers() -> list[int]:
    """Processes of this session's cluster that hold an engine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_worker = (process / "cmdline").read_bytes().startswith(b"ray::MapWorker")
        except OSError:  # it has ended
            continue
        if is_worker and os.getpid() in _ancestors(int(process.name)):
            found.append(int(process.name))
    return found


def _ancestors(process: int) -> list[int]:
    found = []
    while process > 1:
        status = Path(f"/proc/{process}/stat").read_text()
        process = int(status.rpartition(")")[2].split()[1])
        found.append(process)
    return found
