"""What a training step keeps for its backward pass, against the published algorithm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mgnet_fast.models import MGNet, create_model, published_forward


def kept_bytes(model: MGNet, forward: Callable[[Tensor], dict[str, Tensor]], images: Tensor) -> int:
    """Bytes of distinct storages saved for the backward pass; parameters and images aside."""
    given = {t.untyped_storage().data_ptr() for t in [images, *model.parameters()]}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in given:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = forward(images)
    output["n_logit"].sum().backward()
    return sum(kept.values())


@pytest.mark.parametrize(
    ("name", "options", "side"),
    [
        ("mgnet_toy", {"num_glimpses": 4}, 112),
        ("mgnet_resnet18", {"num_glimpses": 4, "glimpse_size": 32, "num_classes": 10}, 75),
    ],
)
def test_no_more_is_kept_than_by_the_published_algorithm(
    name: str, options: dict[str, int], side: int
) -> None:
    torch.manual_seed(0)
    model = create_model(name, **options).train()
    images = torch.randn(8, model.config.in_chans, side, side)
    published = kept_bytes(model, lambda x: published_forward(model, x), images)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ours = kept_bytes(model, model, images)
    model.checkpoint_glimpses = True
    checkpointed = kept_bytes(model, model, images)
    assert ours <= published
    assert checkpointed < 0.2 * ours
