"""What is trained: a model, whole or through an adapter, as it reads a batch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from qingtan.glm.lora import activated
from qingtan.glm.model import GLM, GLMOutput, causal_mask
from qingtan.glm.prefix import PrefixEncoder
from qingtan.training.batches import Batch


class Subject(nn.Module):
    """A model, with its LoRA inside it or a prefix beside it.

    Args:
        model: the model; LoRA layers in it that are active take part.
        prefix: a P-Tuning v2 prefix. Its keys carry no rotation, so what a token sees of it depends
            on its own position: with a prefix each document stands at position 0, and alone.
        mask_documents: hide the documents of a row from each other.

    Attributes:
        model, prefix: as given.
        learned: what an objective learns beside them, so that all that is trained is in one place.
    """

    def __init__(
        self, model: GLM, prefix: PrefixEncoder | None = None, mask_documents: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.prefix = prefix
        self.learned: nn.Module | None = None
        self._mask_documents = mask_documents
        self._has_adapter = True

    def forward(
        self, batch: Batch, *, logits_at: Tensor | slice | None = None, want_layers: bool = False
    ) -> GLMOutput:
        """Run the model on a batch that is on its device.

        Args:
            logits_at: see `GLM.forward`; by default where there is something to predict.
            want_layers: return the stream after each block too.
        """
        prefix = self.prefix() if self.prefix is not None and self._has_adapter else None
        apart = self._mask_documents or prefix is not None
        output: GLMOutput = self.model(
            batch.tokens,
            prefix=prefix,
            mask=document_mask(batch.documents) if apart else None,
            positions=document_positions(batch.documents) if apart else None,
            logits_at=batch.kept if logits_at is None else logits_at,
            want_layers=want_layers,
        )
        return output

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Within it the model is the base that it was at the start."""
        self._has_adapter = False
        try:
            with activated(self.model, None):
                yield
        finally:
            self._has_adapter = True


def document_mask(documents: Tensor) -> Tensor:
    """Return (B, 1, T, T) bool: a token sees itself and what came before in its document.

    Args:
        documents: (B, T) int64, equal numbers are one document.
    """
    same = documents[:, None, :, None] == documents[:, None, None, :]
    return same & causal_mask(documents.shape[1], documents.device)


def document_positions(documents: Tensor) -> Tensor:
    """Return (B, T) int64: each token's place in its document, from 0.

    Args:
        documents: (B, T) int64, equal numbers beside each other are one document.
    """
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - torch.where(begins, places, 0).cummax(1).values
