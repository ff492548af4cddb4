"""Metrics: how answers are measured."""
