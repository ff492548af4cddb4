"""Floor 5, evaluation: tasks, metrics with their intervals, trivial baselines, and reports."""
