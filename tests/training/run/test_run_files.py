"""What a run leaves on disk and on the screen: snapshot, log, progress."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mgnet_fast.training.run.log import RunLog, read_log
from mgnet_fast.training.run.progress import Progress, format_seconds
from mgnet_fast.training.run.snapshot import FILE_NAME, read_snapshot, write_snapshot


def test_snapshot_comes_back(tmp_path: Path) -> None:
    state = {"epochs_done": 3, "model": {"weight": torch.randn(4)}, "facts": {"dataset": "x"}}
    write_snapshot(tmp_path, state)
    read = read_snapshot(tmp_path)
    assert read["epochs_done"] == 3
    assert torch.equal(read["model"]["weight"], state["model"]["weight"])  # type: ignore[index]
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_snapshot_is_whole_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_snapshot(tmp_path, {"epochs_done": 1})

    def full_disk(state: object, file: io.BufferedWriter) -> None:
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_snapshot(tmp_path, {"epochs_done": 2})
    assert read_snapshot(tmp_path)["epochs_done"] == 1


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "other format", "list"])
def test_snapshot_refuses_what_is_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / FILE_NAME
    if damage != "missing":
        write_snapshot(tmp_path, {"model": torch.zeros(1000)})
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif damage == "text":
        path.write_text("not a snapshot")
    elif damage == "other format":
        torch.save({"format": 0}, path)
    elif damage == "list":
        torch.save([1], path)
    with pytest.raises(ValueError, match=r"training\.pt"):
        read_snapshot(tmp_path)


def test_log_drops_rows_of_epochs_that_are_done_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path, tensorboard=False)
    log.write({"kind": "run", "seed": 0})
    for epoch in (1, 2, 3):
        log.write({"kind": "epoch", "epoch": epoch})
    with log.path.open("a") as file:
        file.write('{"kind": "epo')  # a line cut by an interruption
    RunLog(tmp_path, epochs_done=2, tensorboard=False).write({"kind": "epoch", "epoch": 3, "x": 1})
    rows = read_log(log.path)
    assert [row.get("epoch") for row in rows] == [None, 1, 2, 3]
    assert rows[-1]["x"] == 1
    RunLog(tmp_path, tensorboard=False)
    assert read_log(log.path) == []


def test_log_without_tensorboard_installed(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "from pathlib import Path\n"
        "from mgnet_fast.training.run.log import RunLog\n"
        "log = RunLog(Path(sys.argv[1]))\n"
        "log.write({'epoch': 1, 'loss': 0.5}); log.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=environment)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"epoch": 1, "loss": 0.5}


def test_log_writes_tensorboard_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    log = RunLog(tmp_path)
    log.write({"kind": "epoch", "epoch": 1, "loss": 0.5, "accuracy": [0.1, 0.2]})
    log.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    for tag in (b"loss", b"accuracy/1", b"accuracy/2"):
        assert tag in content


def test_progress_writes_plain_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(100, done_steps=20, stream=stream)
    for _ in range(40):
        now[0] += 2.0
        progress.step(3, 10, 0.25)
    progress.epoch(3, 10, [0.5, 0.9876], 80.0)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "epoch 3/10  loss 0.2500  35 %  left 2:10"
    assert lines[-1] == "epoch 3/10  80 s  accuracy by glimpse 50.00 98.76 %  left 1:20"


def test_progress_draws_a_bar_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(2, stream=stream)
    progress.step(1, 1, 1.5)
    progress.epoch(1, 1, [0.75], 1.0)
    progress.close()
    assert "accuracy by glimpse 75.00 %" in stream.getvalue()
    assert "50 %" in stream.getvalue()


def test_progress_can_be_silent() -> None:
    stream = io.StringIO()
    progress = Progress(1, stream=stream, enabled=False)
    progress.step(1, 1, 1.0)
    progress.epoch(1, 1, [1.0], 1.0)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")]
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
