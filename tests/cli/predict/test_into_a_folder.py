"""``mgnet-fast predict`` into a folder: parts, resuming, shards, and what can go wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from support.forking import exit_code
from support.tar_shards import write_shard

from mgnet_fast.bulk.expected import Expected
from mgnet_fast.bulk.folder import Part, claimed
from mgnet_fast.bulk.units import Item, Shard, Unit
from mgnet_fast.cli import main, scoring_report
from mgnet_fast.cli.options.bulk import with_address
from mgnet_fast.demo import load_scenes

COUNT = 60
EAGER = ("--runner", "eager", "--threads", 1)


class Inputs(NamedTuple):
    """The same pictures as files of a folder and in two tar shards."""

    folder: Path
    shards: list[Path]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    root = tmp_path_factory.mktemp("inputs")
    (root / "images").mkdir()
    members: list[dict[str, bytes]] = [{}, {}]
    for number, scene in enumerate(load_scenes(COUNT).scenes(np.arange(COUNT)).numpy()[:, 0]):
        file = io.BytesIO()
        Image.fromarray(scene).save(file, "PNG")
        (root / "images" / f"{number:02}.png").write_bytes(file.getvalue())
        inside = members[number // (COUNT // 2)]
        inside |= {f"{number:02}.png": file.getvalue(), f"{number:02}.cls": b"3"}
    shards = [write_shard(root / f"s{n}.tar", files) for n, files in enumerate(members)]
    return Inputs(root / "images", shards)


@pytest.fixture(scope="module")
def alone(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of a run without a folder."""
    out = tmp_path_factory.mktemp("alone") / "rows.jsonl"
    with pytest.raises(SystemExit):
        main([str(word) for word in ("predict", inputs.folder, "--out", out, *EAGER)])
    return _lines(out)


