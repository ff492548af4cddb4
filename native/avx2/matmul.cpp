// The half of the AVX2 table that has to do with weights. It needs AVX2, FMA and F16C.
#include "matmul.h"

#include "../embed.h"
#include "../tables.h"
#include "quantize.h"

namespace qingtan {
namespace {

void matmul(const Weights& weights, const Activations& input, const float* bias, float* out,
            int64_t stride, int64_t begin, int64_t end) {
  switch (weights.format) {
    case Format::f32:
      return matmul_f32_avx2(weights, input, bias, out, stride, begin, end);
    case Format::bf16:
      return matmul_bf16_avx2(weights, input, bias, out, stride, begin, end);
    case Format::q8:
      return matmul_q8_avx2(weights, input, bias, out, stride, begin, end);
    case Format::q4:
      return matmul_q4_avx2(weights, input, bias, out, stride, begin, end);
  }
}

}  // namespace

void fill_matmul_avx2(Kernels& kernels) {
  kernels.quantize = quantize_rows<Pair>;
  kernels.matmul = matmul;
  kernels.embed = embed_row;
}

}  // namespace qingtan
