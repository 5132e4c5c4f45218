"""Whatever is wrong with a request is said in a sentence, with the status that fits."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.inference_requests import PATH, binary, element, file_request, request

from mgnet_fast import Engine, create_model
from mgnet_fast.serving.limits import Limits


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no json", "does not follow the protocol: the body: Invalid JSON"),
        (b"", "does not follow the protocol: the body: Invalid JSON"),
        ([], "the body: Input should be an object"),
        ({"input": []}, "inputs: Field required; input: Extra inputs are not permitted"),
        ({"inputs": []}, "inputs: List should have at least 1 item"),
        (request(given={"shape": [1, -2, 2, 1]}), "inputs.0.shape.1: Input should be greater"),
        (request(given={"name": "pixel"}), r"wanted one of the inputs files BYTES \[-1\], pixels"),
        (request(id=3), "id: Input should be a valid string"),
        (request(given={"data": [0, 0, 0]}), r"of shape \[1, 2, 2, 1\] needs 4 numbers, got 3"),
        (request(given={"data": [0, 0, 0, 256]}), "must hold numbers from 0 to 255"),
        (request(given={"data": [0, 0, 0, 0.5]}), "must hold numbers of that kind"),
        (request(given={"data": [[0, 0], [0]]}), "lists of different lengths"),
        (request(given={"data": ["a", "b", "c", "d"]}), "must hold numbers of that kind"),
        (request(given={"data": None}), "must have either data or the parameter binary_data_size"),
        (request(given={"datatype": "INT7"}), "one of UINT8, INT64, FP32, BYTES, got 'INT7'"),
        (request(given={"datatype": "FP32"}), r"UINT8 \[-1, -1, -1, 1\].*got FP32"),
        (request(given={"shape": [4, 1]}), r"UINT8 \[-1, -1, -1, 1\] .*got UINT8 \[4, 1\]"),
        (request(given={"shape": [0, 2, 2, 1], "data": []}), "not empty"),
        (request(outputs=[{"name": "logit"}]), "no output 'logit', only label, class_name"),
        (
            request(outputs=[{"name": "label", "parameters": {"classification": 3}}]),
            "classification is not supported",
        ),
        (request(parameters={"timeout": 0}), "timeout must be microseconds, 1 or more, got 0"),
        (
            {"inputs": [request()["inputs"][0]] * 2},
            "wanted one of the inputs .*; got pixels, pixels",
        ),
    ],
)
def test_wrong_json(served, content: Any, sentence: str) -> None:
    status, answer = served.infer(content)
    assert status == 400
    assert list(answer) == ["error"]
    with pytest.raises(ValueError, match=sentence):
        raise ValueError(answer["error"])


@pytest.mark.parametrize(
    ("content", "data", "sentence"),
    [
        (binary(4), b"123", "announces 4 bytes of binary data, and the body has 3 left"),
        (binary(4), b"12345", "1 bytes of binary data belong to no input"),
        (binary(3), b"123", "needs 4 bytes, got 3"),
        (binary(-1), b"1234", "binary_data_size of 0 or more, got -1"),
        (binary("4"), b"1234", "binary_data_size of 0 or more, got '4'"),
        (file_request(4), b"\xff\xff\xff\xff", "is cut off"),
        (file_request(2), b"\x00\x00", "is cut off"),
        (file_request(8), element(b"") * 2, "needs 1 elements, got 2"),
        (file_request(4), element(b""), "element 0 of input 'files' is none of JPEG, PNG, WebP"),
        (file_request(12), element(b"%!PS-Ado"), "element 0 of input 'files' is none of JPEG"),
        (file_request(12), element(b"BMBMBMBM"), "element 0 of input 'files' cannot be read as an"),
        (
            binary(16, name="images", shape=[1, 1, 2, 2], datatype="FP32"),
            np.array([0, 1, 2, np.nan], "<f4").tobytes(),
            "'images' holds NaN or infinity",
        ),
    ],
)
def test_wrong_binary_data(served, content: Any, data: bytes, sentence: str) -> None:
    status, answer = served.infer(content, data)
    assert status == 400
    assert sentence in answer["error"]


def test_a_file_that_ends_too_early(served) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format="png")
    half = element(file.getvalue()[:2000])
    status, answer = served.infer(file_request(len(half)), half)
    assert status == 400
    assert "element 0 of input 'files' cannot be read as an image" in answer["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1000000"])
def test_a_wrong_header_length(served, length: str) -> None:
    text = json.dumps(request()).encode()
    headers = {"Inference-Header-Content-Length": length}
    status, _, answer = served.ask("POST", PATH, text, headers)
    assert status == 400
    assert (
        "Inference-Header-Content-Length must be a number of bytes" in json.loads(answer)["error"]
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/v2/models/other", 404, "there is no model 'other'"),
        ("POST", "/v2/models/other/infer", 404, "there is no model 'other'"),
        ("GET", "/v2/models/toy/versions/2", 404, "version '2', only 'toy' in version '1'"),
        ("GET", "/v3", 404, "Not Found: GET /v3"),
        ("GET", PATH, 405, "Method Not Allowed: GET"),
    ],
)
def test_wrong_addresses(served, method: str, path: str, status: int, sentence: str) -> None:
    got, _, answer = served.ask(method, path)
    assert got == status
    assert sentence in json.loads(answer)["error"]


def test_bodies_that_are_compressed(served) -> None:
    status, answer = served.infer(request(), **{"Content-Encoding": "gzip"})
    assert (status, "must not be compressed" in answer["error"]) == (415, True)


def test_large_tensors_have_to_be_binary(served) -> None:
    """Reading megabytes of JSON would keep everybody waiting."""
    status, answer = served.infer(b" " * ((4 << 20) + 1))
    assert (status, "send tensors as binary data" in answer["error"]) == (413, True)


def test_an_image_too_small_for_the_backbone(services) -> None:
    """The glimpses of this network are half of the image, whatever its size."""
    from mgnet_fast.serving.served_model import ServedModel
    from mgnet_fast.serving.service import service

    model = create_model("mgnet_toy", glimpse_size=None, down_factor=2.0).eval()
    named = ServedModel("toy", model)
    side = 2 * named.smallest_glimpse
    with services.running(service(named, Engine(model, slots=2, runner="eager")), Limits()) as own:
        for size, wanted in ((side - 1, 400), (side, 200), (1, 400)):
            status, answer = own.infer(request(given=pixels_of(size)))
            assert status == wanted, answer
            if wanted == 400:
                assert f"at least {side // 2} pixels, too many for" in answer["error"]


def pixels_of(side: int) -> dict[str, Any]:
    return {"shape": [1, side, side, 1], "data": [0] * side**2}
