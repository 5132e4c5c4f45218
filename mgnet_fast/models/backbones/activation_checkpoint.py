"""Activation checkpointing that runs batch norm's statistics only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpointed(module: nn.Module, x: Tensor, call: Callable[[Tensor], Any] | None = None) -> Any:
    """``module(x)``, keeping only ``x`` for the backward pass, which runs the module again.

    The second run has the random numbers and the autocast state of the first, and does not
    update the running statistics of batch norm. ``call`` is a method of the module that runs
    instead of ``forward``.
    """
    if torch.compiler.is_compiling():
        # The compiler recomputes only what gradients need, and updates each buffer once.
        return checkpoint(call or module, x, use_reentrant=False)
    contexts = partial(_first_and_second_run, module)
    return checkpoint(call or module, x, use_reentrant=False, context_fn=contexts)


def _first_and_second_run(
    module: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _without_running_statistics(module)


@contextmanager
def _without_running_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm normalises by the batch's statistics but does not accumulate them."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
