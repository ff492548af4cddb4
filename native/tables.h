// The halves from which the tables of kernels are put together. Each instruction set has its own
// folder, whose files alone are compiled with its flags: nothing of it may run before dispatch.cpp
// has seen that the processor has it.
#pragma once

#include "kernels.h"

namespace qingtan {

// quantize, matmul, embed.
void fill_matmul_portable(Kernels& kernels);
void fill_matmul_avx2(Kernels& kernels);
void fill_matmul_avxvnni(Kernels& kernels);
void fill_matmul_avx512(Kernels& kernels);
void fill_matmul_neon(Kernels& kernels);

// rms_norm, add, silu_mul, rotate, store, attention.
void fill_rest_portable(Kernels& kernels);
void fill_rest_avx2(Kernels& kernels);
void fill_rest_avx512(Kernels& kernels);
void fill_rest_neon(Kernels& kernels);

}  // namespace qingtan
