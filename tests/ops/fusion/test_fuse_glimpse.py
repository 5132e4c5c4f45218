"""The fusion at inference: equal to the network's own fusion, whatever unused places hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tolerances import FUSION
from torch import Tensor, nn

from mgnet_fast import FoldedFusion, fuse_glimpse
from mgnet_fast.models.mgnet.fusion import FeatureFusion, FusionMemory

DIMS = (7, 131, 515)


def _fusion(dim: int, dtype: torch.dtype = torch.float32) -> FeatureFusion:
    """With biases that are not zero, so that a lost one is seen."""
    torch.manual_seed(dim)
    fusion = FeatureFusion(dim).to(dtype).eval().requires_grad_(False)
    for parameter in fusion.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter)
    return fusion


def _tokens(slots: int, places: int, dim: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(slots + places)
    return torch.randn(slots, places, dim, generator=generator, dtype=torch.float64).to(dtype)


def _poisoned(tokens: Tensor, length: Tensor) -> Tensor:
    unused = torch.arange(tokens.shape[1]) >= length[:, None]
    return tokens.masked_fill(unused[:, :, None], float("nan"))


def _state(fusion: FeatureFusion, attended: Tensor) -> Tensor:
    return torch.relu(fusion.norm(attended))


def _deviation(state: Tensor, expected: Tensor) -> float:
    return float((state - expected).abs().max() / expected.abs().max())


def _expected(fusion: FeatureFusion, tokens: Tensor, length: Tensor) -> Tensor:
    """Slot by slot and token by token through the network's own module."""
    rows = []
    for slot, count in enumerate(length.tolist()):
        memory = FusionMemory()
        for place in range(count):
            state = fusion(tokens[slot : slot + 1, place], memory)
        rows.append(state)
    return torch.cat(rows)


@pytest.mark.parametrize("dtype", list(FUSION), ids=str)
@pytest.mark.parametrize("dim", DIMS)
def test_equals_the_networks_fusion_at_every_length(
    backend: str, dim: int, dtype: torch.dtype
) -> None:
    fusion, tokens = _fusion(dim, dtype), _tokens(11, 5, dim, dtype)
    folded = FoldedFusion.of(fusion.mha)
    for count in range(1, 6):
        length = torch.full((11,), count)
        fused = fuse_glimpse(_poisoned(tokens, length), length, folded, backend=backend)
        state = _state(fusion, fused)
        expected = _expected(fusion, tokens, length)
        assert state.dtype == dtype
        assert _deviation(state, expected) <= FUSION[dtype]


@pytest.mark.parametrize("dim", DIMS)
def test_slots_at_different_lengths_share_a_call(backend: str, dim: int) -> None:
    fusion, tokens = _fusion(dim), _tokens(9, 4, dim)
    length = torch.tensor([1, 4, 2, 3, 1, 1, 4, 3, 2])
    folded = FoldedFusion.of(fusion.mha)
    attended = fuse_glimpse(_poisoned(tokens, length), length, folded, backend=backend)
    expected = _expected(fusion, tokens, length)
    assert _deviation(_state(fusion, attended), expected) <= FUSION[torch.float32]
    for slot in range(9):  # a slot's neighbours have no say
        one = slice(slot, slot + 1)
        alone = fuse_glimpse(tokens[one], length[one], folded, backend=backend)
        torch.testing.assert_close(attended[slot : slot + 1], alone, rtol=1e-5, atol=1e-5)


def test_a_nan_token_stays_in_its_slot(backend: str) -> None:
    tokens, length = _tokens(3, 4, 7), torch.tensor([3, 2, 4])
    tokens[1, 0] = float("nan")
    fused = fuse_glimpse(tokens, length, FoldedFusion.of(_fusion(7).mha), backend=backend)
    assert fused.isnan().all(dim=1).tolist() == [False, True, False]
    assert fused.isnan().any(dim=1).tolist() == [False, True, False]


def test_strided_caches_and_empty_batches(backend: str) -> None:
    folded = FoldedFusion.of(_fusion(7).mha)
    tokens, length = _tokens(4, 3, 7), torch.tensor([1, 3, 2, 3])
    sliced = torch.full((4, 3, 10), float("nan"))[..., 2:9].copy_(tokens)
    assert not sliced.is_contiguous()
    torch.testing.assert_close(
        fuse_glimpse(sliced, length, folded, backend=backend),
        fuse_glimpse(tokens, length, folded, backend=backend),
    )
    assert fuse_glimpse(tokens[:0], length[:0], folded, backend=backend).shape == (0, 7)


