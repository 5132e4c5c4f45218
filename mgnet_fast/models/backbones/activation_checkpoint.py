"""Running a module again in the backward pass instead of keeping what its layers computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpointed(module: nn.Module, x: Tensor) -> Tensor:
    """``module(x)``, of which only ``x`` is kept for the backward pass.

    The second run sees the same random numbers and autocast state as the first, and leaves the
    running statistics of batch norm alone, so that they are those of one run.
    """
    if torch.compiler.is_compiling():
        # The compiler runs again what computes gradients, and writes each buffer once.
        return checkpoint(module, x, use_reentrant=False)  # type: ignore[no-any-return]
    contexts = partial(_first_and_second_run, module)
    return checkpoint(module, x, use_reentrant=False, context_fn=contexts)  # type: ignore[no-any-return]


def _first_and_second_run(
    module: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _without_running_statistics(module)


@contextmanager
def _without_running_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm uses the batch's statistics, as it does in training, and adds none of them."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
