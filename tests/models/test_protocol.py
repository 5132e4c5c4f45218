"""The protocol of glimpse networks, on its members: MGNet, FF-Net and one made for tests."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch
from support.networks.four_quarters import FourQuarters, QuartersConfig
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import mgnet_fast.models.network
from mgnet_fast import functional
from mgnet_fast.models import GlimpseNetwork, MGNet, create_model, published_forward
from mgnet_fast.models.network import Looks, State, sizes_of

VARIANTS = [
    QuartersConfig(),
    QuartersConfig(one_at_a_time=True),
    QuartersConfig(with_four_numbers=True),
]


def quarters(config: QuartersConfig | None = None) -> FourQuarters:
    torch.manual_seed(0)
    return FourQuarters(config)


def rows_of(state: State, rows: list[int]) -> State:
    return tuple(tensor[rows] for tensor in state)


def steps_of(model: GlimpseNetwork, images: Tensor, state: State) -> State:
    """One step of every row, with the protocol's methods alone."""
    region, row = model.next_looks(state)
    return model.take_in(state, model.backbone(model.sample(images, region, row)))


def test_the_example_in_the_docstring_runs() -> None:
    result = doctest.testmod(mgnet_fast.models.network)
    assert result.attempted > 5
    assert result.failed == 0


