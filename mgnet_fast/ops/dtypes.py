"""Result types by the names that op schemas carry: plain strings, so that any tracer takes them."""

from __future__ import annotations

import torch

BY_NAME = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
