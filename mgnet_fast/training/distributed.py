"""The processes of a run, as torchrun describes them in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Workers:
    """This process among those that train together.

    Attributes:
        rank: of this process; process 0 logs and saves.
        world_size: number of processes; 1 without torchrun.
        local_rank: index of this process on its machine, which selects its GPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def barrier(self) -> None:
        if self.world_size > 1:
            dist.barrier()

    def gathered(self, value: Any) -> list[Any]:
        """The value of each process, in the order of the ranks; any object that pickle takes."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        # Always through gloo: nccl can only send tensors on GPUs.
        dist.all_gather_object(values, value, group=dist.new_group(backend="gloo"))
        return values


def device_for(device: str, workers: Workers) -> torch.device:
    """The device of this process; "cuda" under torchrun means the GPU of its local rank.

    Raises:
        ValueError: the device is unknown or not available.
    """
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'device must be one such as "cpu" or "cuda:0", got {device!r}') from error
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"device must be available, got {device!r}: torch finds no CUDA GPU")
        if chosen.index is None:
            chosen = torch.device("cuda", workers.local_rank)
        if chosen.index >= torch.cuda.device_count():
            raise ValueError(
                f"device must be one of {torch.cuda.device_count()} GPUs, got {chosen}"
            )
    return chosen


@contextmanager
def joined_workers(device: str) -> Iterator[Workers]:
    """Joins the process group if torchrun started this process, and leaves it at the end.

    A process group that exists already is used and not destroyed. Processes communicate through
    gloo on the CPU and nccl on GPUs.
    """
    if dist.is_available() and dist.is_initialized():
        yield Workers(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", 0)))
        return
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Workers()
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Workers(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", 0)))
    finally:
        dist.destroy_process_group()