def _lines(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def _rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of all parts, which must be whole."""
    parts = sorted(folder.glob("part-*"))
    assert not list(folder.glob(".*.unfinished"))
    if parts[0].suffix == ".jsonl":
        return _lines(*parts)
    if parts[0].suffix == ".csv":
        return [row for part in parts for row in csv.DictReader(io.StringIO(part.read_text()))]
    parquet = pytest.importorskip("pyarrow.parquet")
    return [row for part in parts for row in parquet.read_table(part).to_pylist()]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_parts_have_the_rows_of_one_file(
    command, inputs: Inputs, alone: list, tmp_path: Path, form: str
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: mgnet-fast[bulk]")
    out = tmp_path / ("out.parquet" if form == "parquet" else "out/")
    words = ("predict", inputs.folder, "--out", f"{out}/", "--part-size", 25, *EAGER)
    words = words if form == "parquet" else (*words, "--format", form)
    result = command(*words)
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("60 images, ")
    rows = _rows(out)
    assert [row["path"] for row in rows] == [row["path"] for row in alone]
    assert [int(row["label"]) for row in rows] == [row["label"] for row in alone]
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities == pytest.approx([row["probability"] for row in alone], abs=1e-6)
    assert not any(row["error"] for row in rows)
    if form != "csv":
        assert np.allclose(rows[7]["regions"], alone[7]["regions"], atol=1e-6)
    assert len(list(out.glob("part-*-end.*"))) == 3
    before = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    again = command(*words)
    assert (again.code, again.err) == (0, "nothing to do: all 60 images are done\n")
    assert {path: path.stat().st_mtime_ns for path in out.glob("part-*")} == before


def test_shards_lists_and_urls_give_the_answers_of_files(
    command, inputs: Inputs, alone: list, tmp_path: Path
) -> None:
    names = [f"file://{path}" for path in sorted(inputs.folder.iterdir())[:30]]
    (tmp_path / "list.txt").write_text("\n".join([*names, str(inputs.shards[1])]))
    sources = (("--files-from", tmp_path / "list.txt"), inputs.shards)
    for words in sources:
        result = command("predict", *words, *EAGER)
        assert result.code == 0
        rows = [json.loads(line) for line in result.out.splitlines()]
        assert [row["regions"] for row in rows] == [row["regions"] for row in alone]
    assert rows[0]["path"] == f"tar://00.png::{inputs.shards[0]}"


def _forked(words: tuple[object, ...], prepare: Callable[[], object] = lambda: None) -> int:
    """Start a command in a copy of this process, which has everything loaded already."""
    process = os.fork()
    if process == 0:
        code = 99
        try:
            torch.set_num_threads(1)  # a fork has no copies of OpenMP's threads, and waits for them
            prepare()
            main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            os._exit(code)
    return process


def _ended(process: int) -> int:
    return exit_code(process, seconds=120.0)


@pytest.fixture(scope="module")
def long_list(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files, shards and damaged files: 1290 images under names of their own."""
    root = tmp_path_factory.mktemp("list")
    names = []
    for number in range(20):
        (root / f"copy{number}").symlink_to(inputs.folder)
        names += [str(root / f"copy{number}" / path.name) for path in inputs.folder.iterdir()]
        names += [str(root / f"absent{number}.png")]
    names[700:700] = map(str, inputs.shards)
    (root / "list.txt").write_text("\n".join(names))
    return root / "list.txt"


@pytest.mark.skipif(os.name != "posix", reason="processes are killed as on Unix")
def test_nothing_is_lost_or_twice_after_kills_at_random(
    command, long_list: Path, tmp_path: Path
) -> None:
    draw = np.random.Generator(np.random.Philox(key=21))
    words = ("predict", "--files-from", long_list, "--format", "jsonl", *EAGER, "--part-size", 40)
    killed = (*words, "--out", f"{tmp_path / 'killed'}/")
    (tmp_path / "killed").mkdir()
    begun = tmp_path / "killed" / f"._manifest-1-of-1.json.{32 * 'a'}.unfinished"
    begun.write_text("{")  # of a run that was killed before its first part
    for more in (0, 3, 11):
        before = len(list((tmp_path / "killed").glob("part-*")))
        process = _forked(killed)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if len(list((tmp_path / "killed").glob("part-*"))) >= before + more:
                break
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        assert _ended(process) == -signal.SIGKILL
    result = command(*killed)
    assert result.code == 1
    assert result.err.splitlines()[-1].endswith("before, 20 skipped")
    quiet = command(*words, "--out", f"{tmp_path / 'quiet'}/")
    assert quiet.code == 1
    rows = _rows(tmp_path / "killed")
    assert rows == _rows(tmp_path / "quiet")
    assert len(rows) == len({row["path"] for row in rows}) == 1280
    assert [row["error"] for row in rows if row["error"]] == ["No such file or directory"] * 20


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
def test_a_terminated_run_keeps_what_is_done(long_list: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("predict", "--files-from", long_list, "--format", "jsonl", *EAGER)
    process = _forked((*words, "--out", f"{out}/", "--part-size", 500))
    end = time.monotonic() + 60
    while time.monotonic() < end and not list(out.glob("part-*")):
        time.sleep(0.001)
    time.sleep(0.05)
    os.kill(process, signal.SIGTERM)
    assert _ended(process) == 1
    parts = [Part.parse(path.name) for path in sorted(out.glob("part-*"))]
    assert len(_rows(out)) == sum(part.stop - part.start for part in parts if part) < 1290


def test_shares_of_the_work_meet_in_one_folder(
    command, inputs: Inputs, alone: list, tmp_path: Path
) -> None:
    words = ("predict", inputs.folder, *inputs.shards, "--format", "jsonl", *EAGER)
    words = (*words, "--part-size", 20, "--out", f"{tmp_path}/")
    for share, count in (("2/2", 50), ("1/2", 70)):
        result = command(*words, "--shard", share)
        assert result.err.startswith(f"{count} images, ")
    rows = _rows(tmp_path)
    assert [row["regions"] for row in rows] == 2 * [row["regions"] for row in alone]
    other = command(*words, "--shard", "1/3")
    assert other.code == 1
    assert "holds results of another run: shard was I/2, is I/3" in other.err
    few = ("predict", inputs.shards[0], "--format", "jsonl", *EAGER)
    result = command(*few, "--out", f"{tmp_path / 'few'}/", "--shard", "2/2")
    assert (result.code, result.err) == (0, "nothing to do: this shard has no images\n")


def test_another_run_is_told_what_differs(command, inputs: Inputs, tmp_path: Path) -> None:
    words = ("predict", inputs.shards[0], "--format", "jsonl", *EAGER)
    assert command(*words, "--out", f"{tmp_path / 'out'}/").code == 0
    changed = ("--exit", "never", "--part-size", 7, "--out", f"{tmp_path / 'out'}/")
    result = command(*words, inputs.folder, *changed)
    assert result.code == 1
    for said in (
        "exit was Confidence(threshold=0.9",
        "--part-size was 5000, is 7",
        "inputs were 1 files, are 61",
    ):
        assert said in result.err
    with claimed(tmp_path / "out", Shard()):
        result = command(*words, "--out", tmp_path / "out")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"error: another run is writing to {tmp_path / 'out'}: wait")
    (tmp_path / "notes.txt").touch()
    result = command(*words, "--out", f"{tmp_path}/")
    assert "--out must be a new folder, or one that predict has begun" in result.err
    (tmp_path / "out" / "_manifest-1-of-1.json").write_text("{")
    assert "must be a manifest of predict" in command(*words, "--out", tmp_path / "out").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shard", "0/2"), "--shard must be I/N with I from 1 to N, such as 1/4, got 0/2"),
        (("--shard", "half"), "--shard must be I/N with I from 1 to N, such as 1/4, got half"),
        (("--format", "parquet"), "--format must be jsonl or csv without --out DIR, got parquet"),
        (("--out", "s3://bucket/out"), "--out must be a local path, got s3://bucket/out"),
        (("--out", "{}", "--format", "parquet"), "--out must be a folder for the parts, got the"),
        (("--workers", "2"), "--workers must go with --ray, got 2 without it"),
        (("--ray",), "--out must be a folder for the parts with --ray"),
        (("--files-from", "absent.txt"), "absent.txt: No such file or directory"),
    ],
)
def test_what_does_not_fit_is_said_at_once(
    command, inputs: Inputs, words: tuple[str, ...], said: str
) -> None:
    result = command("predict", inputs.folder, *(word.format(inputs.shards[0]) for word in words))
    assert (result.code, result.out) == (1, "")
    assert said in result.err


