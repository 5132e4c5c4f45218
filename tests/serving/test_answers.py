"""Requests in every form get the engine's own answers."""

from __future__ import annotations

import io
import json
import threading

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from mgnet_fast import Engine, Never, Prediction, create_model, open_image
from mgnet_fast.serving.limits import Limits

client = pytest.importorskip(
    "tritonclient.http", reason="the client of these tests: pip install 'tritonclient[http]'"
)
PATH = "/v2/models/toy/infer"


@pytest.fixture(scope="module")
def triton(served):
    with client.InferenceServerClient(served.address) as connected:
        yield connected


def encoded(scene: Tensor, form: str = "png") -> bytes:
    file = io.BytesIO()
    Image.fromarray(scene[0].numpy()).save(file, format=form, quality=95)
    return file.getvalue()


def pixels(scenes: Tensor, *, binary: bool = True):
    array = np.ascontiguousarray(scenes.permute(0, 2, 3, 1).numpy())
    given = client.InferInput("pixels", list(array.shape), "UINT8")
    return given.set_data_from_numpy(array, binary_data=binary)


def check(result, wanted: list[Prediction]) -> None:
    """Bit for bit; rows with fewer glimpses than others end in zeros."""
    assert result.as_numpy("label").tolist() == [each.label for each in wanted]
    assert result.as_numpy("glimpses").tolist() == [each.glimpses for each in wanted]
    names = [name.decode() for name in result.as_numpy("class_name")]
    assert names == [f"digit {each.label}" for each in wanted]
    for n, each in enumerate(wanted):
        count = each.glimpses
        assert np.array_equal(result.as_numpy("logits")[n], each.logits.numpy())
        sure = float(each.logits.softmax(0).max())
        assert result.as_numpy("confidence")[n] == pytest.approx(sure, abs=1e-6)
        regions = result.as_numpy("regions")[n]
        assert np.array_equal(regions[:count], each.regions.numpy())
        assert not regions[count:].any()
        of = result.as_numpy("glimpse_of_region")[n].tolist()
        assert of[:count] == list(range(1, count + 1))
        after = result.as_numpy("logits_after_each")[n]
        assert np.array_equal(after[count - 1], each.logits.numpy())


def test_the_client_finds_what_the_protocol_promises(triton) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("toy")
    assert triton.is_model_ready("toy", "1")
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    described = triton.get_model_metadata("toy", "1")
    assert [each["name"] for each in described["inputs"]] == ["files", "pixels", "images"]
    assert described["outputs"][1] == {"name": "class_name", "datatype": "BYTES", "shape": [-1]}


@pytest.mark.parametrize("binary", [True, False])
def test_pixels(triton, scenes: Tensor, alone: list[Prediction], binary: bool) -> None:
    check(triton.infer("toy", [pixels(scenes, binary=binary)], model_version="1"), alone)


def test_files(triton, scenes: Tensor, alone: list[Prediction]) -> None:
    files = np.array([encoded(each) for each in scenes], dtype=object)
    given = client.InferInput("files", [len(files)], "BYTES").set_data_from_numpy(files)
    check(triton.infer("toy", [given]), alone)


