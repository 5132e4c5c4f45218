"""``mgnet-fast bench``: what it measures, not how fast that is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mgnet_fast import create_model, demo, engine_peers, engine_speed
from mgnet_fast.cli.options.scenes import fixed_scenes
from mgnet_fast.demo import Comparison, load_model, load_scenes
from mgnet_fast.engine.convolutions import native_convolution
from mgnet_fast.engine_peers import Peer, compare_peers
from mgnet_fast.engine_speed import THRESHOLDS, compare_engine, measure_exits
from mgnet_fast.evaluation import evaluate
from mgnet_fast.models.files.checkpoints import load_checkpoint, save_checkpoint


def test_engine_and_published_algorithm_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every case, before anything is timed."""
    asked = []

    def only_compare(name, published, package, seconds, agreement) -> Comparison:
        asked.append((name, seconds))
        with torch.inference_mode():
            wanted, got = published(), package()
        off = float((wanted - got).abs().max() / wanted.abs().max())
        return Comparison(name, off, agreement=agreement)

    monkeypatch.setattr(engine_speed, "compare", only_compare)
    rows = list(compare_engine(load_model(), load_scenes(20), 8, 4.0))
    assert all(row.agrees for row in rows)
    assert asked == [
        ("toy, 1 slot", 1.0),
        ("toy, 8 slots", 1.0),
        ("ResNet-18, 1 slot", 1.0),
        ("ResNet-18, 16 slots", 1.0),
    ]


def test_exits_are_measured_against_never() -> None:
    rows = measure_exits(load_model(), load_scenes(40), 8, 0.0)
    assert [row.threshold for row in rows] == [None, *THRESHOLDS]
    glimpses = [row.mean_glimpses for row in rows[1:]]
    assert glimpses == sorted(glimpses)
    assert rows[0].mean_glimpses == 3
    assert rows[0].share_of_ideal == 1
    assert all(0 < row.accuracy <= 1 and row.images_per_second > 0 for row in rows)


def test_peers_are_compared_before_they_are_timed() -> None:
    """Every form in every runner, and its ratios to the best rival."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        glimpses, large = (create_model(name).eval() for name in ("mgnet_toy", "ffnet_toy"))
        images = torch.randn(2, 1, 112, 112)
    found = compare_peers(glimpses, large, images, 0.0, runners=("packed", "cudagraph"))
    *timed, refused = found
    assert refused.runner == "cudagraph"
    assert refused.refusal is not None
    wanted = [
        (what, runner)
        for runner in (engine_peers.EAGER, "packed")
        for what in ("MGNet, T = 3", "FF-Net", "one step", "backbone alone")
    ]
    if native_convolution.refusal() is None:
        wanted += [(what, engine_peers.HALF_WEIGHTS) for what in ("MGNet, T = 3", "one step")]
    assert sorted((peer.what, peer.runner) for peer in timed) == sorted(wanted)
    for peer in timed:
        assert peer.difference <= peer.agreement
        assert peer.rounds >= engine_peers.LEAST_ROUNDS
        assert peer.seconds["p20"] <= peer.seconds["p50"] <= peer.seconds["p99"]
        assert set(peer.against) <= {"best FF-Net", "eager"}
    best = min((peer for peer in timed if peer.what == "FF-Net"), key=lambda p: p.seconds["p50"])
    assert best.against["best FF-Net"] == dict.fromkeys(best.seconds, 1.0)


def test_a_peer_with_other_results_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, large = (create_model(name).eval() for name in ("mgnet_toy", "ffnet_toy"))
    monkeypatch.setitem(engine_speed.AGREEMENTS, "fp32", -1.0)
    found = compare_peers(model, large, torch.randn(1, 1, 112, 112), 0.0, runners=())
    assert all(peer.seconds == {} and peer.rounds == 0 for peer in found)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons are made up; the streams with exit rules run."""

    def made_up(*_: object) -> Iterator[Comparison]:
        yield Comparison("toy, 8 slots", 1e-5, 2.0, 1.0, 2.0, 1.9, 2.1, 5)

    def peers(*_: object, compiled: bool) -> Iterator[tuple[str, list[Peer]]]:
        seconds = {"p50": 0.25, "p90": 0.5, "p99": 0.75}
        ratios = {"best FF-Net": {"p50": 0.8}, "eager": {"p50": 0.4}}
        timed = Peer("MGNet, T = 4", "packed", 1e-6, 1e-3, seconds, ratios, 5)
        wrong = Peer("FF-Net", "packed", 0.5, 1e-3)
        yield "ResNet-18, 1 image", [timed, wrong, Peer("", "openvino", refusal="not installed")]

    monkeypatch.setattr(engine_speed, "compare_engine", made_up)
    monkeypatch.setattr(engine_peers, "compare_with_runtimes", peers)