def test_autocast_lowers_nothing(backend: str) -> None:
    folded = FoldedFusion.of(_fusion(131).mha)
    tokens, length = _tokens(4, 3, 131), torch.tensor([1, 3, 2, 3])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = fuse_glimpse(tokens, length, folded, backend=backend)
    assert torch.equal(lowered, fuse_glimpse(tokens, length, folded, backend=backend))


def test_gradients_are_refused_in_words() -> None:
    folded = FoldedFusion.of(_fusion(7).mha)
    tokens, length = _tokens(2, 3, 7).requires_grad_(), torch.tensor([1, 3])
    with pytest.raises(RuntimeError, match=r"has no gradient: call it under torch\.no_grad"):
        fuse_glimpse(tokens, length, folded)
    with torch.no_grad():
        fuse_glimpse(tokens, length, folded)
    registered = torch.ops.mgnet_fast.fuse_glimpse(tokens, length, *folded, "reference")
    with pytest.raises(RuntimeError, match="has no gradient"):
        registered.sum().backward()


def test_opcheck_and_compile() -> None:
    folded = FoldedFusion.of(_fusion(7).mha)
    tokens, length = _tokens(4, 3, 7), torch.tensor([1, 3, 2, 3])
    torch.library.opcheck(torch.ops.mgnet_fast.fuse_glimpse, (tokens, length, *folded, "reference"))
    torch._dynamo.reset()
    compiled = torch.compile(fuse_glimpse, fullgraph=True, dynamic=True, backend="aot_eager")
    for slots in (2, 3, 4):
        with torch.compiler.set_stance("fail_on_recompile" if slots > 2 else "default"):
            got = compiled(tokens[:slots], length[:slots], folded)
        assert torch.equal(got, fuse_glimpse(tokens[:slots], length[:slots], folded))


def test_lengths_nobody_can_check_give_nan(backend: str) -> None:
    folded = FoldedFusion.of(_fusion(7).mha)
    length = torch.tensor([1, 0, 4, -2, 3])
    fused = torch.ops.mgnet_fast.fuse_glimpse(_tokens(5, 3, 7), length, *folded, backend)
    assert fused.isnan().all(dim=1).tolist() == [False, True, True, True, False]
    assert fused.isnan().any(dim=1).tolist() == [False, True, True, True, False]


FOLDED = FoldedFusion.of(_fusion(7).mha)
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"tokens": [1]}, TypeError, r"tokens must be a Tensor, got list"),
    ({"tokens": torch.zeros(2, 7)}, ValueError, r"tokens must have shape \[S, T, D\].*\[2, 7\]"),
    ({"tokens": torch.zeros(2, 0, 7)}, ValueError, r"with T >= 1, got \[2, 0, 7\]"),
    ({"tokens": torch.zeros(2, 3, 7).half()}, TypeError, r"tokens must have dtype .*got float16"),
    ({"tokens": torch.zeros(2, 3, 8)}, ValueError, r"folded.key_query must have shape \[8, 8\]"),
    ({"tokens": torch.zeros(2, 3, 7).double()}, TypeError, r"folded.key_query must have tokens'"),
    ({"length": torch.ones(2)}, TypeError, r"length must have dtype int64, got float32"),
    ({"length": torch.tensor([1])}, ValueError, r"length must have shape \[2\], .* got \[1\]"),
    ({"length": torch.tensor([0, 3])}, ValueError, r"length must lie in 1..3, .* got 0"),
    ({"length": torch.tensor([1, 4])}, ValueError, r"length must lie in 1..3, .* got 4"),
    ({"length": torch.ones(2, device="meta").long()}, ValueError, r"length must be on tokens' dev"),
    ({"folded": tuple(FOLDED)}, TypeError, r"folded must be a FoldedFusion, got tuple"),
    ({"backend": "tpu"}, ValueError, r"backend must be one of"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG, ids=lambda case: str(case)[:40])
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {
        "tokens": torch.zeros(2, 3, 7),
        "length": torch.tensor([1, 3]),
        "folded": FOLDED,
    } | change
    with pytest.raises(error, match=message):
        fuse_glimpse(**arguments)


def test_what_cannot_be_folded_is_named() -> None:
    with pytest.raises(ValueError, match=r"one head .* got 2 heads"):
        FoldedFusion.of(nn.MultiheadAttention(8, 2))
    with pytest.raises(ValueError, match="must have biases"):
        FoldedFusion.of(nn.MultiheadAttention(8, 1, bias=False))
