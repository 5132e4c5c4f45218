"""Convolutions with "same" padding, as TensorFlow and as PyTorch's networks pad."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mgnet_fast.models import count_multiply_adds, create_model
from mgnet_fast.models.backbones.bagnet import BagNet77
from mgnet_fast.models.backbones.efficientnet import EfficientNet, dropped_rows, rounded_width
from mgnet_fast.models.backbones.same_padding import SameConv2d


def _windows(conv: SameConv2d, x: torch.Tensor, before: int) -> torch.Tensor:
    """The convolution from its definition: window i starts ``before`` pixels before i * stride."""
    padded = F.pad(x, (before, 10, before, 10))
    out = F.conv2d(padded, conv.weight, conv.bias, conv.stride, groups=conv.groups)
    rows, columns = (-(-side // conv.stride[0]) for side in x.shape[-2:])
    return out[..., :rows, :columns]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [7, 8, 1])
def test_where_the_zeros_go(kernel: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 4, side, 7, dtype=torch.float64)
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    total_columns = max((-(-7 // stride) - 1) * stride + kernel - 7, 0)
    for groups in (1, 4):
        conv = SameConv2d(4, 4, kernel, stride, groups=groups).double()
        expected = _windows(conv, x, kernel // 2)
        if total // 2 == total_columns // 2:
            expected = _windows(conv, x, total // 2)
            torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-12)
        other = SameConv2d(4, 4, kernel, stride, groups=groups, padding="symmetric").double()
        other.load_state_dict(conv.state_dict())
        expected = _windows(other, x, kernel // 2)
        torch.testing.assert_close(other(x), expected, rtol=0, atol=1e-12)


def test_the_two_differ_on_even_sides_only() -> None:
    torch.manual_seed(0)
    nets = [EfficientNet("b0", padding=p).eval() for p in ("tensorflow", "symmetric")]
    nets[1].load_state_dict(nets[0].state_dict())
    with torch.no_grad():
        odd, even = torch.rand(1, 3, 33, 33), torch.rand(1, 3, 32, 32)
        torch.testing.assert_close(nets[0](odd), nets[1](odd))
        assert (nets[0](even) - nets[1](even)).abs().max() > 1e-2 * nets[0](even).abs().max()


def test_an_unknown_padding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"padding must be one of .*'tensorflow'.* got 'same'"):
        BagNet77(padding="same")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"variant must be one of b0, .* got 'b9'"):
        EfficientNet("b9")


@pytest.mark.parametrize(
    ("name", "with_classifier", "dim"),
    [
        ("efficientnet_b0", 5_288_548, 1280),
        ("efficientnet_b1", 7_794_184, 1280),
        ("efficientnet_b2", 9_109_994, 1408),
        ("efficientnet_b3", 12_233_232, 1536),
        ("efficientnet_b4", 19_341_616, 1792),
        ("efficientnet_b5", 30_389_784, 2048),
        ("bagnet77", 20_546_664, 512),
    ],
)
def test_number_of_parameters(name: str, with_classifier: int, dim: int) -> None:
    with torch.device("meta"):
        model = create_model(f"ffnet_{name}")
    count = sum(parameter.numel() for parameter in model.backbone.parameters())
    assert model.dim == dim
    assert count + 1000 * dim + 1000 == with_classifier


def test_multiply_adds_of_bagnet_at_224_pixels() -> None:
    """Published as 18.423 G with its classifier, without our fusion."""
    with torch.device("meta"):
        model = create_model("ffnet_bagnet77")
    outside = model.published_multiply_adds(1, "paper") - 512 * 1000
    assert (count_multiply_adds(model, 224) - outside) // 1_000_000 == 18_423


def test_widths_are_multiples_of_8_that_lose_little() -> None:
    assert [rounded_width(w) for w in (3, 32, 35.2, 19.2, 26.4, 1408)] == [8, 32, 32, 24, 24, 1408]


def test_dropped_rows_keep_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 1, 1)
    dropped = dropped_rows(x, 0.25, is_training=True)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert abs(float(dropped.mean()) - 1) < 0.05
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert torch.equal(dropped_rows(x, 0.25, is_training=False), x)
