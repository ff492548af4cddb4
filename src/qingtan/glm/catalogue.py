"""Models by name: the ones that ship with the package, or a folder on the disk."""

from pathlib import Path

from qingtan.errors import UserError

# Inside an installed package, and beside `src/` in a clone.
_MODEL_FOLDERS = (
    Path(__file__).parents[1] / "models",
    Path(__file__).parents[3] / "models",
)


def find_model(name_or_path: str | Path) -> Path:
    """Return the folder of a model: a built-in name such as "qingtan", or a path.

    Raises:
        UserError: there is neither a built-in model nor a folder of that name.
    """
    # A bare name is the built-in model's even where a folder happens to be called so: write
    # ./name for the folder.
    if name_or_path in built_in_models():
        return next(f / name_or_path for f in _MODEL_FOLDERS if (f / name_or_path).is_dir())
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    names = ", ".join(built_in_models()) or "none"
    raise UserError(f"model {str(name_or_path)!r}: neither a folder nor a built-in model ({names})")


def built_in_models() -> list[str]:
    """Return the names of the models that ship with the package."""
    found = {path.parent.name for folder in _MODEL_FOLDERS for path in folder.glob("*/config.json")}
    return sorted(found)
