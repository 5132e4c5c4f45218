"""The Traversal Network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...ops.autocast import without_autocast
from ..network import GlimpseNetwork, HasDtype, Looks, State, sizes_of
from ..shared_folder import SharedAsFolder
from .config import Design, TNetConfig, looks_at
from .crops import Crops, cell_size, chosen_crops, regions, whole_images
from .features import AddedPosition, ClassHead, ConcatenatedPosition
from .located import LocatedBackbone
from .locations import ContextLocations, GatedLocations
from .objective import TNetObjective
from .published import Parts, load_variables, published_variables

_POSITIONS: dict[Design, type[ConcatenatedPosition] | type[AddedPosition]] = {
    "bagnet": ConcatenatedPosition,
    "efficientnet": AddedPosition,
}
_LOCATIONS: dict[Design, type[ContextLocations] | type[GatedLocations]] = {
    "bagnet": ContextLocations,
    "efficientnet": GatedLocations,
}
BASELINE = 0.5  # at the start of training


class TNet(SharedAsFolder, GlimpseNetwork):
    r"""Looks at a whole image, then at its most promising cells, then at cells of those.

    At level l = 0, 1, ..., for every image or crop that is looked at::

        x           = resize(crop, base_size)          # [C, base_size, base_size]
        context, g  = backbone(x)                      # [dim] and location features [C', n, n]
        h           = position(context, row, column, l)  # the feature, [dim]
        p           = softmax(locate(g, context))      # of its n x n cells

    and the k cells with the largest p are the crops of the next level. They are cut from the image
    in its own resolution. The class logits are a linear layer of the mean of all features so far,
    or of their weighted sum.

    Which cells are looked at is decided by top-k, so no gradient of the loss passes through the
    choice; the location module learns by REINFORCE, see :class:`TNetObjective`.

    Args:
        config: all numbers but the backbone's.
        backbone: see :class:`.located.LocatedBackbone`.

    Attributes:
        baseline: b of the loss, a moving average of the reward; part of the state dict.

    Raises:
        TypeError: ``backbone`` gives no location features.

    Source: Papadopoulos, Korus and Memon, "Hard-Attention for Scalable Image Classification"
    (arXiv 2102.10212), section 3.
    """

    backbone: LocatedBackbone
    position: ConcatenatedPosition | AddedPosition
    locate: ContextLocations | GatedLocations
    baseline: Tensor

    def __init__(self, config: TNetConfig, backbone: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.backbone = LocatedBackbone(backbone)
        self.dim = self.backbone.num_features
        self.position = _POSITIONS[config.design](self.dim)
        self.locate = _LOCATIONS[config.design](self.backbone.grid_features, self.dim)
        self.classifier = ClassHead(
            self.dim, config.num_classes, config.weighted_features, config.dropout
        )
        self.register_buffer("baseline", torch.tensor(BASELINE))

    def forward(
        self,
        images: Tensor,
        *,
        num_glimpses: int | None = None,
        locations: int | Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Takes the looks of all levels.

        Args:
            images: [B, C, H, W], of any strides; sizes need not be square. uint8 is divided by 255
                and normalised by the config's mean and std while sampling; floating point is used
                as given.
            num_glimpses: number of levels of this call. Default: all.
            locations: cells to look at in each image or crop, one number for each level but the
                last, instead of the config's. A number alone stands for the first level. 0 ends
                with the level before. At most n * n.

        Returns:
            With L levels, R looks and A cells in all (of every image and crop but those of the last
            level):

            - ``n_logit`` [L, B, K]: class logits after each level. The last is the result.
            - ``n_affparam`` [R, B, 4]: the regions (s_x, s_y, x, y), float64, level by level.
            - ``attended`` [B, A], bool: which cells were looked at.
            - ``probabilities`` [B, A]: of the cells of each image or crop.
            - ``n_feature`` [R, B, dim].
            - in training mode ``n_aux_logit`` [R, B, K], class logits of each feature alone.

            Under autocast only the backbone runs in the lower precision.

        Differentiable in the parameters and in floating-point images, not through the choice of
        the cells.

        Raises:
            TypeError: ``images`` is not a tensor, or has a dtype that no image has.
            ValueError: an argument is out of range, or the images are so small that a cell has
                no pixel.
        """
        looks, counts = self._plan(num_glimpses, locations)
        self.check_images(images)
        device_type = images.device.type
        sizes = sizes_of(images)
        crops = whole_images(sizes)
        scores = images.new_empty(0)
        n_logit, n_affparam, features, attended, probabilities = [], [], [], [], []
        for level in range(len(looks)):
            with without_autocast(device_type):
                if level > 0:
                    chosen = top_cells(scores, counts[level - 1])
                    attended.append(_marked(scores, chosen).flatten(1))
                    probabilities.append(scores.softmax(dim=2).flatten(1))
                    crops = chosen_crops(crops, chosen, self.config.grid, self.config.overlap)
                where = regions(crops, sizes)
                glimpses = self.sample(images, where.flatten(0, 1), _rows(where))
            seen = self.feature(glimpses).to(self.dtype)
            with without_autocast(device_type):
                features.append(self._features(seen, crops, level))
                n_logit.append(self.classifier(torch.cat(features, dim=1)))
                n_affparam.append(where.transpose(0, 1))
                if level < len(self.config.locations):
                    scores = self._scores(seen, where.shape[:2])
        n_feature = torch.cat(features, dim=1).transpose(0, 1)
        nothing = sizes.new_zeros(images.shape[0], 0)
        result = {
            "n_logit": torch.stack(n_logit),
            "n_affparam": torch.cat(n_affparam),
            "n_feature": n_feature,
            "attended": torch.cat(attended or [nothing.bool()], dim=1),
            "probabilities": torch.cat(probabilities or [nothing.to(self.dtype)], dim=1),
        }
        if self.training:
            with without_autocast(device_type):
                result["n_aux_logit"] = self.classifier.one(n_feature)
        return result

    @property
    def looks(self) -> tuple[int, ...]:
        return looks_at(self.config.locations)

    def check_images(self, images: Tensor) -> None:
        """See :class:`GlimpseNetwork`; also that a cell of the last level has a pixel."""
        super().check_images(images)
        height, width = images.shape[-2:]
        smallest = min(height, width)
        for _ in self.config.locations:
            smallest = round(smallest * self.config.overlap)
        if smallest < 1:
            raise ValueError(
                f"images must be large enough that a cell of the last level has a pixel, got "
                f"{height} x {width} with overlap = {self.config.overlap} and "
                f"{len(self.looks)} levels"
            )

    @property
    def bare_backbone(self) -> nn.Module:
        network: nn.Module = self.backbone.network
        return network

    def start(self, sizes: Tensor) -> State:
        """(levels so far [B], H and W [B, 2], features [B, R, dim]; of the newest level: origin and
        cell of its crops [B, r, 2], scores of their cells [B, r, n * n])."""
        count, weight = sizes.shape[0], self.classifier.fc.weight
        most = max(self.looks)
        corners = sizes.new_zeros(count, most, 2)
        return (
            sizes.new_zeros(count),
            sizes,
            weight.new_zeros(count, sum(self.looks), self.dim),
            corners,
            corners,
            weight.new_zeros(count, most, self.config.grid**2),
        )

    def next_looks(self, state: State) -> Looks:
        """The levels of the rows may differ, so each level is asked for its own."""
        shared = self._shared_level(state)
        if shared is not None:
            return self.looks_at_step(state, shared)
        found = []
        for level in range(len(self.looks)):
            rows = (state[0] == level).nonzero()[:, 0]
            region, row = self.looks_at_step(tuple(each[rows] for each in state), level)
            found.append((region, rows[row]))
        region, row = (torch.cat(parts) for parts in zip(*found, strict=True))
        order = row.argsort(stable=True)
        return Looks(region[order], row[order])

    def looks_at_step(self, state: State, step: int) -> Looks:
        where = regions(self._crops(state, step), state[1])
        return Looks(where.flatten(0, 1), _rows(where))

    def take_in(self, state: State, features: Tensor) -> State:
        shared = self._shared_level(state)
        if shared is not None:
            return self.take_in_at_step(state, features, shared)
        level_of_look = state[0].repeat_interleave(self._looks_of(state[0]))
        result = tuple(each.clone() for each in state)
        for level in range(len(self.looks)):
            rows = (state[0] == level).nonzero()[:, 0]
            some = tuple(each[rows] for each in state)
            taken = self.take_in_at_step(some, features[level_of_look == level], level)
            for whole, part in zip(result, taken, strict=True):
                whole[rows] = part
        return result

    def take_in_at_step(self, state: State, features: Tensor, step: int) -> State:
        levels, sizes, known, origin, cell, scores = state
        crops = self._crops(state, step)
        before, count = sum(self.looks[:step]), self.looks[step]
        new = self._features(features, crops, step)
        known = torch.cat([known[:, :before], new, known[:, before + count :]], dim=1)
        if step < len(self.config.locations):
            fresh = self._scores(features, crops.origin.shape[:2])
            scores = torch.cat([fresh, scores[:, count:]], dim=1)
        origin = torch.cat([crops.origin, origin[:, count:]], dim=1)
        cell = torch.cat([crops.cell, cell[:, count:]], dim=1)
        return levels + 1, sizes, known, origin, cell, scores

    def answer(self, state: State) -> Tensor:
        looks = torch.tensor(self.looks, device=state[0].device).cumsum(0)
        logits: Tensor = self.classifier(state[2], looks[state[0] - 1])
        return logits

    def sampling_options(self, images: HasDtype) -> dict[str, Any]:
        """Half-pixel centres, and samples that stay within their crop, as in a resized crop.

        Antialiased glimpses do not stay within it: they also average pixels beside the crop.
        """
        options = super().sampling_options(images) | {"align_corners": False}
        return options if self.antialias else options | {"clamp_to_region": True}

    def load_variables(self, values: Mapping[str, Any]) -> None:
        """Takes over weights of the published code, all of them or none.

        Args:
            values: a NumPy array or tensor for each of its variables, by name and in TensorFlow's
                layouts, such as ``feature_extraction/part1/conv2d/kernel`` [3, 3, 3, 64].

        Raises:
            ValueError: variables are missing, unexpected or of another shape; all are named.
            TypeError: the backbone is not one of the published kinds.
        """
        load_variables(self._published_parts(), values)

    def variable_shapes(self) -> dict[str, tuple[int, ...]]:
        """The names of the variables that :meth:`load_variables` wants, and their shapes.

        Raises:
            TypeError: the backbone is not one of the published kinds.
        """
        named = published_variables(self._published_parts())
        return {name: variable.published_shape for name, variable in named.items()}

    def objective(self, *, label_smoothing: float = 0.0, size_weight: float = 0.0) -> TNetObjective:
        """The paper's loss; ``size_weight`` has no meaning here."""
        return TNetObjective(self.config, self.baseline, label_smoothing)

    def extra_repr(self) -> str:
        return f"base_size={self.config.base_size}, locations={self.config.locations}"

    def _plan(
        self, num_glimpses: int | None, locations: int | Sequence[int] | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Looks at each level, and cells to choose at each but the last."""
        counts = self.config.locations
        if locations is not None:
            counts = self.config.checked_locations(locations)
            if len(counts) > len(self.config.locations):
                raise ValueError(
                    f"locations must have at most {len(self.config.locations)} numbers, one for "
                    f"each level but the last, got {len(counts)}"
                )
        looks = looks_at(counts)
        if num_glimpses is not None:
            steps = self.checked_steps(num_glimpses)
            if steps > len(looks):
                raise ValueError(f"num_glimpses must be at most {len(looks)}, got {steps}")
            looks = looks[:steps]
        return looks, counts

    def _published_parts(self) -> Parts:
        network = self.backbone.network
        return Parts(network, self.position, self.locate, self.classifier, self.baseline)

    def _features(self, seen: Tensor, crops: Crops, level: int) -> Tensor:
        """Features [B, r, dim] of crops, from what the backbone made of them."""
        where = torch.cat([crops.cell, torch.full_like(crops.cell[..., :1], level)], dim=2)
        features: Tensor = self.position(self.backbone.context_of(seen), where.flatten(0, 1))
        return features.view(*where.shape[:2], self.dim)

    def _scores(self, seen: Tensor, shape: torch.Size) -> Tensor:
        """Scores [B, r, n * n] of the cells of crops, from what the backbone made of them."""
        grid = self.backbone.grid_of(seen, self.config.grid)
        scores: Tensor = self.locate(grid, self.backbone.context_of(seen))
        return scores.view(*shape, scores.shape[1])

    def _crops(self, state: State, level: int) -> Crops:
        """The crops that rows at ``level`` look at next."""
        _, sizes, _, origin, cell, scores = state
        if level == 0:
            return whole_images(sizes)
        size = sizes
        for _ in range(level - 1):
            size = cell_size(size, self.config.overlap)
        parents = self.looks[level - 1]
        chosen = top_cells(scores[:, :parents], self.config.locations[level - 1])
        crops = Crops(origin[:, :parents], cell[:, :parents], size)
        return chosen_crops(crops, chosen, self.config.grid, self.config.overlap)

    def _shared_level(self, state: State) -> int | None:
        """The level of all rows, if it is the same and there is one left."""
        levels = state[0].tolist()
        if len(set(levels)) != 1 or levels[0] >= len(self.looks):
            return None
        return int(levels[0])

    def _looks_of(self, levels: Tensor) -> Tensor:
        return torch.tensor(self.looks, device=levels.device)[levels]


def top_cells(scores: Tensor, count: int) -> Tensor:
    """The ``count`` best cells of each crop, ascending: [B, R, n * n] to int64 [B, R, count]."""
    return scores.topk(count, dim=2).indices.sort(dim=2).values


def _marked(scores: Tensor, chosen: Tensor) -> Tensor:
    """bool [B, R, n * n]: True at the chosen cells."""
    return torch.zeros_like(scores, dtype=torch.bool).scatter(2, chosen, True)


def _rows(where: Tensor) -> Tensor:
    """The image of each region of [B, R, 4], int64 [B * R]."""
    rows = torch.arange(where.shape[0], device=where.device)
    return rows[:, None].expand(where.shape[:2]).flatten()
