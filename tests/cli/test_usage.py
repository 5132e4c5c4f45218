"""Help, wrong usage, errors and exit codes of the command line as a whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mgnet_fast
from mgnet_fast.cli import app as app_module
from mgnet_fast.cli.commands import flops as flops_command

COMMANDS = (
    "demo", "train", "eval", "predict", "imagenet100", "attack", "budget", "export", "flops",
    "bench", "env",
)  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(command, name: str) -> None:
    result = command(name, "-h")
    assert result.code == 0
    assert f"Usage: mgnet-fast {name}" in result.out
    assert command(name, "--help").out == result.out


def test_help_lists_the_commands(command) -> None:
    result = command("--help")
    assert result.code == 0
    for name in COMMANDS:
        assert re.search(rf"^\W+{name}\s+\w", result.out, re.MULTILINE), name


def test_no_command_shows_help_and_is_wrong_usage(command) -> None:
    result = command()
    assert result.code == 2
    assert "Usage: mgnet-fast" in result.out
    assert result.err == ""


def test_version(command) -> None:
    result = command("--version")
    assert (result.code, result.out) == (0, f"mgnet-fast {mgnet_fast.__version__}\n")


@pytest.mark.parametrize(
    ("words", "wanted", "place"),
    [
        (["trian"], "'trian'. Did you mean 'train'?", "mgnet-fast -h"),
        (["eval", "--dta", "x"], "--data", "mgnet-fast eval -h"),
        (["eval", "--dataset", "noisy"], "noisy-translated-mnist", "mgnet-fast eval -h"),
        (["flops", "mgnet_resnet81"], "Did you mean mgnet_resnet18?", "mgnet-fast flops -h"),
        (["flops", "--convention", "table4"], "table3", "mgnet-fast flops -h"),
        (["flops", "--image-size", "0"], "--image-size", "mgnet-fast flops -h"),
        (["train"], "--data", "mgnet-fast train -h"),
        (["train", "--data", ".", "--model", "resnet18"], "mgnet_resnet18", "mgnet-fast train -h"),
        (["demo", "--images", "501"], "--images", "mgnet-fast demo -h"),
        (["demo", "--out", "a.gif"], ".png, .pdf or .svg, got 'a.gif'", "mgnet-fast demo -h"),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(
    command, words: list[str], wanted: str, place: str
) -> None:
    result = command(*words)
    assert result.code == 2
    assert result.out == ""
    first, second = result.err.splitlines()
    assert first.startswith("error: ")
    assert wanted in first
    assert second == f"see: {place}"


@pytest.mark.parametrize("words", [["eval", "absent.safetensors"], ["demo", "--checkpoint", "x"]])
def test_a_missing_file_is_named_and_code_1(command, words: list[str]) -> None:
    result = command(*words)
    assert result.code == 1
    assert result.err == f"error: checkpoint {words[-1]} does not exist\n"


def test_debug_shows_the_traceback_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mgnet_fast.cli import main

    for words in (["--debug", "eval", "absent"], ["eval", "absent", "--debug"]):
        with pytest.raises(FileNotFoundError, match="absent"):
            main(words)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("region must have 3 numbers"), "error: region must have 3 numbers"),
        (FileNotFoundError(2, "No such file", "a.png"), "error: a.png: No such file"),
        (KeyboardInterrupt(), "error: interrupted"),
        (RuntimeError("no luck"), "error: RuntimeError: no luck"),
    ],
)
def test_errors_of_commands_are_sentences(
    command, monkeypatch: pytest.MonkeyPatch, error: BaseException, line: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(flops_command, "count_model", fail)
    result = command("flops", "mgnet_toy")
    assert result.code == 1
    assert result.err.splitlines()[0] == line
    assert "Traceback" not in result.err


def test_help_and_wrong_usage_do_not_wait_for_torch(tmp_path: Path) -> None:
    """Away from the source tree, as a user's shell is, and through ``python -m``."""
    code = (
        "import sys, runpy\n"
        "sys.argv = ['mgnet_fast', 'flops', '--help']\n"
        "try: runpy.run_module('mgnet_fast', run_name='__main__')\n"
        "except SystemExit as stop: print('code', stop.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Usage: mgnet-fast flops" in done.stdout
    assert done.stdout.splitlines()[-1] == "code 0 False"


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m mgnet_fast flops --help | true",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["eval", "--json", "-T", "1"],
        ["attack", "--steps", "1", "--images", "8", "--json"],
        ["budget", "--images", "8", "--rounds", "1"],
        ["corrupt", "--corruption", "fog"],
        ["export", "--format", "onnx"],
    ],
    ids=lambda words: words[0],
)
def test_networks_are_named_by_one_option_and_as_they_used_to_be(
    command, tmp_path: Path, words: list[str]
) -> None:
    """A file that does not exist shows which one a command took, before it does anything."""
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    for named in (["--checkpoint", first], ["-c", first], [first]):
        result = command(*words, *named)
        assert result.code == 1
        assert f"{first} does not exist" in " ".join(result.err.split())
    twice = command(*words, "--checkpoint", first, second)
    assert twice.code == 2
    assert "give networks by --checkpoint only" in " ".join(twice.err.split())
    assert "--checkpoint" in command(words[0], "-h").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--data", "{tmp}/absent"), "--data must "),
        (("predict", "{tmp}/x.png", "--slots", "2", "--runner", "tensorrt"), "give its path as"),
        (("eval", "--data", "{tmp}/data_dir"), "{tmp}/data_dir"),
    ],
)
def test_messages_name_options_and_leave_paths_alone(
    command, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    result = command(*(word.format(tmp=tmp_path) for word in words))
    assert result.code == 1
    assert message.format(tmp=tmp_path) in " ".join(result.err.split())
    assert "must" not in message or "data_dir" not in result.err


def test_arguments_become_options_of_the_command() -> None:
    options = app_module._options_by_argument(["reproduce", "table4", "--data", "x"])
    assert options["data_dir"] == "--data"
    text = "num_glimpses must be 1 (max_unreadable), got '/a/num_glimpses' and num_glimpses=2"
    known = {"num_glimpses": "--num-glimpses", "max_unreadable": "--max-unreadable"}
    wanted = "--num-glimpses must be 1 (--max-unreadable), got '/a/num_glimpses' and num_glimpses=2"
    assert app_module._naming_options(text, known) == wanted
