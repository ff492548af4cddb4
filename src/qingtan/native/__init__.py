"""Kernels and the model in C++: packed matrices, threads, a paged cache, whole steps, and sampling.

The functions compute on numpy arrays in place and without the interpreter's lock. Every argument is
checked; ValueError names the one that is wrong. What they compute is written in native/kernels.h
and native/model/model.h, how tokens are drawn in native/sampling/.
"""

from qingtan.native._native import (
    Cache,
    Kernels,
    Layer,
    Matrix,
    Model,
    Pool,
    Sampler,
    best,
    draw_all,
    logprobs,
    tables,
    usable_processors,
)

__all__ = [
    "Cache",
    "Kernels",
    "Layer",
    "Matrix",
    "Model",
    "Pool",
    "Sampler",
    "best",
    "draw_all",
    "logprobs",
    "tables",
    "usable_processors",
]