@pytest.mark.parametrize("name", ["mgnet_toy", "ffnet_toy"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_methods_of_mgnet_agree_with_its_forward(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = create_model(name).to(dtype).eval()
    images = torch.rand(3, 1, 40, 52, dtype=dtype)
    own, through_protocol = model(images), GlimpseNetwork.forward(model, images)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    for key, value in through_protocol.items():
        torch.testing.assert_close(value, own[key], rtol=0, atol=tolerance)


def test_the_methods_of_mgnet_have_the_gradients_of_its_forward() -> None:
    torch.manual_seed(0)
    model = create_model("mgnet_toy", gradient_scale=0.3).double()
    images = torch.rand(3, 1, 40, 52, dtype=torch.float64)

    def gradients(output: dict[str, Tensor]) -> list[Tensor]:
        loss = output["n_logit"].square().sum() + output["n_affparam"][1:].square().sum()
        parameters = [p for name, p in model.named_parameters() if "glimpse_fc" not in name]
        return list(torch.autograd.grad(loss, parameters))

    own, through_protocol = model(images), GlimpseNetwork.forward(model, images)
    for ours, theirs in zip(gradients(through_protocol), gradients(own), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("make", [lambda: create_model("mgnet_toy"), quarters])
def test_rows_of_a_state_may_be_at_different_steps(make: Any) -> None:
    torch.manual_seed(0)
    model = make().double().eval()
    images = torch.rand(3, 1, 40, 52, dtype=torch.float64)
    expected = model(images)["n_logit"]
    ahead = steps_of(model, images, model.start(sizes_of(images)))
    # Images 1 and 2 have taken a step, image 0 has not.
    mixed = tuple(
        torch.cat([new[:1], old[1:]])
        for new, old in zip(model.start(sizes_of(images)), ahead, strict=True)
    )
    before = [tensor.clone() for tensor in mixed]
    after = steps_of(model, images, mixed)
    assert all(map(torch.equal, mixed, before))  # a step writes into nothing
    logits = model.answer(after)
    torch.testing.assert_close(logits[0], expected[0, 0], rtol=0, atol=1e-10)
    torch.testing.assert_close(logits[1:], expected[1, 1:], rtol=0, atol=1e-10)
    alone = steps_of(model, images[2:], rows_of(ahead, [2]))
    torch.testing.assert_close(model.answer(alone), expected[1, 2:], rtol=0, atol=1e-10)
    assert model.may_stop(after).tolist() == [True] * 3


@pytest.mark.parametrize("config", VARIANTS)
def test_a_network_with_several_looks_a_step(config: QuartersConfig) -> None:
    model = quarters(config).eval()
    images = torch.rand(3, 1, 40, 52)
    output = model(images)
    steps = 5 if config.one_at_a_time else 2
    assert list(output["n_logit"].shape) == [steps, 3, 10]
    assert list(output["n_affparam"].shape) == [5, 3, 4 if config.with_four_numbers else 3]
    regions = [[1.0, 0, 0]] + [[0.5, x, y] for y in (-0.5, 0.5) for x in (-0.5, 0.5)]
    assert output["n_affparam"][:, 1][:, -3:].tolist() == regions
    features = torch.stack(
        [
            model.backbone(functional.glimpse(images, torch.tensor([region]).repeat(3, 1), 14))
            for region in regions
        ]
    )
    expected = model.head(features.mean(0))
    torch.testing.assert_close(output["n_logit"][-1], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        model(images, num_glimpses=1)["n_logit"], output["n_logit"][:1], rtol=0, atol=0
    )
    assert list(model(images[:0])["n_affparam"].shape[:2]) == [5, 0]


def test_the_base_class_normalises_bytes_while_sampling() -> None:
    model = quarters().eval()
    images = torch.randint(0, 256, (2, 1, 40, 52), dtype=torch.uint8)
    expected = model((images / 255 - 0.13) / 0.31)["n_logit"]
    torch.testing.assert_close(model(images)["n_logit"], expected, rtol=0, atol=1e-5)


def test_the_base_class_trains_and_lowers_only_the_backbone() -> None:
    model = quarters().train()
    images = torch.rand(4, 1, 40, 52, requires_grad=True)
    inside: list[torch.dtype] = []
    model.backbone[0].register_forward_hook(lambda module, args, out: inside.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(images)
    assert inside == [torch.bfloat16] * 2
    assert {value.dtype for value in output.values()} == {torch.float32}
    parts = model.objective()(output, torch.arange(4))
    assert parts["loss"] is parts["global"]
    parts["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert images.grad is not None


def test_a_backbone_may_be_run_again_in_the_backward_pass() -> None:
    model = quarters().train()
    images = torch.rand(4, 1, 40, 52)
    runs: list[int] = []
    model.backbone.register_forward_pre_hook(lambda module, args: runs.append(len(args[0])))

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(model(images)["n_logit"].sum(), model.parameters()))

    kept = gradients()
    model.checkpoint_glimpses = True
    runs.clear()
    assert all(map(torch.equal, gradients(), kept))
    assert len(runs) == 4


@pytest.mark.parametrize("config", VARIANTS)
@pytest.mark.parametrize("is_training", [True, False])
def test_the_base_class_compiles_as_one_graph(config: QuartersConfig, is_training: bool) -> None:
    model = quarters(config).train(is_training)
    images = torch.rand(3, 1, 40, 52)
    torch._dynamo.reset()
    compiled: Any = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected = model(images)
    for name, value in compiled(images).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)


NETWORKS = {
    "mgnet_toy": lambda: create_model("mgnet_toy"),
    "ffnet_toy": lambda: create_model("ffnet_toy"),
    "four quarters": quarters,
    "quarters in turn": lambda: quarters(QuartersConfig(one_at_a_time=True)),
}


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_meta_tensors_go_through(name: str, is_training: bool) -> None:
    model = NETWORKS[name]().train(is_training)
    images = torch.rand(3, 1, 40, 52)
    shapes = {key: value.shape for key, value in model(images).items()}
    model.to("meta")
    for given in (images.to("meta"), (images * 255).byte().to("meta")):
        forwards = [model, lambda x: GlimpseNetwork.forward(model, x)]
        if isinstance(model, MGNet):
            forwards.append(lambda x: published_forward(model, x))
        for forward in forwards:
            found = forward(given)
            assert {key: value.shape for key, value in found.items()}.items() <= shapes.items()
            assert {value.device.type for value in found.values()} == {"meta"}


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_fake_tensors_go_through(name: str, is_training: bool) -> None:
    shapes = {k: v.shape for k, v in NETWORKS[name]().train()(torch.rand(3, 1, 40, 52)).items()}
    with FakeTensorMode():
        model = NETWORKS[name]().train(is_training)
        found = [model(torch.rand(3, 1, 40, 52))]
        if isinstance(model, MGNet):
            found.append(published_forward(model, torch.rand(3, 1, 40, 52)))
    for output in found:
        assert {key: value.shape for key, value in output.items()}.items() <= shapes.items()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.rand(2, 1, 40, 52).numpy(), TypeError, "must be a Tensor .*, got ndarray"),
        ([[1.0]], TypeError, "must be a Tensor .*, got list"),
        (torch.rand(1, 40, 52), ValueError, r"must have shape \[B, 1, H, W\], got \[1, 40, 52\]"),
        (
            torch.rand(2, 1, 40, 52).to(torch.complex64),
            TypeError,
            "must be uint8 or .*, got torch.complex64",
        ),
    ],
)
def test_what_is_no_batch_of_images_is_refused(
    name: str, images: Any, error: type[Exception], message: str
) -> None:
    model = NETWORKS[name]()
    with pytest.raises(error, match=f"images {message}"):
        model(images)
    if isinstance(model, MGNet):
        with pytest.raises(error, match=f"images {message}"):
            published_forward(model, images)


@pytest.mark.parametrize("count", [0, 3, 1.0, True])
def test_wrong_numbers_of_steps_are_refused(count: Any) -> None:
    with pytest.raises(ValueError, match="num_glimpses must be"):
        quarters()(torch.rand(2, 1, 40, 52), num_glimpses=count)


def test_inference_tensors_in_a_training_step_are_refused_by_torch() -> None:
    with torch.inference_mode():
        images = torch.rand(2, 1, 40, 52)
        made_inside = [create_model("mgnet_toy"), quarters()]
    for model in (create_model("mgnet_toy"), create_model("ffnet_toy"), *made_inside):
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
            model(images)["n_logit"].sum().backward()


def test_a_call_in_inference_mode_leaves_nothing_that_training_trips_over() -> None:
    images = torch.randint(0, 256, (2, 1, 40, 52), dtype=torch.uint8)
    for model in (create_model("mgnet_toy"), quarters()):
        with torch.inference_mode():
            model(images)
        model(images)["n_logit"].sum().backward()


def test_looks_are_a_pair_of_tensors() -> None:
    region, row = quarters().next_looks(quarters().start(torch.tensor([[40, 52]] * 2)))
    assert Looks(region, row).row.tolist() == [0, 1]
