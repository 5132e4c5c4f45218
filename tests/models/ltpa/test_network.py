"""Networks that attend to their own maps: outputs, files, commands' needs, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mgnet_fast import Engine, create_model, glimpse
from mgnet_fast.models import (
    LTPA,
    GlimpseNetwork,
    count_multiply_adds,
    load_checkpoint,
    save_checkpoint,
)
from mgnet_fast.models.backbones.preact_resnet import PreActResNet

NARROW = {"widths": (2, 3, 4, 5, 6, 6)}


def network(name: str = "ltpa_vgg_small", **fields: Any) -> LTPA:
    torch.manual_seed(0)
    return create_model(name, **(NARROW | fields))


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("attend", "sides"), [("before", (32, 16, 8)), ("after", (16, 8, 4))])
def test_a_vgg_returns_logits_vectors_and_a_map_a_level(attend: Any, sides: Any) -> None:
    output = network(attend=attend).eval()(images(2, 1, 32, 32))
    assert list(output["n_logit"].shape) == [1, 2, 10]
    assert output["n_affparam"].tolist() == [[[1.0, 0, 0]] * 2]
    assert list(output["n_feature"].shape) == [1, 2, 18]
    assert [list(each.shape) for each in output["attention"]] == [[2, s, s] for s in sides]
    for weights in output["attention"]:
        torch.testing.assert_close(weights.sum((1, 2)), torch.ones(2))


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_levels_are_the_last_maps(levels: int) -> None:
    output = network(levels=levels).eval()(images(2, 1, 32, 32))
    assert [each.shape[1] for each in output["attention"]] == [32, 16, 8][3 - levels :]
    assert output["n_feature"].shape[2] == 6 * max(levels, 1)


def test_the_widths_of_the_paper_are_the_default() -> None:
    with torch.device("meta"):
        model = create_model("ltpa_vgg")
    assert [each.local_dim for each in model.backbone.attention] == [256, 512, 512]
    assert [each.project for each in model.backbone.attention] == ["local", None, None]
    assert model.classifier.in_features == 3 * 512
    # 13 convolutions of 3x3 at 32, 16, 8 pixels and 2 at 4 and 2, the last one and the classifier.
    assert count_multiply_adds(model, 32) == 3_786_758_144


def test_independent_heads_average_probabilities() -> None:
    model = network(head="indep").eval()
    output = model(images(2, 1, 32, 32))
    vectors = output["n_feature"][0].split(model.backbone.dims, 1)
    each = [
        head(vector).softmax(1)
        for head, vector in zip(model.classifier.levels, vectors, strict=True)
    ]
    torch.testing.assert_close(output["n_logit"][0].exp(), sum(each) / 3)


@pytest.mark.parametrize(
    ("name", "widths"),
    [("ltpa_resnet18", [128, 256, 512]), ("ltpa_resnet50", [512, 1024, 2048])],
)
@pytest.mark.parametrize("project", ["local", "global"])
def test_residual_networks_attend_to_their_stages(name: str, widths: Any, project: Any) -> None:
    model = create_model(name, project=project, num_classes=7).eval()
    output = model(images(2, 3, 64, 96))
    assert [list(each.shape) for each in output["attention"]] == [[2, 8, 12], [2, 4, 6], [2, 2, 3]]
    dims = widths if project == "global" else [widths[-1]] * 3
    assert list(model.backbone.dims) == dims
    assert list(output["n_logit"].shape) == [1, 2, 7]


def test_the_papers_resnet_attends_to_its_last_two_stages() -> None:
    model = create_model("ltpa_resnet164").eval()
    stages = sum(each.numel() for each in model.backbone.network.stages.parameters())
    # With stem, last norm and a class head for 100: the 1.7 million parameters of the paper.
    assert 432 + stages + 512 + 25_700 == 1_726_388
    output = model(images(2, 3, 32, 32))
    assert [list(each.shape) for each in output["attention"]] == [[2, 16, 16], [2, 8, 8]]
    assert list(output["n_feature"].shape) == [1, 2, 128 + 256]
    with pytest.raises(ValueError, match=r"depth must be 9 n \+ 2, such as 164, got 100"):
        PreActResNet(100)


@pytest.mark.parametrize("head", ["concat", "indep"])
def test_the_engine_and_the_protocol_agree_with_forward(head: Any) -> None:
    model = network(head=head).eval()
    batch = torch.randint(0, 256, (7, 1, 32, 32), dtype=torch.uint8)
    expected = model(batch)
    found = GlimpseNetwork.forward(model, batch)
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-5)
    predictions = Engine(model, slots=3).predict(batch)
    assert [each.glimpses for each in predictions] == [1] * 7
    logits = torch.stack([each.logits for each in predictions])
    torch.testing.assert_close(logits, expected["n_logit"][0], rtol=0, atol=1e-5)


def test_files_keep_everything(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    model = network(score="dp", head="indep", attend="after", levels=2).eval()
    save_checkpoint(model, path)
    loaded = load_checkpoint(path)
    assert type(loaded) is LTPA
    assert loaded.config == model.config
    batch = images(2, 1, 32, 32)
    assert torch.equal(loaded(batch)["n_logit"], model(batch)["n_logit"])


def test_folders_for_the_hub_hold_the_network(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    model = network(levels=1).eval()
    model.save_pretrained(tmp_path)
    shared = LTPA.from_pretrained(tmp_path)
    assert shared.config == model.config
    batch = images(2, 1, 32, 32)
    assert torch.equal(shared(batch)["n_logit"], model(batch)["n_logit"])


def test_training_reaches_every_parameter_and_may_run_the_backbone_twice() -> None:
    model = network(score="dp").train()
    batch, labels = images(6, 1, 32, 32), torch.arange(6)
    parameters = dict(model.named_parameters())

    def gradients() -> list[Tensor]:
        return list(
            torch.autograd.grad(
                model.objective()(model(batch), labels)["loss"], [*parameters.values()]
            )
        )

    kept = gradients()
    assert all(gradient.abs().sum() > 0 for gradient in kept if gradient.dim() > 1)
    model.checkpoint_glimpses = True
    assert all(map(torch.equal, gradients(), kept))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch)
    assert output["n_logit"].dtype == output["attention"][0].dtype == torch.float32


def test_the_network_compiles_as_one_graph() -> None:
    model = network().eval()
    torch._dynamo.reset()
    compiled: Any = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected, found = model(images(2, 1, 32, 32)), compiled(images(2, 1, 32, 32))
    torch.testing.assert_close(found["n_logit"], expected["n_logit"], rtol=0, atol=1e-6)
    torch.testing.assert_close(found["attention"], expected["attention"], rtol=0, atol=1e-6)


def test_meta_tensors_go_through() -> None:
    output = network().to("meta")(images(2, 1, 32, 32).to("meta"))
    assert list(output["n_logit"].shape) == [1, 2, 10]
    assert [each.device.type for each in output["attention"]] == ["meta"] * 3


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("ltpa_vgg", {"levels": 4}, "levels must be at most 3, the number of maps of VGG, got 4"),
        ("ltpa_resnet18", {"levels": 5}, "at most 4, the number of maps of ResNet, got 5"),
        ("ltpa_vgg", {"levels": -1}, "levels must be an int of at least 0, got -1"),
        ("ltpa_vgg", {"levels": True}, "levels must be an int of at least 0, got True"),
        (
            "ltpa_vgg",
            {"glimpse_size": 31},
            "glimpse_size must be at least 32 pixels each way .*, got 31 x 31",
        ),
        ("ltpa_vgg", {"glimpse_size": None}, "glimpse_size must be given for vgg"),
        ("ltpa_vgg", {"score": "sum"}, "score must be one of .*, got 'sum'"),
        ("ltpa_vgg", {"widths": (64, 128)}, r"widths must be 6 ints, got \[64, 128\]"),
        ("ltpa_resnet18", {"attend": "after"}, "attend must be 'before' for resnet18"),
        ("ltpa_toy", {}, "model 'ltpa_toy' is unknown"),
    ],
)
def test_configs_that_no_network_has_are_refused(name: str, fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model(name, **fields)


def test_images_of_another_size_are_sampled() -> None:
    model = network().eval()
    batch = images(2, 1, 64, 50)
    region = torch.tensor([[1.0, 0, 0]] * 2)
    expected = model(glimpse(batch, region, 32))["n_logit"]
    torch.testing.assert_close(model(batch)["n_logit"], expected, rtol=0, atol=1e-6)


def test_a_vgg_of_another_size_and_further_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images must have 32 x 32 pixels, .* got 40 x 52"):
        network().backbone(images(2, 1, 40, 52))
    with pytest.raises(ValueError, match="num_glimpses must be at most 1, got 2"):
        network()(images(2, 1, 32, 32), num_glimpses=2)
