// The half of the AVX-512 table that has to do with weights. It needs AVX512 F, BW, DQ, VL and
// VNNI.
#include "matmul.h"

#include "../avx2/quantize.h"
#include "../embed.h"
#include "../tables.h"

namespace qingtan {
namespace {

// Asked once, when the table is filled. All rows of all calls go the same way, or a row's bits
// would depend on the rows beside it.
bool bf16_dots = false;

void matmul(const Weights& weights, const Activations& input, const float* bias, float* out,
            int64_t stride, int64_t begin, int64_t end) {
  switch (weights.format) {
    case Format::f32:
      return matmul_f32_avx512(weights, input, bias, out, stride, begin, end);
    case Format::bf16:
      return (bf16_dots ? matmul_bf16_dot_avx512 : matmul_bf16_avx512)(weights, input, bias, out,
                                                                       stride, begin, end);
    case Format::q8:
      return matmul_q8_avx512(weights, input, bias, out, stride, begin, end);
    case Format::q4:
      return matmul_q4_avx512(weights, input, bias, out, stride, begin, end);
  }
}

}  // namespace

void fill_matmul_avx512(Kernels& kernels) {
  bf16_dots = __builtin_cpu_supports("avx512bf16") != 0;
  kernels.quantize = quantize_rows<Single>;
  kernels.matmul = matmul;
  kernels.embed = embed_row;
}

}  // namespace qingtan
