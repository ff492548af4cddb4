"""Messages in the user's language."""

import locale
import os


def language() -> str:
    """Return "zh" or "en", from QINGTAN_LANG or else from the locale."""
    chosen = os.environ.get("QINGTAN_LANG")
    if not chosen:
        names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
        chosen = next((name for name in names if name), "") or locale.getlocale()[0] or ""
    return "zh" if chosen.lower().startswith(("zh", "chinese")) else "en"


def tr(english: str, chinese: str) -> str:
    """Return the text in the user's language; both stand side by side where they are used."""
    return chinese if language() == "zh" else english
