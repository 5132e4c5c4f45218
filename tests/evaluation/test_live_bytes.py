"""Memory as the bytes of the tensors that are alive at once."""

from __future__ import annotations

import torch

from mgnet_fast.evaluation.live_bytes import peak_bytes


def test_freed_tensors_and_views_do_not_count() -> None:
    given = torch.zeros(1000)

    def step() -> None:
        first = given + 1  # 4000 bytes
        view = first.view(10, 100)
        second = view.double()  # 8000 more
        del first, view
        torch.empty_like(second)  # and 8000, with the first gone

    assert peak_bytes(step) == 16000
