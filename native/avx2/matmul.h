// The matrix products of this folder's files; matmul.cpp puts them into the table.
#pragma once

#include "../kernels.h"

namespace qingtan {

void matmul_f32_avx2(const Weights& weights, const Activations& input, const float* bias,
                     float* out, int64_t stride, int64_t begin, int64_t end);
void matmul_bf16_avx2(const Weights& weights, const Activations& input, const float* bias,
                      float* out, int64_t stride, int64_t begin, int64_t end);
void matmul_q8_avx2(const Weights& weights, const Activations& input, const float* bias, float* out,
                    int64_t stride, int64_t begin, int64_t end);
void matmul_q4_avx2(const Weights& weights, const Activations& input, const float* bias, float* out,
                    int64_t stride, int64_t begin, int64_t end);

}  // namespace qingtan
