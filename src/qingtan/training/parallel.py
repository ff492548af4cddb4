"""Several processes on one run: torchrun starts them, FSDP2 shards the model over them.

Each process holds a part of every tensor of the model, and works on its part of each update's
micro-batches. What is small, adapters and projections, each holds whole. The gradient of an update
is that of one process, so a run may change their number at any checkpoint.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from qingtan.training.subject import Subject

T = TypeVar("T")
# The first process writes checkpoints while the others wait for it.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: this one's number.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and speaks to people."""
        return self.rank == 0

    def share(self, micro_batches: Sequence[T]) -> Sequence[T]:
        """Return this process's part of an update's micro-batches."""
        return micro_batches[self.rank :: self.world]

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums over all processes."""
        if self.world == 1:
            return list(values)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        totals = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(totals)
        return [float(value) for value in totals.tolist()]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            dist.barrier()

    def shard(self, subject: Subject) -> Subject:
        """Shard a subject's model over the processes, each block as a unit; return the subject."""
        if self.world > 1:
            kind = next(subject.parameters()).device.type
            mesh = init_device_mesh(kind, (self.world,))
            whole = {p for n, p in subject.named_parameters() if _is_small(n)}
            for block in subject.model.layers:
                fully_shard(block, mesh=mesh, ignored_params=whole)
            fully_shard(subject, mesh=mesh, ignored_params=whole)
        return subject

    def average_gradients(self, subject: Subject) -> None:
        """Average the gradients of what each process holds whole; FSDP2 has done the rest."""
        if self.world == 1:
            return
        for name, parameter in subject.named_parameters():
            if _is_small(name) and parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= self.world


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun has started; without it there is this one alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), world)
    finally:
        dist.destroy_process_group()


@contextmanager
def whole_root(subject: Subject) -> Iterator[None]:
    """Within it the model of a sharded subject can be called by itself, as generating does.

    Its blocks gather their own weights; what is beside them is gathered here. All processes must
    make the same calls.
    """
    if isinstance(subject, FSDPModule):
        subject.unshard()
        try:
            yield
        finally:
            subject.reshard()
    else:
        yield


def _is_small(name: str) -> bool:
    return not name.startswith("model.") or ".additions." in name


def gather(tensor: Tensor) -> Tensor:
    """Return a tensor whole, on the CPU; all processes must call it for a sharded one."""
    tensor = tensor.detach()
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.cpu().clone()


def scatter_like(whole: Tensor, like: Tensor) -> Tensor:
    """Return a whole tensor on the device of another, sharded as that one is."""
    whole = whole.to(like.device)
    if isinstance(like, DTensor):
        return distribute_tensor(whole, like.device_mesh, like.placements)
    return whole
