"""Documents come into bases by jobs, which survive whatever ends the program that works on them."""

from qingtan.knowledge.ingestion.worker import Ingestion, Loaded, load_file
from qingtan.knowledge.store.job_records import Item, Job, Line

__all__ = ["Ingestion", "Item", "Job", "Line", "Loaded", "load_file"]
