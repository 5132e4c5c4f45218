"""A step behind the backbone: the same as the network's own modules, slot by slot."""

from __future__ import annotations

import pytest
import torch
from support.tolerances import FUSION
from torch import Tensor, nn

from mgnet_fast.models.mgnet.fusion import FeatureFusion, FusionMemory
from mgnet_fast.ops.backends import reference
from mgnet_fast.ops.fusion.fusion_step import fusion_step
from mgnet_fast.ops.fusion.fusion_weights import StepWeights
from mgnet_fast.ops.sampling import RangeMap

SCALE_RANGE = (0.2, 0.5)
LENGTH = torch.tensor([1, 4, 2, 3, 4])


class Network(nn.Module):
    """The parts of a network that a step uses, all with biases that are not zero."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(width)
        self.fusion = FeatureFusion(width)
        self.classify = nn.Linear(width, 10)
        self.locate = nn.Linear(width, 3)
        self.to(dtype).requires_grad_(False)
        for parameter in self.parameters():
            if parameter.dim() == 1:
                nn.init.normal_(parameter)

    def weights(self) -> StepWeights:
        fusion = self.fusion
        return StepWeights.of(fusion.mha, fusion.norm, self.classify, self.locate, SCALE_RANGE)

    def expected(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """In float64, from caches [S, T, D] that hold the newest token already."""
        double = Network(tokens.shape[2], torch.float64)
        double.load_state_dict(self.state_dict())
        rows = []
        for slot, count in enumerate(LENGTH.tolist()):
            memory = FusionMemory()
            for place in range(count):
                state = double.fusion(tokens[slot : slot + 1, place].double(), memory)
            rows.append(state)
        state = torch.cat(rows)
        region = reference.region_from_logits(double.locate(state), RangeMap(*SCALE_RANGE, 1.0))
        return double.classify(state), region


def _inputs(width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Feature, region, a cache whose unused places are NaN, and what it holds after the step."""
    generator = torch.Generator().manual_seed(1)
    full = torch.randn(5, 4, width, generator=generator, dtype=torch.float64).to(dtype)
    places = torch.arange(1, 5)
    newest = full[torch.arange(5), LENGTH - 1]
    before = full.masked_fill((places >= LENGTH[:, None])[:, :, None], float("nan"))
    return newest[:, :-3], newest[:, -3:], before, full


@pytest.mark.parametrize("width", [7, 131, 515])
@pytest.mark.parametrize("dtype", list(FUSION), ids=str)
def test_equals_the_networks_own_modules(backend: str, dtype: torch.dtype, width: int) -> None:
    network = Network(width, dtype)
    feature, region, tokens, full = _inputs(width, dtype)
    logits, following = fusion_step(feature, region, tokens, LENGTH, network.weights(), backend)
    for slot, count in enumerate(LENGTH.tolist()):
        assert torch.equal(tokens[slot, :count], full[slot, :count])
        assert tokens[slot, count:].isnan().all()
    expected_logits, expected_region = network.expected(full)
    assert logits.dtype == torch.float32
    assert following.dtype == dtype
    unit = float(expected_logits.abs().max())
    error = float((logits - expected_logits).abs().max())
    assert error <= (FUSION[torch.float32] if dtype == torch.float32 else 1e-6) * unit
    error = float((following - expected_region).abs().max())
    assert error <= FUSION[dtype] * float(expected_logits.abs().max().clamp(min=1))


def test_any_strides_and_features_of_a_lower_precision(backend: str) -> None:
    weights = Network(131, torch.float32).weights()
    feature, region, tokens, _ = _inputs(131, torch.float32)
    feature = feature.bfloat16()
    plain = fusion_step(feature, region, tokens.clone(), LENGTH, weights, backend)
    strided = torch.zeros(5, 4, 200)[..., 3:134].copy_(tokens)
    transposed = feature.T.contiguous().T
    lengths = LENGTH.repeat_interleave(2)[::2]
    got = fusion_step(transposed, region.expand(1, 5, 3)[0], strided, lengths, weights, backend)
    for one, other in zip(got, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_lengths_out_of_range_give_nan_and_write_nothing(backend: str) -> None:
    weights = Network(7, torch.float32).weights()
    feature, region, tokens, _ = _inputs(7, torch.float32)
    before = tokens.clone()
    length = torch.tensor([0, 4, 5, -3, 2**40])
    logits, following = fusion_step(feature, region, tokens, length, weights, backend)
    wrong = torch.tensor([True, False, True, True, True])
    assert torch.equal(logits.isnan().all(dim=1), wrong)
    assert torch.equal(following.isnan().all(dim=1), wrong)
    assert logits[1].isfinite().all()
    for slot in wrong.nonzero().flatten().tolist():
        assert torch.equal(tokens[slot].nan_to_num(), before[slot].nan_to_num())


def test_what_is_not_finite_stays_in_its_slot(backend: str) -> None:
    weights = Network(7, torch.float32).weights()
    feature, region, tokens, _ = _inputs(7, torch.float32)
    feature = feature.clone()
    feature[2, 1] = float("nan")
    logits, following = fusion_step(feature, region, tokens, LENGTH, weights, backend)
    wrong = torch.arange(5) == 2
    assert torch.equal(logits.isnan().all(dim=1), wrong)
    assert torch.equal(following.isnan().all(dim=1), wrong)
