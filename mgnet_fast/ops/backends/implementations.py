"""From the name of a native backend to the module that launches its kernels.

Such a module has five functions: ``glimpse``, ``glimpse_backward_region``,
``glimpse_backward_image``, ``glimpse_from_logits`` and ``glimpse_from_logits_backward``. In a
backend that takes pools all but the gradient to the image have a last argument ``pool``.
The reference is none of them: it is plain PyTorch, differentiated by autograd itself.
"""

from __future__ import annotations

from types import ModuleType

from . import cpu, cuda, triton

_LAUNCHERS = {"cpu": cpu, "triton": triton, "cuda": cuda}


def of(backend: str) -> ModuleType:
    return _LAUNCHERS[backend]
