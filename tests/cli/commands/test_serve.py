"""``mgnet-fast serve`` as a program: it starts, answers, and ends cleanly when it is told to."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys

import pytest

from mgnet_fast.cli.commands import serve


def test_it_answers_until_sigterm() -> None:
    for each in serve.NEEDED:
        pytest.importorskip(each, reason="the libraries of the service: pip install '.[serve]'")
    command = [sys.executable, "-m", "mgnet_fast", "serve", "--port", "0", "--runner", "packed"]
    given = {"name": "pixels", "shape": [1, 2, 2, 1], "datatype": "UINT8", "data": [0, 0, 0, 0]}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            first = program.stdout.readline()
            address = re.search(r"serving mgnet at http://([\d.:]+) \(packed, 32 slots\)", first)
            assert address, first
            connection = http.client.HTTPConnection(address[1], timeout=30)
            connection.request("POST", "/v2/models/mgnet/infer", json.dumps({"inputs": [given]}))
            answer = connection.getresponse()
            assert answer.status == 200
            assert json.loads(answer.read())["outputs"][0]["name"] == "label"
            program.send_signal(signal.SIGTERM)
            assert program.stdout.read() == "stopped; everything in flight was answered\n"
            assert program.wait(30) == 0
        finally:
            program.kill()


def test_missing_libraries_are_named(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "NEEDED", ("json", "no_such_library"))
    wanted = "error: mgnet-fast serve needs no_such_library: pip install 'mgnet-fast[serve]'\n"
    assert command("serve") == (1, "", wanted)
