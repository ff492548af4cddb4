"""The tasks of the evaluation."""
