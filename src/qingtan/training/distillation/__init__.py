"""Distillation: learning from a teacher's distribution, or from its answers."""
