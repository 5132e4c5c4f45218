"""State dicts of the PyTorch port of the paper's VGG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgnet_fast.models import LTPA, load_checkpoint

WIDTHS = (2, 3, 4, 6, 6, 6)
CONVOLUTIONS = (2, 2, 3, 3, 3, 2)


def state_of_the_port(side: int, *, attends: bool = True) -> dict[str, Tensor]:
    """Random weights under the port's names, for images of ``side`` pixels and 5 classes."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}
    before = 3
    for block, (width, count) in enumerate(zip(WIDTHS, CONVOLUTIONS, strict=True), start=1):
        layers = 4 if block == 6 else 3  # only block 6 pools
        for at in range(count):
            name = f"conv_block{block}.op.{layers * at}"
            state |= {f"{name}.weight": torch.randn(width, before, 3, 3) / (3 * before**0.5)}
            state[f"{name}.bias"] = torch.randn(width) / 10
            name = f"conv_block{block}.op.{layers * at + 1}"
            state |= {
                f"{name}.{part}": torch.rand(width) + 0.5 for part in ("weight", "running_var")
            }
            state |= {f"{name}.{part}": torch.randn(width) / 5 for part in ("bias", "running_mean")}
            state[f"{name}.num_batches_tracked"] = torch.tensor(3)
            before = width
    state["dense.weight"] = torch.randn(6, 6, side // 32, side // 32) / 2
    state["dense.bias"] = torch.randn(6) / 10
    if attends:
        state["projector.op.weight"] = torch.randn(6, 4, 1, 1)
        state |= {f"attn{level}.op.weight": torch.randn(1, 6, 1, 1) for level in (1, 2, 3)}
    state["classify.weight"] = torch.randn(5, 18 if attends else 6)
    state["classify.bias"] = torch.randn(5)
    return state


def forward_of_the_port(state: dict[str, Tensor], x: Tensor, attend: str) -> tuple[Tensor, list]:
    """The paper's network on the bare weights: logits, and the weights of the positions."""

    def block(x: Tensor, number: int) -> Tensor:
        layers = 4 if number == 6 else 3
        for at in range(CONVOLUTIONS[number - 1]):
            conv, norm = (f"conv_block{number}.op.{layers * at + part}." for part in (0, 1))
            x = F.conv2d(x, state[conv + "weight"], state[conv + "bias"], padding=1)
            mean, var = state[norm + "running_mean"], state[norm + "running_var"]
            x = F.relu(F.batch_norm(x, mean, var, state[norm + "weight"], state[norm + "bias"]))
            x = F.max_pool2d(x, 2) if number == 6 else x
        return x

    x = block(block(x, 1), 2)
    maps = []
    for number in (3, 4, 5):
        full = block(x, number)
        x = F.max_pool2d(full, 2)
        maps.append(full if attend == "before" else x)
    g = F.conv2d(block(x, 6), state["dense.weight"], state["dense.bias"])
    if "attn1.op.weight" not in state:
        return F.linear(g.flatten(1), state["classify.weight"], state["classify.bias"]), []
    maps[0] = F.conv2d(maps[0], state["projector.op.weight"])
    vectors, weights = [], []
    for level, local in enumerate(maps, start=1):
        score = F.conv2d(local + g, state[f"attn{level}.op.weight"])
        weights.append(score.flatten(1).softmax(1).view_as(score[:, 0]))
        vectors.append((weights[-1][:, None] * local).sum((2, 3)))
    joined = torch.cat(vectors, 1)
    return F.linear(joined, state["classify.weight"], state["classify.bias"]), weights


@pytest.mark.parametrize("attend", ["before", "after"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_ports_weights_give_its_answers(tmp_path: Path, attend: Any, prefix: str) -> None:
    path, state = tmp_path / "net.pth", state_of_the_port(64)
    torch.save({prefix + name: tensor for name, tensor in state.items()}, path)
    model = load_checkpoint(path, attend=attend)
    assert type(model) is LTPA
    assert (model.config.glimpse_size, model.config.widths) == ((64, 64), WIDTHS)
    x = torch.randn(2, 3, 64, 64)
    logits, weights = forward_of_the_port(state, x, attend)
    with torch.no_grad():
        output = model(x)
    torch.testing.assert_close(output["n_logit"][0], logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output["attention"], weights, rtol=1e-4, atol=1e-6)


def test_the_port_without_attention(tmp_path: Path) -> None:
    path, state = tmp_path / "net.pth", state_of_the_port(32, attends=False)
    torch.save(state, path)
    model = load_checkpoint(path, attend="before")
    assert model.config.levels == 0
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found = model(x)["n_logit"][0]
    torch.testing.assert_close(
        found, forward_of_the_port(state, x, "before")[0], rtol=1e-4, atol=1e-5
    )


def test_what_the_file_does_not_tell_must_be_given(tmp_path: Path) -> None:
    path, state = tmp_path / "net.pth", state_of_the_port(32)
    torch.save(state, path)
    with pytest.raises(ValueError, match="does not tell attend of its network: give attend="):
        load_checkpoint(path)
    torch.save(state | {"attn1.W_l.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"unexpected: attn1\.W_l\.weight"):
        load_checkpoint(path, attend="before")
