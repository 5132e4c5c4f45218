"""Methods of a network that load and save it; the functions behind them live in ``models/files``.

Networks do not import the code that stores them. That code enters its functions here, and
``mgnet_fast.models`` imports it, so the methods work wherever the class can be imported from.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Self, TypeVar

from torch import nn

_Function = TypeVar("_Function", bound=Callable[..., Any])
_functions: dict[str, Callable[..., Any]] = {}


def provides(method: str) -> Callable[[_Function], _Function]:
    """Decorator: the function does the work of the method of this name of :class:`FromFiles`."""

    def enter(function: _Function) -> _Function:
        _functions[method] = function
        return function

    return enter


def _provided(method: str, *args: Any, **options: Any) -> Any:
    return _functions[method](*args, **options)


class FromFiles:
    """Mixin: takes over networks of the published code, and shares networks as folders."""

    @classmethod
    def from_hparams(cls, hparams: Any, backbone: nn.Module, dim: int) -> Self:
        """The network from the published code's own constructor arguments.

        Args:
            hparams: a namespace or mapping with at least ``num_class``, ``n_iter`` and ``scale``.
            backbone: maps [B, C, h, w] to [B, dim].
            dim: features of the backbone.

        Raises:
            ValueError: a name is missing, or asks for an option that this package does not have.
        """
        return _provided("from_hparams", hparams, backbone, dim)

    @classmethod
    def from_reference(cls, module: nn.Module) -> Self:
        """Takes over a live model of the published code: its backbone module and its parameters.

        Parameters are shared, not copied, so an optimiser built on them goes on working.

        Raises:
            ValueError: ``module`` is no such model, or uses an option that this package has not.
        """
        return _provided("from_reference", module)

    def save_pretrained(self, directory: str | os.PathLike[str], **options: Any) -> str | None:
        """Writes ``model.safetensors``, ``config.json`` and a model card for Hugging Face's hub.

        Args:
            directory: made if it does not exist.
            **options: of huggingface_hub's ``ModelHubMixin.save_pretrained``: ``push_to_hub=True``
                and ``repo_id`` upload the folder, for which one must be logged in.

        Returns:
            The address of the upload, None without one.

        Raises:
            ImportError: huggingface_hub is not installed.
        """
        return _provided("save_pretrained", self, directory, **options)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        backbone: nn.Module | str | None = None,
        dim: int | None = None,
        **options: Any,
    ) -> Self:
        """The network in a folder of :meth:`save_pretrained`, or on Hugging Face's hub.

        Args:
            source: a folder, which needs no network; or ``OWNER/NAME``, which is downloaded, or
                taken from the cache alone with ``HF_HUB_OFFLINE=1``.
            backbone: for a network whose backbone has no name in this package: the module.
            dim: its number of features, where it does not say so itself.
            **options: of huggingface_hub's ``ModelHubMixin.from_pretrained``, such as ``revision``,
                ``cache_dir``, ``token``, ``local_files_only``.

        Returns:
            The network on the CPU, in evaluation mode.

        Raises:
            ImportError: huggingface_hub is not installed.
            FileNotFoundError: there is no such folder, or it holds no network.
            ValueError: the files do not fit each other.
        """
        return _provided("from_pretrained", source, backbone=backbone, dim=dim, **options)
