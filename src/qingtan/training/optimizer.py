"""Optimizers, the learning rate's course, and the average of the weights."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from qingtan.training.parallel import gather, scatter_like
from qingtan.training.tables import OptimizerTable

# The parameters whose updates Muon makes orthogonal: those of the blocks, in `Subject`.
_BLOCKS = "model.layers."


class Optimizer:
    """One or two of torch's optimizers that step together.

    muon: Muon (Jordan 2024) for the blocks' matrices, its updates scaled to the size of AdamW's
    (2502.16982), and AdamW for the rest. adamw: AdamW for all. Weight decay falls on the blocks'
    matrices only.

    Args:
        module: what requires a gradient in it is trained.
        name: "muon" or "adamw".

    Attributes:
        parts: torch's optimizers.
    """

    def __init__(self, module: nn.Module, table: OptimizerTable, name: str) -> None:
        self._table = table
        self._names: dict[Tensor, str] = {
            p: n for n, p in module.named_parameters() if p.requires_grad
        }
        matrices = [p for p, n in self._names.items() if _is_matrix(n, p)]
        others = [p for p, n in self._names.items() if not _is_matrix(n, p)]
        rate, decay = table.learning_rate, table.weight_decay
        groups = [{"params": others, "weight_decay": 0.0}]
        self.parts: list[torch.optim.Optimizer] = []
        if name == "muon" and matrices:
            muon = torch.optim.Muon(
                matrices,
                lr=rate,
                weight_decay=decay,
                momentum=table.momentum,
                adjust_lr_fn="match_rms_adamw",
            )
            self.parts.append(muon)
        else:
            groups.append({"params": matrices, "weight_decay": decay})
        groups = [group for group in groups if group["params"]]
        if groups:
            self.parts.append(torch.optim.AdamW(groups, lr=rate, betas=table.betas, fused=True))

    def step(self, rate_share: float) -> None:
        """Update the weights at a share of the highest learning rate, and clear the gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self._table.learning_rate * rate_share
            part.step()
            part.zero_grad()

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return what `load_state_dict` needs to go on exactly, by the parameters' names.

        Tensors that are sharded over processes are gathered, so all of these must call it.
        """
        states = (item for part in self.parts for item in part.state.items())
        return {
            self._names[parameter]: {key: _gathered(value) for key, value in state.items()}
            for parameter, state in states
        }

    def load_state_dict(self, saved: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up a saved state, whatever the number of processes that saved it."""
        for part in self.parts:
            for group in part.param_groups:
                for parameter in group["params"]:
                    entries = saved.get(self._names[parameter], {})
                    part.state[parameter] = {
                        key: _like(value, parameter) for key, value in entries.items()
                    }


class Average:
    """An exponential moving average of the weights: old · decay + new · (1 − decay).

    At the start it follows the weights sooner, with the decay (1 + n) / (10 + n) after n steps
    where that is less (TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._weights = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._average = {n: p.detach().clone() for n, p in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, numbered from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, weight in self._weights.items():
            self._average[name].lerp_(weight.detach(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the module's weights are the average."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average by the parameters' names, gathered."""
        return {name: gather(tensor) for name, tensor in self._average.items()}

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Take up a saved average."""
        for name, tensor in self._average.items():
            tensor.copy_(scatter_like(saved[name], tensor))

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, weight in self._weights.items():
            trained = weight.detach().clone()
            weight.copy_(self._average[name])
            self._average[name].copy_(trained)


def rate_share(step: int, steps: int, table: OptimizerTable) -> float:
    """Return the learning rate of a step (from 0) as a share of the highest.

    Linear warm-up; then for wsd constant, and linear down to `final_share` over the last
    `decay_share` of the run (2405.18392), for cosine half a cosine down to it (1608.03983).
    """
    rise = min(1.0, (step + 1) / (table.warmup_steps + 1))
    if table.schedule == "cosine":
        warm = min(table.warmup_steps, steps - 1)
        passed = max(0.0, (step - warm) / (steps - warm))
        left = (1 + math.cos(math.pi * passed)) / 2
    else:
        left = min(1.0, (steps - step) / max(1.0, table.decay_share * steps))
    return rise * (table.final_share + (1 - table.final_share) * left)


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.dim() == 2 and name.startswith(_BLOCKS)


def _gathered(value: Any) -> Any:
    return gather(value) if isinstance(value, Tensor) else value


def _like(value: Any, parameter: Tensor) -> Any:
    """Return a state's tensor on the parameter's device, sharded as it is where it has its shape;
    AdamW's count of steps has not."""
    if not isinstance(value, Tensor):
        return value
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return scatter_like(value, parameter)
