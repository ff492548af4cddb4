"""The report of a run: `report.html`."""

from qingtan.training.report.write import write_report

__all__ = ["write_report"]
