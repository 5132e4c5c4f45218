"""The runner of networks without a fused step, through the methods of the protocol."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...models.backbones.precision import glimpse_memory_format
from ...models.network import GlimpseNetwork, Looks, State
from .file_images import Images, sampled, sizes_of_images
from .runner import StepInput


class StateRows:
    """The rows of a network's state; a scheduler selects and overwrites them without reading."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tuple(tensors)

    def __getitem__(self, rows: int | slice) -> StateRows:
        """A view of these rows."""
        return StateRows([each[rows] for each in self.tensors])

    def copy_(self, other: StateRows) -> None:
        for each, value in zip(self.tensors, other.tensors, strict=True):
            each.copy_(value)


class StepwiseRunner:
    """Runs the steps of any :class:`GlimpseNetwork` through its methods; see :class:`Runner`.

    If a step takes R > 1 looks, regions are [S, R, 3 or 4]; steps with fewer looks are padded with
    NaN. A row of length 1 starts anew.

    The network is used, not copied; it must be in evaluation mode and float32. ``memory_format`` is
    that of the glimpses, by default that of the backbone's weights; ``glimpse_dtype`` is the dtype
    the backbone takes, by default the network's own.
    """

    def __init__(
        self,
        model: GlimpseNetwork,
        memory_format: torch.memory_format | None = None,
        glimpse_dtype: torch.dtype | None = None,
    ) -> None:
        self.model = model
        self.config = model.config
        self.num_classes: int = model.config.num_classes
        self.looks = model.looks
        self._most_looks = max(self.looks)
        parameter = next(model.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self._glimpse_dtype = glimpse_dtype or model.dtype
        self._memory_format = memory_format or glimpse_memory_format(model.backbone)

    @torch.no_grad()
    def initial_regions(self, count: int) -> Tensor:
        return self._padded(self.model.next_looks(self._unseen(count)), count)

    @torch.no_grad()
    def new_tokens(self, slots: int) -> StateRows:
        return StateRows([each.clone() for each in self._unseen(slots)])

    @torch.no_grad()
    def may_stop(self, tokens: StateRows) -> Tensor:
        """Which rows may leave after the newest step if an exit rule says so: bool [S]."""
        return self.model.may_stop(tokens.tensors)

    @torch.no_grad()
    def step(self, given: StepInput) -> tuple[Tensor, Tensor]:
        images, _, tokens, length, image_index = given
        places = torch.arange(len(length), device=self.device)
        if image_index is not None:
            places = image_index
        fresh = self.model.start(sizes_of_images(images, places))
        state = _chosen(length == 1, fresh, tokens.tensors)
        looks = self.model.next_looks(state)
        glimpses = self._glimpses(images, looks.region, places[looks.row])
        features = self.model.backbone(glimpses)
        state = self.model.take_in(state, features.to(self.model.dtype))
        tokens.copy_(StateRows(state))
        # There may be no next region after the last step, so only unfinished rows are asked.
        unfinished = _chosen(length >= len(self.looks), fresh, state)
        following = self._padded(self.model.next_looks(unfinished), len(length))
        return self.model.answer(state).float(), following

    def _unseen(self, count: int) -> State:
        """The state of images of which nothing is known, not even the size."""
        return self.model.start(torch.ones(count, 2, dtype=torch.int64, device=self.device))

    def _glimpses(self, images: Images, region: Tensor, index: Tensor) -> Tensor:
        # Only networks with their own glimpse size take images of several sizes.
        shape = (images.shape[-2], images.shape[-1]) if isinstance(images, Tensor) else (0, 0)
        options = self.model.sampling_options(images)
        options |= {"dtype": self._glimpse_dtype, "memory_format": self._memory_format}
        size = self.config.glimpse_shape(shape)
        return sampled(images, region, size, index, **options)

    def _padded(self, looks: Looks, rows: int) -> Tensor:
        """Regions [rows, 3 or 4], or [rows, R, 3 or 4] padded with NaN where a row has fewer."""
        region, row = looks.region.float(), looks.row
        if self._most_looks == 1:
            return region
        padded = region.new_full((rows, self._most_looks, region.shape[1]), torch.nan)
        counts = torch.bincount(row, minlength=rows)
        place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
        padded[row, place] = region
        return padded


def _chosen(is_first: Tensor, first: State, second: State) -> State:
    """Select rows of the first or the second."""
    return tuple(
        torch.where(is_first.view(-1, *[1] * (a.dim() - 1)), a, b)
        for a, b in zip(first, second, strict=True)
    )