def test_files_decoded_as_they_are_looked_at(services, scenes: Tensor) -> None:
    """The way of networks trained with antialiasing; a file that breaks off is found, too."""
    model = create_model("mgnet_toy", antialias=True).eval()
    engine = Engine(model, slots=2, runner="packed", exit=Never())
    files = [encoded(each, form) for each, form in zip(scenes, ("png", "jpeg"), strict=False)]
    expected = engine.predict([open_image(each, 1) for each in files])
    from mgnet_fast.serving.served_model import ServedModel
    from mgnet_fast.serving.service import service

    app = service(ServedModel("toy", model, lazy=True), engine)
    raw = {"Inference-Header-Content-Length": "0"}
    with services.running(app, Limits()) as running:
        for file, wanted in zip(files, expected, strict=True):
            status, _, answer = running.ask("POST", PATH, file, raw)
            outputs = {each["name"]: each["data"] for each in json.loads(answer)["outputs"]}
            assert status == 200
            assert outputs["logits"] == wanted.logits.tolist()
            status, _, answer = running.ask("POST", PATH, file[: len(file) // 2], raw)
            assert status == 400
            assert "element 0 of input 'files'" in json.loads(answer)["error"]


def test_normalised_images(triton, engine: Engine, scenes: Tensor) -> None:
    ready = scenes[:3] / 255
    given = client.InferInput("images", list(ready.shape), "FP32")
    given.set_data_from_numpy(ready.numpy())
    check(triton.infer("toy", [given]), engine.predict(ready))


def test_chosen_outputs_as_json_with_the_id(triton, scenes: Tensor, alone) -> None:
    wanted = [client.InferRequestedOutput("label", binary_data=False)]
    result = triton.infer("toy", [pixels(scenes[:2])], outputs=wanted, request_id="a 7")
    described = {"name": "label", "datatype": "INT64", "shape": [2]}
    assert result.get_response() == {
        "model_name": "toy",
        "model_version": "1",
        "id": "a 7",
        "outputs": [described | {"data": [each.label for each in alone[:2]]}],
    }


def test_a_file_alone_as_the_body(served, scenes: Tensor, alone: list[Prediction]) -> None:
    """``curl --data-binary @photo.jpg -H 'Inference-Header-Content-Length: 0'``"""
    raw = {"Inference-Header-Content-Length": "0"}
    status, _, answer = served.ask("POST", PATH, encoded(scenes[0]), raw)
    outputs = {each["name"]: each["data"] for each in json.loads(answer)["outputs"]}
    assert status == 200
    assert outputs["label"] == [alone[0].label]
    assert outputs["class_name"] == [f"digit {alone[0].label}"]
    assert served.ask("POST", PATH, encoded(scenes[0], "jpeg"), raw)[0] == 200


def test_requests_at_the_same_time_get_their_own_answers(
    served, scenes: Tensor, alone: list[Prediction]
) -> None:
    """More than there are slots, of different sizes and forms."""
    wrong: list[str] = []

    def ask(number: int) -> None:
        with client.InferenceServerClient(served.address) as own:
            for turn in range(3):
                chosen = [(number + turn + k) % len(scenes) for k in range(1 + number % 3)]
                result = own.infer("toy", [pixels(scenes[chosen])])
                try:
                    check(result, [alone[k] for k in chosen])
                except AssertionError as error:
                    wrong.append(f"{chosen}: {error}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_metrics_count_glimpses_slots_and_waiting(served, triton, scenes: Tensor, alone) -> None:
    def numbers() -> dict[str, float]:
        lines = served.ask("GET", "/metrics")[2].decode().splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")
        }

    before = numbers()
    triton.infer("toy", [pixels(scenes)])
    after = numbers()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    glimpses = sum(each.glimpses for each in alone)
    assert grown['mgnet_requests_total{status="200"}'] == 1
    assert grown["mgnet_glimpses_per_image_count"] == len(alone)
    assert grown["mgnet_glimpses_per_image_sum"] == glimpses
    assert grown["mgnet_step_images_total"] == glimpses
    assert grown["mgnet_waiting_seconds_count"] == len(alone)
    assert grown["mgnet_steps_total"] >= glimpses / 4
    assert after["mgnet_slots"] == 4
    assert after["mgnet_slots_in_use"] == after["mgnet_images_accepted"] == 0
    assert after["process_resident_memory_bytes"] > 0


def test_the_page_needs_nothing_from_elsewhere(served) -> None:
    status, headers, page = served.ask("GET", "/")
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert b'{"name": "toy", "classes": ["digit 0"' in page
    for name in ("style.css", "looks.js"):
        assert f'"{name}"'.encode() in page
        status, _, content = served.ask("GET", f"/{name}")
        assert status == 200
        assert b"http" not in content
