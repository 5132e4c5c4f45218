"""Queue, size and time: what is beyond them is refused, and what is given up frees its place."""

from __future__ import annotations

import json
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from support.inference_requests import PATH, binary, element, file_request, png, request

from mgnet_fast.serving.limits import Limits


@pytest.fixture(scope="module")
def clients():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def open_gate(held, *answers: Future[tuple[int, Any]]) -> list[int]:
    held.stream.gate.set()
    return [each.result(20)[0] for each in answers]


def test_a_full_queue(held, clients) -> None:
    """Two images in slots and two that wait; the next one is told when to come again."""
    waiting = []
    for count in range(1, 5):
        waiting.append(clients.submit(held.running.infer, request()))
        held.until(lambda count=count: held.inference.room.images == count)
    status, headers, answer = held.running.ask("POST", PATH, json.dumps(request()).encode())
    assert status == 429
    assert headers["retry-after"] == "1"
    assert "busy with 4 images" in json.loads(answer)["error"]
    assert open_gate(held, *waiting) == [200] * 4
    assert held.running.infer(request())[0] == 200


def test_more_images_than_the_queue_can_ever_take(held) -> None:
    given = {"shape": [3, 2, 2, 1], "data": [0] * 12}
    status, answer = held.running.infer(request(given=given))
    assert (status, answer["error"]) == (400, "a request may have 2 images, got 3")


def test_an_answer_that_takes_too_long(held) -> None:
    status, answer = held.running.infer(request())
    assert (status, answer["error"]) == (504, "no answer within 0.5 seconds")
    held.until(lambda: not held.stream.flying)
    assert len(held.stream.dropped) == 1


def test_the_client_may_want_its_answer_sooner(held) -> None:
    status, answer = held.running.infer(request(parameters={"timeout": 20_000}))
    assert (status, answer["error"]) == (504, "no answer within 0.02 seconds")


def test_a_client_that_vanishes_frees_its_slot_and_its_place_in_the_queue(held) -> None:
    given = {"shape": [2, 2, 2, 1], "data": [0] * 8}
    body = json.dumps(request(given=given)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with ExitStack() as stack:
        for images in (2, 4):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", held.running.port)))
            client.sendall(head + body)
            held.until(lambda images=images: held.inference.room.images == images)
        held.until(lambda: len(held.stream.flying) == 2)
    held.until(lambda: held.inference.room.images == 0 and not held.stream.flying)
    assert len(held.stream.dropped) >= 2


def test_a_client_that_vanishes_in_the_middle_of_its_body(held) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 30000\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", held.running.port)) as client:
        client.sendall(head + bytes(20000))
        held.until(lambda: held.inference.room.num_bytes == 20000)
    held.until(lambda: held.inference.room.num_bytes == 0)


def test_a_body_that_does_not_arrive(held) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", held.running.port), timeout=20) as client:
        client.sendall(head)
        assert b"408" in client.recv(4000).splitlines()[0]


def test_a_body_above_the_limit_announced_or_not(held) -> None:
    held.stream.gate.set()
    big = bytes(50_000)
    status, answer = held.running.infer(binary(len(big)), big)
    assert (status, answer["error"]) == (413, "a body may have 40,000 bytes")
    status, _, text = held.running.ask("POST", PATH, iter([big[:30_000], big[:30_000]]))
    assert (status, json.loads(text)["error"]) == (413, "a body may have 40,000 bytes")


def test_a_client_that_asks_first_need_not_send_its_large_body(held) -> None:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 50000\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", held.running.port), timeout=20) as client:
        client.sendall(head.encode())
        assert b"413" in client.recv(4000).splitlines()[0]


def test_an_image_above_the_limit_is_refused_by_its_header(held) -> None:
    held.stream.gate.set()
    content = element(png(200, 200))
    status, answer = held.running.infer(file_request(len(content)), content)
    assert (status, answer["error"]) == (413, "an image may have 20,000 pixels, got 200 x 200")
    wide = binary(20_020, shape=[1, 20, 1001, 1])
    status, answer = held.running.infer(wide, bytes(20_020))
    assert (status, answer["error"]) == (413, "an image may have 20,000 pixels, got 20 x 1001")


def test_bytes_of_bodies_and_decoded_images_are_limited(held, clients) -> None:
    """Bodies of 35,000 bytes fit three times into 120,000."""
    body = binary(35_000, shape=[1, 35, 1000, 1])  # too many pixels, found after the body
    content = json.dumps(body).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 36000\r\n\r\n".encode()
    slow = [socket.create_connection(("127.0.0.1", held.running.port)) for _ in range(3)]
    try:
        for each in slow:
            each.sendall(head + bytes(35_000))
        held.until(lambda: held.inference.room.num_bytes == 105_000)
        status, answer = held.running.infer(content, bytes(35_000))
        assert (status, "busy" in answer["error"]) == (429, True)
    finally:
        for each in slow:
            each.close()


def test_an_engine_that_fails_does_not_end_the_service(held) -> None:
    held.stream.breaks = OSError("broken")
    try:
        status, answer = held.running.infer(request())
        assert (status, answer["error"]) == (500, "the engine failed")
    finally:
        held.stream.breaks = None
    held.stream.gate.set()
    assert held.running.infer(request())[0] == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_requests_do_not_wait_for_an_engine_that_has_ended(services, engine) -> None:
    """Both that in flight and those that come later are told; an orchestrator sees it, too."""
    with services.held_service(engine.model, Limits(queue=4, seconds=20)) as held:
        held.stream.breaks = SystemExit()  # ends a thread without a traceback
        for _ in range(2):
            assert held.running.infer(request()) == (500, {"error": "the engine has stopped"})
        held.until(lambda: held.inference.room.images == 0)
        assert held.running.ask("GET", "/v2/health/live")[0] == 503
        metrics = held.running.ask("GET", "/metrics")[2]
        assert b"mgnet_images_waiting 0.0" in metrics
        assert b"mgnet_slots_in_use 0.0" in metrics


def test_what_is_in_flight_is_answered_before_the_service_ends(services, engine, clients) -> None:
    with services.held_service(engine.model, Limits(queue=4, seconds=20)) as held:
        answers = [clients.submit(held.running.infer, request()) for _ in range(4)]
        held.until(lambda: held.inference.room.images == 4)
        held.running.server.should_exit = True
        held.until(lambda: _is_closed(held.running.port))
        assert held.running.thread.is_alive()
        assert open_gate(held, *answers) == [200] * 4
        held.running.thread.join(20)
        assert not held.running.thread.is_alive()


def _is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"queue": 0}, "queue must be at least 1, got 0"),
        ({"seconds": 0.0}, "seconds must be positive, got 0.0"),
        ({"body_bytes": 2, "queue_bytes": 1}, "queue_bytes must be at least body_bytes = 2, got 1"),
    ],
)
def test_limits_that_make_no_sense(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Limits(**wrong)
