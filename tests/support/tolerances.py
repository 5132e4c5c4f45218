"""How far results and gradients of the ops may be from the float64 reference, by dtype.

Tests of networks, of training and of one float32 way against another have limits beside their code.

``absolute`` is for images of N(0, 1) and gradients of the size said where it is used;
``relative`` is one rounding to the type (half an ulp is 2^-24, 2^-11, 2^-8 of the value).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    absolute: float
    relative: float


OUTPUT = {
    torch.float64: Tolerance(1e-12, 0.0),
    torch.float32: Tolerance(2e-6, 0.0),
    torch.float16: Tolerance(2e-6, 2**-11),
    torch.bfloat16: Tolerance(2e-6, 2**-8),
}
# The same numbers, in units of the root of the summed squares of the terms of a gradient.
GRADIENT = OUTPUT

# The fusion in its folded form against the network's own, by dtype of both, in units of the
# largest element: sums of D products, taken in another order.
FUSION = {torch.float64: 1e-12, torch.float32: 1e-5}

# Published TNets against the stored results of the published code, both in float32; logits in units
# of the largest. The random weights of cub_b1 drive the gates of its last stages with inputs of
# some thousands, which turn a rounding of 1e-7 into 4e-4 of a feature. TensorFlow's own operators,
# put together anew, come within 4e-3 of those logits, this package's within 7e-3 in float32 and
# 1.4e-2 in float64. With smaller weights the two agree to 6e-7.
PUBLISHED_TNET = {"logits": 1e-4, "logits of cub_b1": 2e-2, "probabilities": 1e-5}

# A convolution in float32 with the weights as they are stored, in units of the largest output: sums
# of up to some thousand products of about N(0, 1) / sqrt(count).
CONVOLUTION = 1e-6
# The same by Winograd's algorithm, for tiles of 2 x 2 and 4 x 4 outputs: its sums have terms larger
# than the result. With weights in float16, which are rounded once more after the transform.
TILES = {2: 2e-6, 4: 1e-5}
HALF_TILES = 1e-3
# The same for the features of a backbone of up to 53 convolutions.
BACKBONE = 1e-5


def assert_close(actual: Tensor, expected: Tensor, tolerance: Tolerance, unit: float = 1.0) -> None:
    """NaN exactly where NaN is expected, and everything else within the tolerance."""
    assert actual.shape == expected.shape
    actual = actual.double()
    expected = expected.double()
    assert torch.equal(actual.isnan(), expected.isnan()), "NaN in other places than expected"
    error = (actual - expected).abs().nan_to_num(0.0)
    allowed = tolerance.absolute * unit + tolerance.relative * expected.abs().nan_to_num(0.0)
    worst = int((error - allowed).argmax()) if error.numel() else 0
    assert bool((error <= allowed).all()), (
        f"off by {error.flatten()[worst]:.3g} where {allowed.flatten()[worst]:.3g} is allowed "
        f"(expected {expected.flatten()[worst]:.9g}, got {actual.flatten()[worst]:.9g})"
    )
