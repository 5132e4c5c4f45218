"""The published algorithm on an MGNet's modules and weights, to compare results and speed with.

It is slow on purpose: it samples with ``affine_grid`` and ``grid_sample``, projects all tokens
again at every step, and runs the localization layer after the last glimpse, too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...functional import rescale_gradient
from .network import MGNet


def published_forward(
    model: MGNet, images: Tensor, *, num_glimpses: int | None = None
) -> dict[str, Tensor]:
    """Computes what ``model(images)`` returns as the published code does, in eager PyTorch.

    Args:
        model: the network, whose modules and weights are used.
        images: as in :meth:`MGNet.forward`; uint8 images are first normalised as a whole.
        num_glimpses: T of this call. Default: the config's.

    Returns:
        The same dict as :meth:`MGNet.forward`, equal up to rounding.

    Raises:
        TypeError, ValueError: as :meth:`MGNet.forward`; also a network that antialiases, which the
            published code cannot.

    Source: paper, sections 3.1 to 3.4.
    """
    steps = model.checked_steps(num_glimpses)
    model.check_images(images)
    if model.antialias:
        raise ValueError("model must not antialias: the published code samples bilinearly")
    images = _normalised(model, images)
    region = images.new_tensor([1.0, 0.0, 0.0]).repeat(images.shape[0], 1)
    n_logit: list[Tensor] = []
    n_affparam: list[Tensor] = []
    n_feature: list[Tensor] = []
    for _ in range(steps):
        n_affparam.append(region)
        n_feature.append(model.backbone(_sampled(model, images, region)))
        fused = _fused(model, n_feature, n_affparam)
        n_logit.append(model.global_fc(fused))
        region = _located(model, fused)
    result = {
        "n_logit": torch.stack(n_logit),
        "n_affparam": torch.stack(n_affparam),
        "n_feature": torch.stack(n_feature),
    }
    classified = n_feature if model.config.glimpse_loss == "paper" else n_feature[1:]
    if model.training and model.glimpse_fc is not None and classified:
        result["n_aux_logit"] = torch.stack([model.glimpse_fc(feature) for feature in classified])
    return result


def _normalised(model: MGNet, images: Tensor) -> Tensor:
    if images.dtype != torch.uint8:
        return images
    images = images.to(model.global_fc.fc.weight.dtype) / 255
    if model.config.mean is not None:
        images = images - images.new_tensor(model.config.mean).view(-1, 1, 1)
    if model.config.std is not None:
        images = images / images.new_tensor(model.config.std).view(-1, 1, 1)
    return images


def _sampled(model: MGNet, images: Tensor, region: Tensor) -> Tensor:
    scale, x, y = region.unbind(dim=1)
    zero = torch.zeros_like(scale)
    rows = [torch.stack([scale, zero, x], dim=1), torch.stack([zero, scale, y], dim=1)]
    size = [*images.shape[:2], *model.glimpse_shape(images)]
    grid = F.affine_grid(torch.stack(rows, dim=1), size, align_corners=True)
    return F.grid_sample(images, grid.type_as(images), align_corners=True)


def _fused(model: MGNet, n_feature: list[Tensor], n_affparam: list[Tensor]) -> Tensor:
    positions = torch.stack(n_affparam).detach()
    tokens = torch.cat([torch.stack(n_feature), positions], dim=2)
    fusion = model.feat_fusion
    attended, _ = fusion.mha(tokens, tokens, tokens, need_weights=False)
    return F.relu(fusion.norm(attended)[-1])


def _located(model: MGNet, fused: Tensor) -> Tensor:
    network = model.loc_network
    probability = rescale_gradient(torch.sigmoid(network.fc(fused)), network.gradient_scale)
    low, high = network.scale_range
    scale = probability[:, :1] * (high - low) + low
    return torch.cat([scale, (2 * probability[:, 1:] - 1) * (1 - scale)], dim=1)
