"""Names of inputs, URLs, tar shards."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import fsspec
import pytest
from support.tar_shards import write_shard

from mgnet_fast.data.sources import urls
from mgnet_fast.data.sources.ahead import read_ahead
from mgnet_fast.data.sources.listing import find_sources, is_tar
from mgnet_fast.data.sources.tar_shards import check_shard, members

FILES = {f"{n:02}.jpg": bytes([n]) * 700 for n in range(5)}


def test_a_folder_is_its_images_or_else_its_shards(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.jpg", ".hidden.png", "a/s.tar", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_sources([str(tmp_path)]) == (
        [str(tmp_path / "a/c.jpg"), str(tmp_path / "b.png")],
        [],
    )
    for name in ("b.png", "a/c.jpg"):
        (tmp_path / name).unlink()
    assert find_sources([str(tmp_path)]) == ([str(tmp_path / "a/s.tar")], [])
    absent = str(tmp_path / "absent")
    assert find_sources([absent]) == ([], [absent])


def test_a_list_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a b.png\n\ns3://bucket/c.png\nd.tar\n"
    (tmp_path / "list.txt").write_text(text)
    wanted = ["a b.png", "s3://bucket/c.png", "d.tar"]
    assert find_sources([], [str(tmp_path / "list.txt")]) == (wanted, [])
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert find_sources([], ["-"]) == (wanted, [])
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"list\.txt must be a text file of paths in UTF-8"):
        find_sources([], [str(tmp_path / "list.txt")])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a/b.tar", True),
        ("b.TGZ", True),
        ("s3://x/b.tar.gz", True),
        ("tar://a.png::b.tar", False),
        ("zip://b.tar::c.zip", True),
        ("b.png", False),
    ],
)
def test_names_of_shards(name: str, wanted: bool) -> None:
    assert is_tar(name) is wanted


def test_urls_are_files_patterns_and_folders(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("/urls/b.png", "/urls/a/c.jpg", "/urls/.h.png", "/urls/n.txt"):
        memory.pipe(name, name.encode())
    folder, missing = find_sources(["memory://urls/"])
    assert (folder, missing) == (["memory:///urls/a/c.jpg", "memory:///urls/b.png"], [])
    (tmp_path / "f.png").touch()
    assert find_sources([f"file://{tmp_path}"]) == ([f"file://{tmp_path}/f.png"], [])
    assert find_sources(["memory://urls/*.png"])[0][-1] == "memory:///urls/b.png"
    assert find_sources(["memory://urls/x.png"]) == ([], ["memory://urls/x.png"])
    assert urls.read(folder[1]) == b"/urls/b.png"
    with pytest.raises(FileNotFoundError):
        urls.read("memory://urls/x.png")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("in/a.png", b"1")
    chained = f"zip://in/a.png::{tmp_path / 'z.zip'}"
    assert find_sources([f"zip://**/*.png::{tmp_path / 'z.zip'}"]) == ([chained], [])
    assert urls.read(chained) == b"1"
    with pytest.raises(ValueError, match="nonsense"):
        find_sources(["nonsense://x"])


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "url"])
def test_images_of_a_shard_in_order_from_anywhere(tmp_path: Path, suffix: str) -> None:
    files = {"00.cls": b"7", **FILES, "._02.jpg": b"", "end.json": b"{}"}
    gz = suffix == "tar.gz"
    path = write_shard(tmp_path / f"s.{'tar.gz' if gz else 'tar'}", files, "w:gz" if gz else "w")
    shard = f"file://{path}" if suffix == "url" else str(path)
    assert check_shard(shard) == path.stat().st_size
    found = list(members(shard))
    assert [(each.name, each.data) for each in found] == [
        (f"tar://{name}::{shard}", data) for name, data in FILES.items()
    ]
    assert [each.is_last for each in found] == [False] * 4 + [True]
    assert list(members(shard, 3)) == found[3:]
    assert list(members(shard, 5)) == []
    assert urls.read(found[2].name) == found[2].data  # the name can be opened again


@pytest.mark.parametrize(
    ("kept", "said", "count"),
    [
        (2 * 1536 + 700, "after 3 images", 2),  # within a member
        (2 * 1536, "without the mark of its end.*after 2 images", 2),  # between two members
        (0, "empty file", 0),
    ],
)
def test_a_cut_shard_is_noticed_behind_its_images(
    tmp_path: Path, kept: int, said: str, count: int
) -> None:
    path = write_shard(tmp_path / "s.tar", FILES)
    path.write_bytes(path.read_bytes()[:kept])
    found = members(str(path))
    for number in range(count):
        assert next(found).data == FILES[f"{number:02}.jpg"]
    with pytest.raises(ValueError, match=said):
        next(found)


def test_what_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_text("hello" * 1000)
    with pytest.raises(ValueError, match="invalid header"):
        check_shard(str(tmp_path / "s.tar"))
    with pytest.raises(FileNotFoundError):
        check_shard(str(tmp_path / "t.tar"))
    write_shard(tmp_path / "u.tar", {"a.txt": b""})
    with pytest.raises(ValueError, match="there is no image in it"):
        list(members(str(tmp_path / "u.tar")))


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_ahead_keeps_the_order_and_the_error(threads: int) -> None:
    found = read_ahead(lambda n: 12 // (n - 9), range(20), threads)
    assert [next(found) for _ in range(9)] == [12 // (n - 9) for n in range(9)]
    with pytest.raises(ZeroDivisionError):
        next(found)
    with pytest.raises(ValueError, match="readers must be at least 1, got 0"):
        next(read_ahead(str, [1], 0))
