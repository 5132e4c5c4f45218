"""Counts the multiply-adds of a network without running it on data."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from .network import GlimpseNetwork, check_network, evaluation_mode

Convention = Literal["paper", "table3", "cached"]


def count_multiply_adds(
    model: GlimpseNetwork,
    image_size: int | tuple[int, int],
    convention: Convention = "paper",
    *,
    num_glimpses: int | None = None,
) -> int:
    r"""Multiply-adds of classifying one image with all T steps.

    With C the convolutions and linear layers of the backbone for one glimpse, D = dim + 3, an
    MGNet costs:

    - ``"paper"`` (tables 1, 2 and 4): convolutions and linear layers only. The fusion projects
      all t tokens again at step t, and the localization layer runs at every step:
      :math:`T C + 4 D^2 T (T + 1) / 2 + T (D K + 3 D)`.
    - ``"table3"``: also the attention products (:math:`2 t^2 D` at step t), 2 per element of a
      batch norm, 5 per element of a layer norm, one per input element of a global average pool
      and 4 per sampled pixel.
    - ``"cached"``: as ``"paper"``, but each token is projected once and each step has one query,
      which is what this package runs: :math:`T C + 4 D^2 T + T (D K + 3 D)`.

    For other networks the operators outside the backbone are counted as they run: convolutions
    and linear layers, and with ``"table3"`` also the operators listed there.

    Biases, activations and max-pools count nothing. The network runs on shapes only (the meta
    device), without memory or arithmetic, and is left as it is.

    Args:
        model: the network.
        image_size: H and W of the image in pixels (one number: square).
        convention: which operations count.
        num_glimpses: number of steps T. Default: the config's.

    Raises:
        TypeError: ``model`` is not a glimpse network, or ``image_size`` is not one or two ints.
        ValueError: ``convention`` is unknown, or ``image_size`` or ``num_glimpses`` is out of
            range.

    Source: paper, tables 1 to 4.
    """
    check_network(model)
    if convention not in get_args(Convention):
        raise ValueError(f"convention must be one of {get_args(Convention)}, got {convention!r}")
    image_shape = _checked_size(image_size)
    steps = model.checked_steps(num_glimpses)
    looks = sum(model.looks_within(steps))
    glimpse = (model.config.in_chans, *model.config.glimpse_shape(image_shape))
    # In inference mode the counter would see convolutions under another name.
    with torch.inference_mode(False), torch.no_grad(), evaluation_mode(model):
        costs, dim = _backbone_costs(model, glimpse)
        others = model.published_multiply_adds(steps, convention)
        if others is None:
            traced = _costs_outside_backbone(model, steps, dim, image_shape)
            others = traced["weights"] + (traced["others"] if convention == "table3" else 0)
    total = looks * costs["weights"] + others
    if convention == "table3":
        total += looks * (costs["others"] + 4 * glimpse[0] * glimpse[1] * glimpse[2])
    return total


def _checked_size(image_size: object) -> tuple[int, int]:
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not isinstance(sides, (tuple, list)) or [type(side) for side in sides] != [int, int]:
        raise TypeError(f"image_size must be an int or (height, width), got {image_size!r}")
    if min(sides) < 1:
        raise ValueError(f"image_size must be at least 1 pixel each way, got {image_size}")
    return sides[0], sides[1]


def _backbone_costs(model: GlimpseNetwork, shape: tuple[int, int, int]) -> tuple[Counter[str], int]:
    """Costs of the backbone for one glimpse of ``shape``; the number of its features."""
    shadows = _on_meta(model.backbone)
    dtype = next((t.dtype for t in shadows.values() if t.is_floating_point()), torch.float32)
    with _CostCounter() as counter:
        image = torch.empty((1, *shape), dtype=dtype, device="meta")
        feature = functional_call(model.backbone, shadows, (image,))
    return counter.costs, feature.shape[1]


def _costs_outside_backbone(
    model: GlimpseNetwork, steps: int, dim: int, image_shape: tuple[int, int]
) -> Counter[str]:
    """Costs of choosing regions, taking in features and answering, over all steps of an image."""
    steps_of = _StepsWithoutBackbone(model)
    shadows = {f"model.{name}": tensor for name, tensor in _on_meta(model).items()}
    with _CostCounter() as counter:
        functional_call(steps_of, shadows, (steps, dim, image_shape))
    costs: Counter[str] = counter.costs
    return costs


def _on_meta(module: nn.Module) -> dict[str, Tensor]:
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: tensor.detach().to("meta") for name, tensor in tensors.items()}


class _StepsWithoutBackbone(nn.Module):
    def __init__(self, model: GlimpseNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, steps: int, dim: int, image_shape: tuple[int, int]) -> None:
        state = self.model.start(torch.tensor([image_shape], device="meta"))
        for step in range(steps):
            _, row = self.model.looks_at_step(state, step)
            feature = torch.empty((len(row), dim), dtype=self.model.dtype, device="meta")
            state = self.model.take_in_at_step(state, feature, step)
            self.model.answer(state)


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
