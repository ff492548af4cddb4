"""Numbers as people read them; the exact ones stand in `report.json`."""

import math

NOTHING = "–"  # no number can be given, as for characters a token without tokens


def format_count(value: int) -> str:
    """Return 1234 as 1,234."""
    return f"{value:,}"


def format_size(value: int) -> str:
    """Return a number of bytes to three digits in decimal units, as 12.3 MB."""
    size, unit = float(value), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:  # 999.5 would be rounded to 1000
            break
        size, unit = size / 1000, larger
    decimals = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{size:,.{decimals}f} {unit}"


def format_share(part: float, whole: float) -> str:
    """Return a part of a whole in per cent; only nothing is 0% and only all of it 100%."""
    if whole <= 0:
        return NOTHING
    per_cent = 100 * part / whole
    if 0 < per_cent < 0.1:
        return "<0.1%"
    if 99.9 < per_cent < 100:
        return ">99.9%"
    return f"{per_cent:.0f}%" if per_cent in (0, 100) else f"{per_cent:.1f}%"


def format_ratio(value: float, unit: float) -> str:
    """Return how much of a value comes to one unit, as 1.64."""
    return f"{value / unit:.2f}" if unit > 0 else NOTHING


def format_difference(before: int, after: int) -> str:
    """Return how much was gained or lost, as +12 or −1,234."""
    sign = "+" if after > before else "−" if after < before else ""
    return f"{sign}{abs(after - before):,}"


def format_value(value: float) -> str:
    """Return a measured value to four digits, a whole number in full."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_edge(value: float) -> str:
    """Return a border of a histogram's bin in few characters, as 0.25 or 16k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def compare(value: float, threshold: float) -> str:
    """Return the sign between two numbers."""
    return ">" if value > threshold else "<" if value < threshold else "="
