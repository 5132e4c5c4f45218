"""The raw module called with tensors, and a float64 oracle in plain PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F

DTYPE_CODES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.float16: 2,
    torch.bfloat16: 3,
    torch.uint8: 4,
}


@dataclass
class Call:
    """One glimpse problem; its methods run the native kernels."""

    native: Any
    image: torch.Tensor
    region: torch.Tensor
    size: tuple[int, int]
    image_index: torch.Tensor | None = None
    align_corners: bool = True
    padding_mode: str = "zeros"
    clamp_to_region: bool = False
    scale: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    threads: int = 1
    out_dtype: torch.dtype | None = None
    memory_format: torch.memory_format = torch.contiguous_format
    keep: list[torch.Tensor] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.region.shape[0]

    def plan(self, glimpse: torch.Tensor, /, **groups: Any) -> Any:
        """The plan of a call that writes or reads ``glimpse``; groups replace those made here."""
        image, region = self.image, self.region
        made = {
            "image": (DTYPE_CODES[image.dtype], *image.shape, *image.stride(), 0),
            "region": (DTYPE_CODES[region.dtype], region.shape[1], *region.stride(), self.count),
            "glimpse": (DTYPE_CODES[glimpse.dtype], *self.size, *glimpse.stride()),
            "grid": (
                int(self.align_corners),
                int(self.padding_mode == "border"),
                0,
                int(self.clamp_to_region),
            ),
            "logits": None,
            "gradient": None,
        }
        return self.native.glimpse_plan(*(made | groups).values())

    def addresses(self, glimpse: torch.Tensor) -> tuple[int, ...]:
        index = 0 if self.image_index is None else self.image_index.data_ptr()
        constants = 0
        if self.scale is not None and self.bias is not None:
            self.keep.append(torch.stack([self.scale, self.bias]))
            constants = self.keep[-1].data_ptr()
        addresses = (self.image.data_ptr(), 0, self.region.data_ptr(), index, constants)
        return (*addresses, glimpse.data_ptr())

    def common(self, glimpse: torch.Tensor, /, **groups: Any) -> tuple[Any, ...]:
        return (self.plan(glimpse, **groups), *self.addresses(glimpse))

    def new_glimpse(self) -> torch.Tensor:
        dtype = self.out_dtype
        if dtype is None:
            dtype = torch.float32 if self.image.dtype == torch.uint8 else self.image.dtype
        shape = (self.count, self.image.shape[1], *self.size)
        out = torch.empty(shape, dtype=dtype, memory_format=self.memory_format)
        return out.fill_(float("nan"))  # what is not written must show

    def forward(self) -> torch.Tensor:
        out = self.new_glimpse()
        self.native.glimpse_forward(*self.common(out), self.threads)
        return out

    def backward_region(self, gradient: torch.Tensor) -> torch.Tensor:
        out = torch.full(self.region.shape, float("nan"), dtype=self.region.dtype)
        common = self.common(gradient)
        self.native.glimpse_backward_region(*common, out.data_ptr(), self.threads)
        return out

    def backward_image(self, gradient: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(self.image).fill_(float("nan"))
        common = self.common(gradient, gradient=(DTYPE_CODES[out.dtype], *out.stride()))
        self.native.glimpse_backward_image(*common, out.data_ptr(), self.threads)
        return out

    def reference(self, region: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """The glimpse in float64 by affine_grid and grid_sample."""
        if self.image_index is not None:
            image = image[self.image_index]
        if self.scale is not None and self.bias is not None:
            image = image * self.scale[:, None, None] + self.bias[:, None, None]
        s_x, s_y, x, y = region.unbind(1) if region.shape[1] == 4 else region[:, [0, 0, 1, 2]].T
        zero = torch.zeros_like(x)
        theta = torch.stack([s_x, zero, x, zero, s_y, y], 1).view(-1, 2, 3)
        grid = F.affine_grid(
            theta, (len(region), image.shape[1], *self.size), align_corners=self.align_corners
        )
        if self.clamp_to_region:
            half = torch.stack([s_x, s_y], 1).abs()
            pixel = 1 / torch.tensor(image.shape[:1:-1], dtype=half.dtype)
            centre, reach = torch.stack([x, y], 1), (half - pixel).clamp(min=0)
            low, high = (centre - reach)[:, None, None], (centre + reach)[:, None, None]
            grid = torch.minimum(torch.maximum(grid, low), high)
        return F.grid_sample(
            image, grid, padding_mode=self.padding_mode, align_corners=self.align_corners
        )

    def reference_forward(self) -> torch.Tensor:
        return self.reference(self.region.double(), self.image.double())

    def reference_gradients(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        region = self.region.detach().double().clone().requires_grad_()
        image = self.image.detach().double().clone().requires_grad_()
        self.reference(region, image).backward(gradient.double())
        assert region.grad is not None
        assert image.grad is not None
        return region.grad, image.grad


@pytest.fixture(scope="session")
def native() -> Any:
    return pytest.importorskip(
        "mgnet_fast._native", reason="the native extension is not built here"
    )


@pytest.fixture
def call(native: Any) -> Any:
    def make(*args: Any, **options: Any) -> Call:
        return Call(native, *args, **options)

    return make


@pytest.fixture(params=["avx512", "avx2", "portable"])
def isa(request: pytest.FixtureRequest, native: Any) -> Iterator[str]:
    if request.param not in native.available_isas():
        pytest.skip(f"this processor does not run {request.param}")
    before = native.selected_isa()
    native.select_isa(request.param)
    yield request.param
    native.select_isa(before)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The reference is thousands of tiny calls: waking threads for them takes most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
