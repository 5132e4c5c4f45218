"""Features carried to other images by a linear classifier."""

from __future__ import annotations

import pytest
import torch
from support.networks.four_quarters import FourQuarters

from mgnet_fast.assets import digit_paths
from mgnet_fast.data import DATASETS, TranslatedMNIST, read_digits
from mgnet_fast.evaluation.transfer import carried_accuracy, features_of
from mgnet_fast.models import create_model


@pytest.fixture(scope="module")
def scenes() -> TranslatedMNIST:
    return TranslatedMNIST(read_digits(*digit_paths()), **DATASETS["padded-mnist-32"])


def test_features_are_those_of_the_last_step_in_evaluation_mode(scenes: TranslatedMNIST) -> None:
    torch.manual_seed(0)
    model = create_model("ltpa_vgg_small", widths=(2, 2, 3, 3, 4, 4)).train()
    features, labels = features_of(model, scenes, 7, batch_size=3)
    assert model.training
    assert torch.equal(labels, scenes.labels[:7])
    expected = model.eval()(scenes.scenes(torch.arange(7)))["n_feature"][0]
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"count must be in 1\.\.500, the number of .*, got 501"):
        features_of(model, scenes, 501)
    with pytest.raises(ValueError, match="FourQuarters returns no n_feature to carry over"):
        features_of(FourQuarters(), scenes, 2)


def test_a_linear_classifier_learns_from_features_alone(scenes: TranslatedMNIST) -> None:
    torch.manual_seed(0)
    model = create_model("ltpa_vgg_small", widths=(4, 4, 8, 8, 8, 8))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train, test = features_of(model, scenes, 300), features_of(model, scenes, 100)
    share, (low, high) = carried_accuracy(model, scenes, scenes, train_count=300, test_count=100)
    assert low <= share <= high
    assert share > 0.4  # chance is 0.1; these images were learned from
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(train[0][:100], test[0])
