"""What is in C++: kernels, packed matrices, threads, a paged cache, whole steps, sampling, bm25.

The functions compute on numpy arrays in place and without the interpreter's lock. Every argument is
checked; ValueError names the one that is wrong. What they compute is written in native/kernels.h
and native/model/model.h, how tokens are drawn in native/sampling/, how passages are scored
in native/search/.
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
    best_by_bm25,
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
    "best_by_bm25",
    "draw_all",
    "logprobs",
    "tables",
    "usable_processors",
]
