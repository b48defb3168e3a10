"""Several processes that train one network, as `torchrun` starts them: who this one is, and what they tell each other.

The first process (rank 0) writes; all compute. Batches are drawn alike everywhere and dealt out, embeddings are gathered before a loss compares them: so
two processes learn what one would from the whole batch (batch normalization apart, which sees a process's own part).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

__all__ = ["Group", "gather", "join"]


@dataclass(frozen=True, slots=True)
class Group:
    """This process among `size`; `rank` counts from 0."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, places: Any) -> Any:
        """This process's part of a batch: every size-th picture."""
        return places[self.rank :: self.size]

    def agree(self, value: float) -> float:
        """The first process's number, at all."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(tensor, 0)
        return float(tensor[0])

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def join() -> Iterator[Group]:
    """The group that torchrun started this process in (gloo on processors, NCCL on GPUs), left at the end; a group of one without torchrun."""
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield Group()
        return
    began = not distributed.is_initialized()
    if began:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size(), distributed.get_node_local_rank(0))
    finally:
        if began:
            distributed.destroy_process_group()


class _Gather(torch.autograd.Function):
    """Concatenation over processes; the gradient of each part goes back to who gave it, summed over processes."""

    @staticmethod
    def forward(context: Any, x: Any) -> Any:
        parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, x.contiguous())
        context.rows = len(x)
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Any) -> Any:
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        start = distributed.get_rank() * context.rows
        return gradient[start : start + context.rows]


def gather(x: Any) -> Any:
    """(n, …) of each process → (n · size, …) at all, with gradient. Every process must give as many rows.

    DistributedDataParallel *averages* gradients over processes; a loss over gathered rows is computed by each of them, so that its gradient comes back
    summed: sum and average cancel, and parameters get the gradient of the whole batch.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return x
    if x.is_floating_point():
        return _Gather.apply(x)
    parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)
