"""When an eager call may skip the dispatcher and go straight to its backend.

The dispatcher and a Python autograd registration cost 15 to 70 microseconds a call; a batch-1
glimpse takes about ten. A plain eager call therefore skips them. Compilers, export, dispatch and
functorch modes, and tensor subclasses must see the call, so they get the registered op.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

_PLAIN_TYPES = (Tensor, type(None), torch.nn.Parameter)

_functorch_level: Any = None
try:  # only private names of torch tell; without them every call is dispatched
    from torch._C import _functorch, _get_tracing_state, _len_torch_dispatch_stack

    _functorch_level = _functorch.maybe_current_level
except (ImportError, AttributeError):  # another version of torch
    pass


def is_plain_eager(*tensors: Tensor | None) -> bool:
    """Whether nothing but autograd needs to see an op on these tensors."""
    if torch.compiler.is_compiling() or _functorch_level is None:
        return False
    for tensor in tensors:
        if type(tensor) not in _PLAIN_TYPES:
            return False
    return (
        _len_torch_dispatch_stack() == 0
        and _functorch_level() is None
        and _get_tracing_state() is None
        and getattr(forward_ad, "_current_level", 0) < 0
    )


def refuse_tangents(*tensors: Tensor) -> None:
    """Raises for dual numbers: torch's own registration would drop their tangents in silence.

    Raises:
        NotImplementedError: one of the tensors has a tangent.
    """
    if torch.compiler.is_compiling() or not _under_forward_mode():
        return
    if any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors):
        raise NotImplementedError("a glimpse has no forward-mode derivative; use backward mode")


def _under_forward_mode() -> bool:
    return getattr(forward_ad, "_current_level", 0) >= 0


def under_functorch() -> bool:
    """Whether a transform of torch.func (grad, vmap, ...) is running."""
    return _functorch_level is not None and _functorch_level() is not None
