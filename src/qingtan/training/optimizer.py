"""Optimizers and the learning rate's course."""

from typing import Any

import torch
from torch import nn

from qingtan.training.recipe import OptimizerTable


class Optimizer:
    """One or two of torch's optimizers that step together.

    muon: Muon (Jordan 2024) for the blocks' matrices, its updates scaled to the size of AdamW's
    (2502.16982), and AdamW for the rest. adamw: AdamW for all. Weight decay falls on the blocks'
    matrices only.
    """

    def __init__(self, model: nn.Module, table: OptimizerTable) -> None:
        self._table = table
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        matrices = [p for n, p in trained if p.dim() == 2 and n.startswith("layers.")]
        others = [p for n, p in trained if not (p.dim() == 2 and n.startswith("layers."))]
        rate, decay = table.learning_rate, table.weight_decay
        groups = [{"params": others, "weight_decay": 0.0}]
        self._parts: list[torch.optim.Optimizer] = []
        if table.name == "muon" and matrices:
            muon = torch.optim.Muon(
                matrices,
                lr=rate,
                weight_decay=decay,
                momentum=table.momentum,
                adjust_lr_fn="match_rms_adamw",
            )
            self._parts.append(muon)
        else:
            groups.append({"params": matrices, "weight_decay": decay})
        self._parts.append(torch.optim.AdamW(groups, lr=rate, betas=table.betas, fused=True))

    def step(self, rate_share: float) -> None:
        """Update the weights at a share of the highest learning rate, and clear the gradients."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self._table.learning_rate * rate_share
            part.step()
            part.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return what `load_state_dict` needs to go on exactly."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Take up a saved state."""
        for part, saved in zip(self._parts, state, strict=True):
            part.load_state_dict(saved)


def rate_share(step: int, steps: int, table: OptimizerTable) -> float:
    """Return the learning rate of a step (from 0) as a share of the highest.

    Linear warm-up, constant, linear down to `final_share` over the last `decay_share` of the run.
    """
    rise = min(1.0, (step + 1) / (table.warmup_steps + 1))
    left = (steps - step) / max(1.0, table.decay_share * steps)
    fall = table.final_share + (1 - table.final_share) * min(1.0, left)
    return rise * fall