def test_unreadable_files_have_rows_with_the_reason(
    command, inputs: Inputs, tmp_path: Path
) -> None:
    whole = (inputs.folder / "00.png").read_bytes()
    write_shard(tmp_path / "in.tar", {"a.png": whole, "b.png": whole[:99], "c.png": whole})
    cut = write_shard(tmp_path / "cut.tar", {"a.png": whole, "b.png": whole})
    padded = -(-len(whole) // 512) * 512
    cut.write_bytes(cut.read_bytes()[: 512 + padded + 512 + 10])  # within the second image
    words = ("predict", tmp_path / "in.tar", tmp_path / "cut.tar", "--format", "jsonl", *EAGER)
    result = command(*words, "--out", f"{tmp_path / 'out'}/")
    assert result.code == 1
    assert f"skipped: tar://b.png::{tmp_path / 'in.tar'}: " in result.err
    assert result.err.splitlines()[-1].endswith(", 2 skipped")
    rows = _rows(tmp_path / "out")
    assert [bool(row["error"]) for row in rows] == [False, True, False, False, True]
    assert rows[1] | {"path": "", "error": ""} == dict.fromkeys(rows[1]) | {"path": "", "error": ""}
    assert rows[4]["path"] == str(tmp_path / "cut.tar")
    again = command(*words, "--out", tmp_path / "out")
    assert again.code == 1
    assert again.err.splitlines()[-1] == "2 files could not be read before"


@pytest.mark.skipif(os.name != "posix", reason="limits are set as on Unix")
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_full_disk_keeps_the_finished_parts(
    command, inputs: Inputs, alone: list, tmp_path: Path, form: str, capfd
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: mgnet-fast[bulk]")
    out = tmp_path / "out"
    words = ("predict", inputs.folder, "--out", f"{out}/", "--format", form, *EAGER)
    words = (*words, "--part-size", 59)

    def limited() -> None:  # the first part does not fit, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))

    capfd.readouterr()
    assert _ended(_forked(words, limited)) == 1
    said = capfd.readouterr().err
    assert f"error: {out / 'part-00000-0000000-0000059-end'}.{form}: File too large" in said
    assert "repeat the command" in said
    assert not list(out.glob(".*.unfinished"))
    assert command(*words).code == 0
    assert [row["label"] for row in _rows(out)] == [row["label"] for row in alone]


def test_progress_in_lines_tells_rate_and_time_left(
    command, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_report, "EVERY", 0.0)
    said = command("predict", inputs.folder, *EAGER).err.splitlines()
    assert len(said) == COUNT + 1
    assert said[29].startswith("30 of 60 images, ")
    assert " images/s, " in said[29]
    assert said[29].endswith(" s left")
    quiet = command("predict", inputs.folder, *EAGER, "--progress", "none").err
    assert len(quiet.splitlines()) == 1


def test_images_of_shards_are_estimated_from_their_bytes() -> None:
    units = [Unit(0, ("a.png",) * 10, 10), Unit(1, ("s.tar",), None, 1000)]
    units += [Unit(2, ("t.tar",), None, 3000)]
    expected = Expected(units)
    assert (expected.is_exact, expected.total()) == (False, None)
    expected.see(Item(1, 19, "x", None, False, 500))
    assert expected.total() == 10 + 160
    expected.see(Item(1, 49, "x", None, True, 990))
    assert expected.total() == 10 + 50 + 150
    expected.finish(2, 100)
    assert (expected.is_exact, expected.total()) == (True, 160)
    finished = {0: [], 1: [Part(1, 0, 50, True, "jsonl")], 2: [Part(2, 0, 20, False, "jsonl")]}
    resumed = Expected(units, finished)
    assert (resumed.before, resumed.total()) == (70, 10 + 50 + 150)


def test_parquet_without_its_library(command, inputs: Inputs, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = command("predict", inputs.folder, "--out", tmp_path / "out.parquet")
    assert result.code == 1
    assert result.err == "error: Parquet needs pyarrow: pip install 'mgnet-fast[bulk]'\n"
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--ray", "photos/"], ["--ray=running or new", "photos/"]),
        (["p", "--ray"], ["p", "--ray=running or new"]),
        (["--ray", "local", "p"], ["--ray", "local", "p"]),
        (["--ray", "head:6379", "p"], ["--ray", "head:6379", "p"]),
        (["--ray", "ray://head:10001"], ["--ray", "ray://head:10001"]),
    ],
)
def test_ray_takes_an_address_if_one_follows(words: list[str], wanted: list[str]) -> None:
    assert with_address(words) == wanted
