"""Digests of checkpoints, by which what was made of one or said of one knows it again."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from qingtan.errors import UserError
from qingtan.glm.layouts import CONFIG_FILE


def digest_checkpoint(folder: str | Path) -> str:
    """Return the SHA-256, in hexadecimal, of a checkpoint's configuration and tensors.

    It is that of the SHA-256 digests of `config.json` and of all `*.safetensors`, in the order of
    the files' names.

    Raises:
        UserError: the folder has no configuration.
    """
    return _digest([Path(folder) / CONFIG_FILE, *_weights(folder)])


def digest_weights(folder: str | Path) -> str:
    """Return the SHA-256, in hexadecimal, of a checkpoint's tensors as they are stored.

    It is that of the SHA-256 digests of all `*.safetensors`, in the order of the files' names.

    Raises:
        UserError: the folder has none.
    """
    files = _weights(folder)
    if not files:
        raise UserError(f"{folder}: holds no safetensors; give a checkpoint's folder")
    return _digest(files)


def _weights(folder: str | Path) -> list[Path]:
    return sorted(Path(folder).glob("*.safetensors"))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; give a checkpoint's folder") from None
    return digest.hexdigest()
