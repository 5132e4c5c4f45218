"""Versions, devices and backends: ``python -m mgnet_fast.env``, for bug reports."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

import torch

from . import __version__, log
from .ops.backends import choice, cpu

_PACKAGES = (
    "triton", "numpy", "safetensors", "matplotlib", "rich", "typer", "tensorboard",
    "torchvision", "timm", "kornia", "opencv-python-headless", "onnxruntime", "openvino", "nncf",
)  # fmt: skip


def collect() -> dict[str, Any]:
    """Versions, processor, devices and backends, as plain data."""
    return {
        "mgnet_fast": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu capability of torch": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda of torch": torch.version.cuda,
        # The package metadata of torch omits the build ("+cpu", "+cu130"); the module has it.
        "packages": {"torch": torch.__version__} | {name: _version(name) for name in _PACKAGES},
        "environment": {
            name: os.environ.get(name)
            for name in (choice.ENVIRONMENT_VARIABLE, log.ENVIRONMENT_VARIABLE)
        },
        "extension": cpu.describe(),
        "backends": [vars(backend) for backend in choice.backends()],
    }


def main() -> None:
    """Print the result of :func:`collect`, one fact per line."""
    facts = collect()
    rows = facts.pop("backends")
    packages = facts.pop("packages")
    for name, value in facts.items():
        print(f"{name:24} {_text(value)}")
    print("packages")
    for name, version in packages.items():
        print(f"  {name:22} {version or 'not installed'}")
    print("backends, in the order they are tried")
    for row in rows:
        mark = "yes" if row["available"] else "no"
        print(f"  {row['device']:5} {row['name']:12} {mark:4} {row['reason']}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items() if item) or "none set"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
