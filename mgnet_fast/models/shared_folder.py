"""Methods of networks that load and save them; the functions behind them live in ``models/files``.

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
    """Decorator: the function does the work of the method of this name."""

    def enter(function: _Function) -> _Function:
        _functions[method] = function
        return function

    return enter


def provided(method: str, *args: Any, **options: Any) -> Any:
    return _functions[method](*args, **options)


class SharedAsFolder:
    """Mixin: shares networks as folders, on Hugging Face's hub or off it."""

    def save_pretrained(self, directory: str | os.PathLike[str], **options: Any) -> str | None:
        """Writes ``model.safetensors``, ``config.json`` and a model card for Hugging Face's hub.

        Args:
            directory: created if it does not exist.
            **options: of huggingface_hub's ``ModelHubMixin.save_pretrained``: ``push_to_hub=True``
                and ``repo_id`` upload the folder, which requires a login.

        Returns:
            The address of the upload, or None.

        Raises:
            ImportError: huggingface_hub is not installed.
        """
        return provided("save_pretrained", self, directory, **options)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        backbone: nn.Module | str | None = None,
        dim: int | None = None,
        **options: Any,
    ) -> Self:
        """Loads a network from a folder of :meth:`save_pretrained` or from Hugging Face's hub.

        Args:
            source: a folder; or ``OWNER/NAME`` on the hub, which is downloaded (with
                ``HF_HUB_OFFLINE=1``: taken from the cache).
            backbone: the backbone module, if it has no name in this package.
            dim: its number of features, if it has no attribute ``num_features`` or ``dim``.
            **options: of huggingface_hub's ``ModelHubMixin.from_pretrained``, such as ``revision``,
                ``cache_dir``, ``token``, ``local_files_only``.

        Returns:
            The network on the CPU, in evaluation mode.

        Raises:
            ImportError: huggingface_hub is not installed.
            FileNotFoundError: there is no such folder, or no network in it.
            TypeError: ``source`` is not a str or a path.
            ValueError: config and weights do not fit each other.
        """
        return provided("from_pretrained", cls, source, backbone=backbone, dim=dim, **options)
