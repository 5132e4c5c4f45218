"""FGSM and PGD: what they may change, what they leave alone, and an independent library's word."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgnet_fast.assets import digit_paths, toy_checkpoint_path
from mgnet_fast.data import TEST_SEED, TranslatedMNIST, read_digits
from mgnet_fast.evaluation import AttackSettings, fgsm, pgd
from mgnet_fast.evaluation.attacks import attack_steps
from mgnet_fast.models import MGNet, create_model
from mgnet_fast.models.files.checkpoints import load_checkpoint

ULP = 2**-23  # of a float32 pixel next to 1: where x - eps and x + eps are rounded to
MODES = ("paper", "honest", "worst")


@pytest.fixture(scope="module")
def scenes() -> TranslatedMNIST:
    return TranslatedMNIST(read_digits(*digit_paths()), seed=TEST_SEED)


@pytest.fixture
def batch(scenes: TranslatedMNIST) -> tuple[Tensor, Tensor]:
    return scenes.scenes(torch.arange(6)), scenes.labels[:6]


@pytest.fixture
def model() -> MGNet:
    return load_checkpoint(toy_checkpoint_path())


def pixels(model: MGNet, images: Tensor) -> Tensor:
    assert model.config.mean is not None
    assert model.config.std is not None
    return images * model.config.std[0] + model.config.mean[0]


@pytest.mark.parametrize("eps", [4 / 255, 0.3, 0.0])
@pytest.mark.parametrize("mode", MODES)
def test_never_leaves_the_ball_nor_the_range_of_pixels(
    model: MGNet, batch: tuple[Tensor, Tensor], mode: Any, eps: float
) -> None:
    images, labels = batch
    settings = AttackSettings.of_mode(mode, eps=eps, step=eps, steps=3)
    found = pgd(model, images, labels, settings)
    clean = (images / 255.0 - 0.1307) / 0.3081
    if mode == "paper":
        # Rounding of a normalised pixel: at most 8 in magnitude here.
        assert float((found.images - clean).abs().max()) <= eps + 4 * ULP
        assert float(pixels(model, found.images).min()) < 0 or eps == 0
    else:
        seen = pixels(model, found.images)
        assert float((seen - images / 255.0).abs().max()) <= eps + 4 * ULP
        assert float(seen.min()) >= -4 * ULP
        assert float(seen.max()) <= 1 + 4 * ULP
    if eps:
        assert float((found.images - clean).abs().max()) > 0.5 * eps


def test_the_space_of_the_attack_is_clamped_in_normalised_space_too(
    model: MGNet, batch: tuple[Tensor, Tensor]
) -> None:
    found = pgd(model, *batch, AttackSettings.paper(clamp=True, eps=0.5, step=0.5, steps=2))
    seen = pixels(model, found.images)
    assert float(seen.min()) >= -4 * ULP
    assert float(seen.max()) <= 1 + 4 * ULP


def test_what_is_returned_is_what_the_network_says(
    model: MGNet, batch: tuple[Tensor, Tensor]
) -> None:
    found = pgd(model, *batch, AttackSettings.worst(steps=2, restarts=2))
    with torch.no_grad():
        again = model.eval()(found.images)["n_logit"]
    torch.testing.assert_close(found.n_logit, again, rtol=0, atol=1e-5)


def test_same_seed_same_images_whatever_the_batch(
    model: MGNet, batch: tuple[Tensor, Tensor]
) -> None:
    images, labels = batch
    settings = AttackSettings.honest(steps=1, seed=3)
    whole = pgd(model, images, labels, settings)
    assert torch.equal(whole.images, pgd(model, images, labels, settings).images)
    part = next(iter(attack_steps(model, images[4:], labels[4:], settings, first_index=4)))
    start = next(iter(attack_steps(model, images, labels, settings)))
    assert torch.equal(part[1], start[1][4:])
    other = pgd(model, images, labels, AttackSettings.honest(steps=1, seed=4))
    assert not torch.equal(whole.images, other.images)


@pytest.fixture
def half_training(model: MGNet) -> MGNet:
    """A network in training whose backbone is not, with a gradient on one parameter."""
    model.train()
    model.backbone.eval()
    model.global_fc.fc.weight.grad = torch.ones_like(model.global_fc.fc.weight)
    return model


def test_model_is_left_as_it_was(half_training: MGNet, batch: tuple[Tensor, Tensor]) -> None:
    model, (images, labels) = half_training, batch
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    kept = images.clone()
    pgd(model, images, labels, AttackSettings.worst(steps=2))
    fgsm(model, images, labels)
    assert [module.training for module in model.modules()] == modes
    assert model.loc_network.gradient_scale == model.config.gradient_scale
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for name, parameter in model.named_parameters():
        if name == "global_fc.fc.weight":
            assert torch.equal(parameter.grad, torch.ones_like(parameter))
        else:
            assert parameter.grad is None, name
        assert parameter.requires_grad
    assert torch.equal(images, kept)


def test_model_is_restored_after_an_error(model: MGNet, batch: tuple[Tensor, Tensor]) -> None:
    model.train()

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    handle = model.global_fc.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        pgd(model, *batch, AttackSettings.honest(steps=1))
    handle.remove()
    assert model.training
    assert model.loc_network.gradient_scale == model.config.gradient_scale


def test_more_ways_are_never_better_for_the_network(
    model: MGNet, batch: tuple[Tensor, Tensor]
) -> None:
    images, labels = batch
    one, many = (
        nn.functional.cross_entropy(found.n_logit[-1], labels, reduction="none")
        for found in (
            pgd(model, images, labels, AttackSettings.honest(steps=2)),
            pgd(model, images, labels, AttackSettings.honest(steps=2, restarts=3)),
        )
    )
    assert bool((many >= one).all())
    assert bool((many > one).any())


def test_the_gradient_factor_masks_the_path_through_the_region(scenes: TranslatedMNIST) -> None:
    """With two glimpses the gradient is linear in the factor: 98 % of the region's part is gone
    in paper mode, and the honest mode has all of it."""
    model = load_checkpoint(toy_checkpoint_path()).double().eval()
    labels = scenes.labels[:4]
    images = ((scenes.scenes(torch.arange(4)) / 255.0).double() - 0.1307) / 0.3081

    def gradient(factor: float) -> Tensor:
        model.loc_network.gradient_scale = factor
        point = images.clone().requires_grad_()
        logits = model(point, num_glimpses=2)["n_logit"][-1]
        (found,) = torch.autograd.grad(nn.functional.cross_entropy(logits, labels), point)
        return found

    none, paper, honest = gradient(0.0), gradient(model.config.gradient_scale), gradient(1.0)
    through_region = honest - none
    assert float(through_region.norm()) > float(none.norm())
    torch.testing.assert_close(paper - none, 0.02 * through_region, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("mode", MODES)
def test_modes_set_the_factor_that_they_name(
    model: MGNet, batch: tuple[Tensor, Tensor], mode: Any
) -> None:
    """Seen from inside the network while it is attacked."""
    factors = []
    model.loc_network.register_forward_pre_hook(
        lambda module, _: factors.append(module.gradient_scale)
    )
    images, labels = batch
    pgd(model, images[:1], labels[:1], AttackSettings.of_mode(mode, steps=1))
    assert set(factors) == {"paper": {0.02}, "honest": {1.0}, "worst": {1.0, 0.02, 0.0}}[mode]


class LastLogits(nn.Module):
    """The network as other libraries attack it: images to one row of logits."""

    def __init__(self, model: MGNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)["n_logit"][-1]
        return logits


@pytest.mark.parametrize("kind", ["fgsm", "pgd"])
@pytest.mark.parametrize("mode", ["paper", "honest"])
def test_agrees_with_foolbox(scenes: TranslatedMNIST, mode: Any, kind: str) -> None:
    """In float64, where no gradient is so near 0 that its sign hangs on the last bit."""
    foolbox = pytest.importorskip(
        "foolbox", reason="foolbox is not installed (pip install foolbox)"
    )
    model = load_checkpoint(toy_checkpoint_path()).double()
    labels = scenes.labels[:4]
    mean, std = 0.1307, 0.3081
    # With noise: on an even background max pooling has ties, and their gradient goes where the last
    # bit sends it.
    noise = torch.rand(4, 1, 112, 112, generator=torch.Generator().manual_seed(0)).double()
    seen = 0.9 * (scenes.scenes(torch.arange(4)) / 255.0).double() + 0.1 * noise
    normalised = (seen - mean) / std
    settings = AttackSettings.of_mode(mode, steps=4, random_start=False)
    ours = (fgsm if kind == "fgsm" else pgd)(model, normalised, labels, settings)

    theirs = load_checkpoint(toy_checkpoint_path()).double().eval()
    if mode == "honest":
        theirs.loc_network.gradient_scale = 1.0
    constants = {"mean": torch.tensor([mean]).double(), "std": torch.tensor([std]).double()}
    wrapped = foolbox.PyTorchModel(
        LastLogits(theirs).eval(),
        bounds=(0, 1) if mode == "honest" else (-100, 100),
        device="cpu",
        preprocessing={**constants, "axis": -3} if mode == "honest" else None,
    )
    if kind == "fgsm":
        attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    else:
        attack = foolbox.attacks.LinfPGD(abs_stepsize=1 / 255, steps=4, random_start=False)
    start = seen if mode == "honest" else normalised
    found = attack.run(wrapped, start, labels, epsilon=4 / 255)
    if mode == "honest":
        found = (found - mean) / std
    assert float((found - normalised).abs().max()) > 1 / 255
    torch.testing.assert_close(ours.images, found, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"eps": -0.1}, ValueError, "eps must be at least 0 and finite, got -0.1"),
        ({"eps": float("nan")}, ValueError, "eps must be"),
        ({"step": "1"}, TypeError, "step must be a number, got '1'"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 1.5}, TypeError, "steps must be an int, got 1.5"),
        ({"restarts": 0}, ValueError, "restarts must be at least 1, got 0"),
        ({"restarts": 2, "random_start": False}, ValueError, "restarts must be 1 without"),
        ({"space": "bytes"}, ValueError, "space must be one of"),
        ({"gradient_scales": ()}, TypeError, "gradient_scales must be a tuple"),
        ({"gradient_scales": (-1.0,)}, ValueError, "gradient_scales must be at least 0"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AttackSettings.honest(**changes)


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match="mode must be one of paper, honest, worst, got 'kind'"):
        AttackSettings.of_mode("kind")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (torch.zeros(2, 3, 112, 112), torch.zeros(2), ValueError, r"\[B, 1, H, W\], got \[2, 3"),
        (torch.zeros(2, 1, 9, 9).int(), torch.zeros(2), TypeError, "images must be uint8 or"),
        (torch.zeros(2, 1, 112, 112), torch.zeros(2), TypeError, "labels must be int64"),
        (torch.zeros(2, 1, 112, 112), torch.zeros(3).long(), ValueError, r"shape \[2\], got \[3"),
        (torch.zeros(1, 1, 112, 112), torch.tensor([10]), ValueError, r"in 0..9, got 10..10"),
        (torch.full((1, 1, 99, 99), 9.0), torch.tensor([1]), ValueError, r"in \[0, 1\] once"),
    ],
)
def test_wrong_images(images: Tensor, labels: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pgd(create_model("mgnet_toy"), images, labels)
