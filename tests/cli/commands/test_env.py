"""``mgnet-fast env``: the facts that a bug report needs."""

from __future__ import annotations

import json

import torch


def test_json_and_text_tell_versions_and_backends(command) -> None:
    as_json = command("env", "--json")
    facts = json.loads(as_json.out)
    assert facts["packages"]["torch"] == torch.__version__
    assert any(row["name"] == "reference" and row["available"] for row in facts["backends"])

    text = command("env")
    assert (as_json.code, text.code) == (0, 0)
    assert torch.__version__ in text.out
    assert "reference" in text.out
    assert text.out.splitlines()[-1].startswith("next: mgnet-fast demo")
