"""Features of a network on images it was not trained on, by a linear classifier on top."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mgnet_fast.data.labelled_images import LabelledImages
from mgnet_fast.evaluation.accuracy import wilson_interval
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.network import check_network, evaluation_mode

STEPS = 100
WEIGHT_DECAY = 1e-4


@torch.no_grad()
def features_of(
    model: GlimpseNetwork, images: LabelledImages, count: int, batch_size: int = 100
) -> tuple[Tensor, Tensor]:
    """The last step's ``n_feature`` [count, D] of the first images of epoch 0, and their labels.

    Raises:
        TypeError: ``model`` is not a glimpse network.
        ValueError: there are fewer images, or the network returns no ``n_feature``.
    """
    check_network(model)
    if not 1 <= count <= len(images):
        raise ValueError(f"count must be in 1..{len(images)}, the number of images, got {count}")
    device = next(model.parameters()).device
    starts = range(0, count, batch_size)
    batches = [np.arange(first, min(first + batch_size, count)) for first in starts]
    found, labels = [], []
    with evaluation_mode(model):
        for pixels, classes in images.load(batches):
            output = model(pixels.to(device))
            if "n_feature" not in output:
                raise ValueError(f"{type(model).__name__} returns no n_feature to carry over")
            found.append(output["n_feature"][-1].cpu())
            labels.append(classes)
    return torch.cat(found), torch.cat(labels)


def carried_accuracy(
    model: GlimpseNetwork,
    train: LabelledImages,
    test: LabelledImages,
    *,
    train_count: int,
    test_count: int,
) -> tuple[float, tuple[float, float]]:
    """Accuracy on ``test`` of a linear classifier that learned the features of ``train``.

    The network stays as it is. The features are divided by their spread over ``train``; the
    classifier is multinomial logistic regression with weight decay 1e-4, by 100 steps of L-BFGS
    from zero.

    Args:
        model: a network whose output has ``n_feature`` [T, B, D], such as :class:`LTPA`.
        train, test: epoch 0 of these.
        train_count, test_count: how many images, the first ones.

    Returns:
        The accuracy in [0, 1] and its 95 % Wilson interval.

    Raises:
        TypeError, ValueError: see :func:`features_of`; or the numbers of classes differ.

    Source: Jetley et al., "Learn to pay attention", 2018, section 5, with logistic regression in
    place of their linear support vector machine.
    """
    if train.num_classes != test.num_classes:
        raise ValueError(
            f"test must have {train.num_classes} classes as train has, got {test.num_classes}"
        )
    known, classes = features_of(model, train, train_count)
    asked, wanted = features_of(model, test, test_count)
    centre, spread = known.mean(0), known.std(0).clamp(min=1e-6)
    head = _fitted((known - centre) / spread, classes, train.num_classes)
    right = int((head((asked - centre) / spread).argmax(1) == wanted).sum())
    return right / test_count, wilson_interval(right, test_count)


def _fitted(features: Tensor, labels: Tensor, num_classes: int) -> torch.nn.Linear:
    head = torch.nn.Linear(features.shape[1], num_classes)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(head(features), labels)
        value = value + WEIGHT_DECAY * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return head.requires_grad_(False)
