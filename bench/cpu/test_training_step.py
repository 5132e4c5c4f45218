"""A training step of the toy network against the published algorithm."""

from __future__ import annotations

import pytest
import torch

from bench.conftest import Versus
from mgnet_fast import create_model
from mgnet_fast.models import published_forward
from mgnet_fast.models.mgnet.objective import Objective

BATCH, STEPS_TO_COMPARE = 256, 1


@pytest.mark.parametrize(
    ("precision", "checkpoint", "target"),
    [("fp32", False, 1 / 0.80), ("bf16", False, 1 / 0.55), ("fp32", True, None)],
)
def test_toy_training_step(
    versus: Versus, precision: str, checkpoint: bool, target: float | None
) -> None:
    """Batch 256, T = 3: channels_last and the fused glimpse against eager NCHW in fp32.

    With checkpointing each glimpse's backbone runs twice; the published algorithm runs it once.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 1, 112, 112, generator=generator)
    labels = torch.randint(0, 10, (BATCH,), generator=generator)
    torch.manual_seed(0)
    model = create_model("mgnet_toy").train()
    plain = create_model("mgnet_toy").train()
    plain.load_state_dict(model.state_dict())
    model = model.to(memory_format=torch.channels_last)
    model.checkpoint_glimpses = checkpoint
    objective = Objective(alpha=model.config.alpha, size_weight=1.0, min_scale=0.2)
    lowered = precision == "bf16"
    case = "toy, batch 256, T = 3" + (", checkpointed" if checkpoint else "")

    def ours() -> torch.Tensor:
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=lowered):
            outputs = model(images)
        loss = objective(outputs, labels)["loss"]
        loss.backward()
        return loss.detach()

    def published() -> torch.Tensor:
        plain.zero_grad(set_to_none=True)
        loss = objective(published_forward(plain, images), labels)["loss"]
        loss.backward()
        return loss.detach()

    versus(
        ours,
        published,
        deviation=float((ours() - published()).abs() / published()),
        tolerance=0.02 if lowered else 1e-3,
        suite="training step", op="forward + backward", case=case,
        dtype=precision, peer="published algorithm, eager NCHW fp32",
        target=target,
    )  # fmt: skip
