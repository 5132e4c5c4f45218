"""The config: what it accepts, what it derives, how it travels."""

from __future__ import annotations

from typing import Any

import pytest

from mgnet_fast.models import MGNetConfig


def test_one_glimpse_forces_alpha_to_zero() -> None:
    config = MGNetConfig(num_glimpses=1, alpha=0.6)
    assert config.alpha == 0.0
    assert not config.has_glimpse_head
    assert not MGNetConfig(alpha=0.0).has_glimpse_head
    assert MGNetConfig(num_glimpses=2).has_glimpse_head


def test_sizes_of_glimpses() -> None:
    assert MGNetConfig(glimpse_size=96).glimpse_shape(224) == (96, 96)
    assert MGNetConfig(glimpse_size=(8, 9)).glimpse_shape((50, 60)) == (8, 9)
    assert MGNetConfig(glimpse_size=None).glimpse_shape((50, 60)) == (50, 60)


@pytest.mark.parametrize(("factor", "side"), [(2.33, 96), (7 / 3, 95), (1.0, 224), (4, 56)])
def test_the_down_factor_is_floored_as_the_published_code_does(factor: float, side: int) -> None:
    config = MGNetConfig(glimpse_size=None, down_factor=factor)
    assert config.glimpse_shape((224, 300)) == (side, side)


def test_an_image_smaller_than_the_down_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="image height must be at least down_factor = 4"):
        MGNetConfig(glimpse_size=None, down_factor=4).glimpse_shape(3)


def test_json_round_trip() -> None:
    config = MGNetConfig(
        num_classes=7,
        glimpse_size=(8, 9),
        mean=(0.1, 0.2, 0.3),
        std=(1, 1, 1),
        scale_range=(0.1, 1),
    )
    assert MGNetConfig.from_json(config.to_json()) == config
    assert hash(MGNetConfig.from_json(config.to_json())) == hash(config)


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "must be a JSON object, got list"), ('{"size": 3}', "'size'")]
)
def test_other_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MGNetConfig.from_json(text)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"num_classes": 0}, ValueError, "num_classes must be at least 1, got 0"),
        ({"num_classes": 2.0}, TypeError, r"num_classes must be an int, got 2\.0"),
        ({"num_glimpses": 0}, ValueError, "num_glimpses must be at least 1"),
        ({"in_chans": True}, TypeError, "in_chans must be an int"),
        ({"glimpse_size": 0}, ValueError, "glimpse_size must be at least 1, got 0"),
        ({"glimpse_size": (3,)}, ValueError, r"glimpse_size must be one int or \(height, width\)"),
        ({"glimpse_size": "96"}, TypeError, "glimpse_size must be an int, got '96'"),
        ({"scale_range": (0.5, 0.2)}, ValueError, "0 < s_min <= s_max <= 1"),
        ({"scale_range": (0.0, 0.2)}, ValueError, "0 < s_min <= s_max <= 1"),
        ({"scale_range": 0.3}, TypeError, "scale_range must be two numbers"),
        ({"alpha": 1.5}, ValueError, r"alpha must lie in \[0, 1\], got 1\.5"),
        ({"gradient_scale": float("nan")}, ValueError, "gradient_scale must be finite"),
        ({"gradient_scale": "x"}, TypeError, "gradient_scale must be a number"),
        ({"stem_pool": 1}, TypeError, "stem_pool must be a bool"),
        ({"glimpse_loss": "both"}, ValueError, "glimpse_loss must be one of"),
        ({"mean": (0.5,)}, ValueError, "mean must have one number for each of in_chans = 3"),
        ({"mean": 0.5}, TypeError, "mean must be a sequence"),
        ({"std": (1, 0, 1)}, ValueError, "std must be positive"),
        ({"down_factor": 2.0}, ValueError, "give glimpse_size or down_factor"),
        ({"down_factor": 0.0, "glimpse_size": None}, ValueError, "down_factor must be positive"),
    ],
)
def test_wrong_values_are_refused_by_name(
    values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MGNetConfig(**values)
