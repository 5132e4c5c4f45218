"""The package as a whole: its names, what importing costs, which floor imports which."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mgnet_fast

PACKAGE = Path(mgnet_fast.__file__).parent
# Lowest first; each floor may import from itself and from the ones before it.
FLOORS = (
    ("_native", "kernels", "log", "assets", "threads"),
    ("ops",),
    ("functional",),
    ("models",),
    ("data",),
    ("engine",),
    ("training", "evaluation", "export", "pictures", "env", "serving"),
    ("bulk",),
    (
        "ray",
        "demo",
        "engine_speed",
        "engine_peers",
        "side_by_side",
        "large_demo",
        "large_scene",
        "reproduction",
    ),
    ("cli", "__main__"),
)


@pytest.mark.parametrize("name", mgnet_fast.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mgnet_fast, name) is not None
    assert name in dir(mgnet_fast)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'glimps'"):
        _ = mgnet_fast.glimps


def test_importing_is_light() -> None:
    """No CUDA context, no compiler, no torch until a name is used, nothing built."""
    program = (
        "import sys, mgnet_fast\n"
        "assert 'torch' not in sys.modules\n"
        "for name in mgnet_fast.__all__:\n"
        "    getattr(mgnet_fast, name)\n"
        "import torch\n"
        "assert not torch.cuda.is_initialized()\n"
        "unwanted = {'torch._dynamo', 'triton', 'matplotlib', 'torchvision', 'timm', 'typer'}\n"
        "loaded = (unwanted | {'huggingface_hub'}) & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)


@pytest.mark.parametrize(
    ("level", "said"),
    [("debug", "run in the cpu backend"), ("", ""), ("loud", "MGNET_FAST_LOG must be")],
)
def test_the_log_is_asked_for_by_the_environment(level: str, said: str) -> None:
    program = (
        "import torch, mgnet_fast\n"
        "mgnet_fast.glimpse(torch.zeros(1, 1, 8, 8), torch.ones(1, 3), 4)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MGNET_FAST_LOG": level},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said in run.stderr
    assert bool(run.stderr) == bool(said)


def _imported_floors(path: Path) -> set[str]:
    """First names below mgnet_fast that a file imports, relative imports resolved."""
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    package = ["mgnet_fast", *inside[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        full = [*base, *(node.module.split(".") if node.module else [])]
        if full[:1] != ["mgnet_fast"]:
            continue
        targets = [full[1]] if len(full) > 1 else [alias.name for alias in node.names]
        found.update(target for target in targets if not target.startswith("__version"))
    return found


def test_floors_import_only_downwards() -> None:
    height = {name: level for level, floor in enumerate(FLOORS) for name in floor}
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE).with_suffix("").parts
        if inside == ("__init__",):
            continue
        for target in _imported_floors(path):
            assert height[target] <= height[inside[0]], f"{'/'.join(inside)} imports {target}"


def _imported_modules() -> dict[str, set[str]]:
    """The modules of the package that each of them imports, inside functions too."""

    def dotted(path: Path) -> str:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    paths = {dotted(path): path for path in PACKAGE.rglob("*.py")}
    found = {}
    for module, path in paths.items():
        package = module.split(".")[: None if path.name == "__init__.py" else -1]
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*base, *([node.module] if node.module else [])])
                names = {alias.name: f"{source}.{alias.name}" for alias in node.names}
                targets |= {full if full in paths else source for full in names.values()}
        found[module] = (targets & set(paths)) - {module}
    return found


def _circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that import each other, directly or through others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for target in edges[waiting.pop()] - seen:
                seen.add(target)
                waiting.append(target)
        return seen

    beyond = {module: reached(module) for module in edges}
    circles = {
        tuple(sorted(other for other in beyond[module] if module in beyond[other]))
        for module in edges
        if module in beyond[module]
    }
    return [list(circle) for circle in sorted(circles)]


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert _circles(edges) == [["b", "c"]]


def test_no_modules_import_each_other() -> None:
    assert _circles(_imported_modules()) == []


@pytest.mark.parametrize("named", [False, True], ids=["not named", "named in PYTHONPATH"])
def test_python_m_pytest_does_not_put_the_source_tree_first(tmp_path: Path, named: bool) -> None:
    shutil.copy(Path(__file__).resolve().parent.parent / "conftest.py", tmp_path)
    (tmp_path / "shadow.py").touch()
    (tmp_path / "test_it.py").write_text(
        "import importlib.util\n"
        "def test_it():\n"
        f"    assert (importlib.util.find_spec('shadow') is not None) is {named}\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(tmp_path) if named else ""
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "test_it.py"],
        env=environment,
        cwd=tmp_path,
        check=True,
    )


def test_the_installed_package_is_tested() -> None:
    """The folder mgnet_fast/ beside the tests must not shadow the installed package."""
    spec = importlib.util.find_spec("mgnet_fast")
    assert spec is not None
    assert spec.origin is not None
    source_tree = Path(__file__).resolve().parent.parent
    editable = (source_tree / "mgnet_fast" / "__init__.py") == Path(spec.origin).resolve()
    if editable:
        pytest.skip("an editable install, or the source tree on the path: nothing to shadow")
    assert source_tree not in Path(spec.origin).resolve().parents or ".venv" in spec.origin


def test_nothing_is_installed_that_an_earlier_build_left_behind() -> None:
    """`.ci/run` puts a module of this name into build/ before it installs."""
    assert importlib.util.find_spec("mgnet_fast.gone") is None
