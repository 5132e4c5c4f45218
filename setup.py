"""Builds the native extension with CMake and ninja; see pyproject.toml for the rest."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class FreshBuild(build):
    """Builds in a new folder, because build/ of an earlier install may contain other paths or
    outdated files."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.build_base = tempfile.mkdtemp(prefix="mgnet_fast-build-")
        atexit.register(shutil.rmtree, self.build_base, ignore_errors=True)


class CMakeExtension(Extension):
    def __init__(self, name: str) -> None:
        super().__init__(name, sources=[], optional=True)


class CMakeBuild(build_ext):
    """Runs CMake. Without a C++ compiler, the package is installed without the extension."""

    def build_extension(self, ext: Extension) -> None:
        compiler = os.environ.get("CXX") or next(
            filter(shutil.which, ("c++", "g++", "clang++")), None
        )
        if compiler is None or shutil.which(compiler.split()[0]) is None:
            print(
                "\n*** mgnet_fast: no C++ compiler found, installing without the native kernels.\n"
                "*** The reference backend works; install g++ and reinstall for the fast one.\n",
                file=sys.stderr,
            )
            return
        import pybind11

        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = Path(self.build_temp).resolve() / "cmake"
        build.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        configure = [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(build),
            "-G",
            "Ninja",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        ]
        # ninja may live beside the interpreter of an environment that is not activated.
        ninja = shutil.which("ninja") or shutil.which(
            "ninja", path=str(Path(sys.executable).parent)
        )
        if ninja:
            configure.append(f"-DCMAKE_MAKE_PROGRAM={ninja}")
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build), "--target", "_native"], check=True)
        built = next(iter(build.glob(f"_native*{target.suffix}")))
        shutil.copy2(built, target)

    def copy_extensions_to_source(self) -> None:
        # Without a compiler, an in-place or editable build has nothing to copy.
        built = Path(self.build_lib)
        self.extensions = [
            ext for ext in self.extensions if (built / self.get_ext_filename(ext.name)).exists()
        ]
        super().copy_extensions_to_source()


setup(
    packages=[
        *find_packages(include=["mgnet_fast", "mgnet_fast.*"]),
        "mgnet_fast.kernels",
        "mgnet_fast.kernels.filter",
    ],
    package_dir={"mgnet_fast.kernels": "kernels"},
    ext_modules=[CMakeExtension("mgnet_fast._native")],
    cmdclass={"build": FreshBuild, "build_ext": CMakeBuild},
)
