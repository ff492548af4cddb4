// The matrix products of this folder's files; matmul.cpp puts them into the table.
#pragma once

#include "../kernels.h"

namespace qingtan {

void matmul_f32_avx512(const Weights& weights, const Activations& input, const float* bias,
                       float* out, int64_t stride, int64_t begin, int64_t end);
void matmul_bf16_avx512(const Weights& weights, const Activations& input, const float* bias,
                        float* out, int64_t stride, int64_t begin, int64_t end);

// With activations rounded to bf16, twice as fast; only for processors that have AVX512_BF16.
void matmul_bf16_dot_avx512(const Weights& weights, const Activations& input, const float* bias,
                            float* out, int64_t stride, int64_t begin, int64_t end);

void matmul_q8_avx512(const Weights& weights, const Activations& input, const float* bias,
                      float* out, int64_t stride, int64_t begin, int64_t end);
void matmul_q4_avx512(const Weights& weights, const Activations& input, const float* bias,
                      float* out, int64_t stride, int64_t begin, int64_t end);

}  // namespace qingtan
