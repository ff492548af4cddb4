"""The report of a corpus: `report.json` for programs, `report.html` for people."""

from qingtan.corpus.report.write import write_report

__all__ = ["write_report"]
