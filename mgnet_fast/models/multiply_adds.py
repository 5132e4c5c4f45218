"""What a network costs in multiply-adds, without running it on data."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from .mgnet.network import POSITION_DIM, MGNet

Convention = Literal["paper", "table3", "cached"]


def count_multiply_adds(
    model: MGNet,
    image_size: int | tuple[int, int],
    convention: Convention = "paper",
    *,
    num_glimpses: int | None = None,
) -> int:
    r"""Multiply-adds of classifying one image with all T glimpses.

    With C the convolutions and linear layers of the backbone at one glimpse, D = dim + 3:

    - ``"paper"`` (tables 1, 2 and 4): convolutions and linear layers only; the fusion projects all
      t tokens again at step t and the localization layer runs at every step:
      :math:`T C + 4 D^2 T (T + 1) / 2 + T (D K + 3 D)`.
    - ``"table3"``: also the attention products (:math:`2 t^2 D` at step t), 2 per element of a
      batch norm, 5 per element of a layer norm, one per input element of a global average pool
      and 4 per sampled pixel.
    - ``"cached"``: as ``"paper"``, but each token projected once with one query a step, which is
      what this package does: :math:`T C + 4 D^2 T + T (D K + 3 D)`.

    Bias, activation and max-pool count nothing. Traced on shapes only: no memory, no arithmetic,
    and the model is left as it is.

    Args:
        model: the network.
        image_size: H and W of the image in pixels (one number: square).
        convention: which operations count.
        num_glimpses: T (default: the config's).

    Raises:
        ValueError: the convention is unknown, or ``image_size`` or ``num_glimpses`` is below 1.
        TypeError: ``model`` is no MGNet.

    Source: paper, tables 1 to 4.
    """
    if not isinstance(model, MGNet):
        raise TypeError(f"model must be an MGNet, got {type(model).__name__}")
    if convention not in get_args(Convention):
        raise ValueError(f"convention must be one of {get_args(Convention)}, got {convention!r}")
    image_shape = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(image_shape) < 1:
        raise ValueError(f"image_size must be at least 1 pixel each way, got {image_size}")
    steps = model.config.num_glimpses if num_glimpses is None else num_glimpses
    if steps < 1:
        raise ValueError(f"num_glimpses must be at least 1, got {steps}")

    glimpse = (model.config.in_chans, *model.config.glimpse_shape(image_shape))
    costs = _backbone_costs(model.backbone, glimpse)
    dim = model.dim + POSITION_DIM
    triangle = steps * (steps + 1) // 2
    projected = steps if convention == "cached" else triangle
    total = steps * costs["weights"]
    total += 4 * dim**2 * projected
    total += steps * (dim * model.config.num_classes + POSITION_DIM * dim)
    if convention == "table3":
        sampled = 4 * glimpse[0] * glimpse[1] * glimpse[2]
        total += steps * (costs["others"] + sampled)
        total += sum(2 * t**2 * dim + 5 * t * dim for t in range(1, steps + 1))
    return total


def _backbone_costs(backbone: nn.Module, shape: tuple[int, int, int]) -> Counter[str]:
    """Costs of one pass over one image of ``shape``: of layers with weights, and of the others."""
    tensors = dict(backbone.named_parameters()) | dict(backbone.named_buffers())
    shadows = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    dtype = next((t.dtype for t in shadows.values() if t.is_floating_point()), torch.float32)
    modes = [(module, module.training) for module in backbone.modules()]
    backbone.eval()
    try:
        with torch.no_grad(), _CostCounter() as counter:
            image = torch.empty((1, *shape), dtype=dtype, device="meta")
            functional_call(backbone, shadows, (image,))
    finally:
        for module, is_training in modes:
            module.training = is_training
    costs: Counter[str] = counter.costs
    return costs


class _CostCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the costs of the operators that run inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.costs: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        kind, cost = _cost(func.overloadpacket.__name__, args, out)
        self.costs[kind] += cost
        return out


def _cost(operator: str, args: tuple[Any, ...], out: Any) -> tuple[str, int]:
    if operator == "convolution":
        image, kernel, is_transposed = args[0], args[1], args[6]
        positions = image if is_transposed else out
        return "weights", positions.numel() * kernel[0].numel()
    if operator in ("mm", "addmm"):
        left, right = args[-2:]
        return "weights", left.numel() * right.shape[1]
    if operator in ("bmm", "baddbmm"):
        left, right = args[-2:]
        return "others", left.numel() * right.shape[2]
    if "batch_norm" in operator:
        return "others", 2 * out[0].numel()
    if operator == "native_layer_norm":
        return "others", 5 * out[0].numel()
    if _is_global_pool(operator, args, out):
        return "others", args[0].numel()
    return "others", 0


def _is_global_pool(operator: str, args: tuple[Any, ...], out: Any) -> bool:
    if operator == "_adaptive_avg_pool2d":
        return bool(out.shape[-2:].numel() == 1)
    if operator != "mean" or len(args) < 2 or not isinstance(args[0], Tensor):
        return False
    return args[0].dim() == 4 and sorted(axis % 4 for axis in args[1]) == [2, 3]
