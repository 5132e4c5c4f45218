"""The loss, part by part, against its formula written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mgnet_fast.training import Objective


def outputs(steps: int = 3, batch: int = 4, rows: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    output = {
        "n_logit": torch.randn(steps, batch, 5, generator=generator),
        "n_affparam": torch.rand(steps, batch, 3, generator=generator),
    }
    if rows:
        output["n_aux_logit"] = torch.randn(rows, batch, 5, generator=generator)
    return {name: tensor.requires_grad_() for name, tensor in output.items()}


LABELS = torch.tensor([0, 4, 2, 2])


def cross_entropy(logits: Tensor, labels: Tensor = LABELS) -> float:
    """Mean over rows and samples of -log of the label's share of exp(logits)."""
    total = 0.0
    for row in logits.detach().double():
        for sample, label in zip(row, labels, strict=True):
            total -= math.log(float(sample.exp()[label] / sample.exp().sum()))
    return total / (len(logits) * len(labels))


@pytest.mark.parametrize("rows", [2, 3])  # the published code's T - 1 and the paper's T
def test_loss_is_the_weighted_sum_of_mean_cross_entropies(rows: int) -> None:
    output = outputs(rows=rows)
    with torch.no_grad():
        parts = Objective(alpha=0.6)(output, LABELS)
    assert float(parts["global"]) == pytest.approx(cross_entropy(output["n_logit"]), rel=1e-5)
    assert float(parts["glimpse"]) == pytest.approx(cross_entropy(output["n_aux_logit"]), rel=1e-5)
    expected = 0.6 * float(parts["glimpse"]) + 0.4 * float(parts["global"])
    assert float(parts["loss"]) == pytest.approx(expected, rel=1e-6)
    assert float(parts["size"]) == 0.0


def test_without_a_glimpse_head_alpha_counts_as_zero() -> None:
    parts = Objective(alpha=0.6)(outputs(rows=0), LABELS)
    assert torch.equal(parts["loss"], parts["global"])


def test_size_is_of_the_last_glimpse_of_samples_classified_well() -> None:
    output = outputs()
    last = torch.full((4, 5), -2.0)
    last[0, 0] = last[1, 4] = 2.0  # cross-entropy 0.07: well; the other two: 1.6
    output["n_logit"] = torch.stack([*output["n_logit"][:2].detach(), last])
    scales = output["n_affparam"][-1, :, 0]
    parts = Objective(size_weight=3.0, min_scale=0.2)(output, LABELS)
    mean_of_confident = float(((scales[:2].detach() - 0.2) ** 2).mean())
    share = 0.5
    size = float(parts["size"].detach())
    assert size == pytest.approx(mean_of_confident * share, rel=1e-5)
    without = Objective(size_weight=0.0)(output, LABELS)
    assert float(parts["loss"].detach() - without["loss"].detach()) == pytest.approx(
        3 * size, rel=1e-4
    )
    (gradient,) = torch.autograd.grad(parts["size"], output["n_affparam"])
    expected = torch.zeros_like(gradient)
    expected[-1, :2, 0] = 2 * (scales[:2].detach() - 0.2) / 4
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(("entropy", "counts"), [(0.399, True), (0.401, False)])
def test_border_between_well_and_not(entropy: float, counts: bool) -> None:
    share = math.exp(-entropy)
    logits = torch.tensor([[[math.log(share), math.log(1 - share)]]]).repeat(2, 1, 1)
    output = {"n_logit": logits, "n_affparam": torch.full((2, 1, 3), 0.5)}
    # Label smoothing changes what is minimised, not who counts as classified well.
    parts = Objective(size_weight=1.0, label_smoothing=0.2)(output, torch.tensor([0]))
    assert float(parts["size"]) == (pytest.approx(0.09) if counts else 0.0)


def test_one_glimpse_has_no_size() -> None:
    parts = Objective(size_weight=1.0)(outputs(steps=1, rows=0), LABELS)
    assert float(parts["size"]) == 0.0


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    output = outputs(rows=0)
    with torch.no_grad():
        plain = float(Objective()(output, LABELS)["global"])
        uniform = float(-output["n_logit"].log_softmax(2).mean())
        smooth = float(Objective(label_smoothing=0.1)(output, LABELS)["global"])
    assert smooth == pytest.approx(0.9 * plain + 0.1 * uniform, rel=1e-5)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("alpha", 1.5), ("alpha", math.nan), ("size_weight", -1.0), ("label_smoothing", 1.0)],
)
def test_attributes_out_of_range(attribute: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{attribute} must be"):
        Objective(**{attribute: value})


def test_labels_must_fit() -> None:
    with pytest.raises(ValueError, match=r"labels must have shape \[4\], got \[3\]"):
        Objective()(outputs(), LABELS[:3])