def test_tables(command, quick: None) -> None:
    result = command("bench", "engine", "--images", 20, "--slots", 8, "--budget", 0)
    assert result.code == 0
    assert "2.0x" in result.out
    assert "early exit, toy network, 8 slots" in result.out
    assert "never" in result.out
    lines = [line.split() for line in result.out.splitlines()]
    timed = "MGNet, T = 4 packed 250 ms 500 ms 750 ms 0.80 0.40"
    assert timed.split() in lines
    assert ["FF-Net", "packed", "off", "by", "5e-01"] in lines
    assert ["-", "openvino", "not", "installed"] in lines


def test_json(command, quick: None) -> None:
    result = command("bench", "engine", "--images", 20, "--slots", 8, "--budget", 0, "--json")
    found = json.loads(result.out)
    assert found["cases"][0]["ratio"] == 2.0
    assert len(found["exits"]) == 1 + len(THRESHOLDS)
    assert (found["precision"], found["deviation"]) == ("fp32", None)
    assert found["peers"]["ResNet-18, 1 image"][0]["seconds"]["p99"] == 0.75


def test_lower_precision_comes_with_its_deviation(command, quick: None) -> None:
    words = ("bench", "engine", "--images", 20, "--slots", 8, "--budget", 0, "--precision", "fp16")
    result = command(*words)
    assert result.code == 0
    assert "toy network in fp16 against float32 over 20 images, " in result.out
    found = json.loads(command(*words, "--json").out)
    assert (found["precision"], found["deviation"]["images"]) == ("fp16", 20)


def test_fp16_agrees_well_enough_to_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pairs(*_: object) -> tuple[np.ndarray, np.ndarray]:
        return np.array([2.0]), np.array([1.0])

    monkeypatch.setattr(demo, "_measure_pairs", no_pairs)
    for row in compare_engine(load_model(), load_scenes(20), 8, 0.0, "fp16"):
        assert demo.AGREEMENT < row.difference <= row.agreement
        assert row.ratio == 2.0


def test_disagreement_is_an_error(command, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Comparison("toy, 8 slots", 1.0)
    monkeypatch.setattr(engine_speed, "compare_engine", lambda *_: iter([wrong]))
    monkeypatch.setattr(engine_peers, "compare_with_runtimes", lambda *_, **__: iter([]))
    result = command("bench", "engine", "--images", 5, "--slots", 2, "--budget", 0)
    assert result.code == 1
    assert "they do not in: toy, 8 slots" in result.err


def test_no_subcommand_shows_help(command) -> None:
    result = command("bench")
    assert result.code == 2
    assert "Usage: mgnet-fast bench" in result.out


def test_networks_of_several_families_on_the_same_scenes(command, tmp_path: Path) -> None:
    files = []
    for name, options in (
        ("mgnet_toy", {"glimpse_size": 16}),
        ("ltpa_vgg_small", {"widths": (2, 2, 3, 3, 4, 4)}),
    ):
        torch.manual_seed(0)
        files.append(tmp_path / f"{name}.safetensors")
        save_checkpoint(create_model(name, **options), files[-1])
    chosen = [word for file in files for word in ("--checkpoint", file)]
    words = ("bench", "networks", *chosen, "--dataset", "cluttered-mnist-32", "--budget", 0)
    result = command(*words)
    assert result.code == 0, result.err
    assert result.out.startswith("500 scenes of cluttered-mnist-32, 1 thread")
    glimpses, attends = json.loads(command(*words, "--json").out)
    assert (glimpses["name"], glimpses["count"]) == ("mgnet_toy", 500)
    assert set(attends["milliseconds"]) == {"1", "32"}
    assert attends["peak_bytes"] > 32 * 3 * 32 * 32 * 4  # at least the largest map of 32 scenes
    share = evaluate(load_checkpoint(files[1]), fixed_scenes(None, "cluttered-mnist-32", None))
    assert attends["correct"] == share.correct[-1]


def test_networks_that_do_not_fit_are_all_named(command, tmp_path: Path) -> None:
    for name, options in (("colour", {"in_chans": 3}), ("few", {"num_classes": 7})):
        model = create_model("mgnet_toy", **options)
        save_checkpoint(model, tmp_path / f"{name}.safetensors")
    chosen = [word for file in sorted(tmp_path.iterdir()) for word in ("-c", file)]
    result = command("bench", "networks", *chosen)
    assert result.code == 1
    assert "colour: model must have in_chans = 1 for these scenes, got 3; few: " in result.err
