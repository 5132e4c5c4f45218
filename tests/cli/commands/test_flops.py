"""``mgnet-fast flops``: the published tables to the last digit."""

from __future__ import annotations

import json

import pytest

# Multiply-adds of FF-Net and of T = 1, 2, 3, 4 glimpses: paper, tables 1, 2 and 4.
PUBLISHED = {
    "mgnet_toy": (67957707, [3471051, 7010746, 10619085, 14296068]),
    "mgnet_resnet18": (1814675289, [334217049, 669494998, 1005833847, 1343233596]),
    "mgnet_resnet50": (4104173913, [767736153, 1552298710, 2353687671, 3171903036]),
    "mgnet_wide_resnet50_2": (11413010777, [2110175577, 4237177558, 6381005943, 8541660732]),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_json_holds_the_exact_published_counts(command, name: str) -> None:
    classes = 10 if name == "mgnet_toy" else 100
    result = command("flops", name, "--num-classes", classes, "-T", 4, "--json")
    assert result.code == 0
    (entry,) = json.loads(result.out)
    full, glimpses = PUBLISHED[name]
    assert entry["ffnet"] == full
    assert [row["multiply_adds"] for row in entry["glimpses"]] == glimpses
    assert entry["glimpses"][-1]["share_of_ffnet"] == glimpses[-1] / full


def test_table_shows_all_digits_and_what_is_saved(command) -> None:
    result = command("flops", "mgnet_resnet18", "--num-classes", 100)
    assert result.code == 0
    lines = result.out.splitlines()
    (row,) = [line for line in lines if "4 glimpses" in line]
    shown = " ".join(row.split())
    assert shown == "4 glimpses of 96x96 1.343233596 G 74.0 % 1.35x"
    assert "1.814675289 G" in result.out
    assert lines[-1].startswith("next: mgnet-fast demo")
    assert max(map(len, lines)) <= 100


def test_conventions_differ_as_published(command) -> None:
    """Key and value caching saves projections; table 3 counts more operations."""

    def last(convention: str) -> int:
        result = command("flops", "mgnet_toy", "-T", 5, "--convention", convention, "--json")
        return json.loads(result.out)[0]["glimpses"][-1]["multiply_adds"]

    assert last("paper") == 18041695
    assert last("cached") == 17355255
    assert last("table3") > last("paper")


def test_sizes_can_be_chosen(command) -> None:
    result = command(
        "flops", "mgnet_toy", "--image-size", 56, "--glimpse-size", 14, "-T", 1, "--json"
    )
    (entry,) = json.loads(result.out)
    assert (entry["image_size"], entry["glimpse_size"]) == (56, [14, 14])
    assert len(entry["glimpses"]) == 1


def test_a_feed_forward_net_is_its_own_row(command) -> None:
    (entry,) = json.loads(command("flops", "ffnet_toy", "--json").out)
    assert entry["ffnet"] == PUBLISHED["mgnet_toy"][0]
    assert entry["glimpses"] == []


def test_attention_is_compared_with_the_network_without_it(command) -> None:
    (entry,) = json.loads(command("flops", "ltpa_vgg", "--json").out)
    assert (entry["image_size"], entry["glimpse_size"]) == (32, [32, 32])
    # What is added: u and the summed vector through the projection, and two more class heads.
    (row,) = entry["glimpses"]
    assert row["multiply_adds"] - entry["ffnet"] == 2 * 256 * 512 + 2 * 512 * 100
    assert "attention to maps, 32x32" in command("flops", "ltpa_vgg").out
