"""Matching a student's hidden states to its teacher's, layer by layer (1412.6550, 1909.10351)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLMOutput
from qingtan.training.tables import DistillationTable

DEFAULT_PAIRS = 4
# Keeps a state of zeros finite.
EPS = 1e-6


class HiddenMatching(nn.Module):
    """The distance between the states after pairs of layers, the student's projected linearly.

    The projections have no bias and are drawn from the seed alone: normal, deviation 1/√inputs.

    Raises:
        UserError: `distillation.hidden_layers` names a layer that a model does not have.
    """

    def __init__(
        self, table: DistillationTable, teacher: GLMConfig, student: GLMConfig, seed: int
    ) -> None:
        super().__init__()
        layers = student.num_hidden_layers, teacher.num_hidden_layers
        self.pairs = table.hidden_layers or default_pairs(*layers)
        _check_pairs(self.pairs, *layers)
        self.projections = nn.ModuleList(
            skip_init(nn.Linear, student.hidden_size, teacher.hidden_size, bias=False)
            for _ in self.pairs
        )
        generator = torch.Generator().manual_seed(seed)
        for weight in self.projections.parameters():
            nn.init.normal_(weight, std=student.hidden_size**-0.5, generator=generator)

    def forward(self, student: GLMOutput, teacher: GLMOutput, kept: Tensor) -> Tensor:
        """Return the sum over tokens of the mean over pairs and width of (norm(P·s) − norm(t))².

        Args:
            student: with its layers, (B, T, D) each.
            teacher: with its layers, (B, T, E) each.
            kept: (B, T) bool, the tokens to compare at.

        Returns:
            () float32.
        """
        distances = [
            _normed(projection(student.layers[low - 1][kept]))
            - _normed(teacher.layers[high - 1][kept])
            for projection, (low, high) in zip(self.projections, self.pairs, strict=True)
        ]
        return torch.stack([d.square().mean(-1).sum() for d in distances]).mean()


def default_pairs(student: int, teacher: int) -> tuple[tuple[int, int], ...]:
    """Return pairs of layers, from 1, evenly from the lowest to the last.

    Args:
        student: its number of layers.
        teacher: its number of layers.
    """
    count = min(DEFAULT_PAIRS, student, teacher)
    # Counted down from the last layer, so that a single pair is the two last.
    low, high = (np.linspace(layers, 1, count).round().astype(int) for layers in (student, teacher))
    return tuple(zip(low[::-1].tolist(), high[::-1].tolist(), strict=True))


def _check_pairs(pairs: tuple[tuple[int, int], ...], student: int, teacher: int) -> None:
    for low, high in pairs:
        if low > student or high > teacher:
            raise UserError(
                f"distillation.hidden_layers: [{low}, {high}] does not fit a student of {student} "
                f"layers and a teacher of {teacher}; each pair is a student's layer and a teacher's"
            )


def _normed(x: Tensor) -> Tensor:
    """Bring states (N, D) to unit mean square, in float32."""
    return F.rms_norm(x.float(), x.shape[-1:], eps=EPS)
