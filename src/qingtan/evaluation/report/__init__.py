"""The reports of an evaluation: a page, Markdown, and the section of a model's card."""

from qingtan.evaluation.report.markdown import render_evaluation
from qingtan.evaluation.report.write import write_reports

__all__ = ["render_evaluation", "write_reports"]
