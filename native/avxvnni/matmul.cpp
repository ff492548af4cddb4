// The half of the AVX-VNNI table that has to do with weights, for processors that have VNNI without
// AVX-512: products of quantized rows as with AVX-512, in vectors of half the width. All else is
// AVX2's.
#include "../avx2/matmul.h"
#include "../avx2/quantize.h"
#include "../avx2/quantized_tile.h"
#include "../tables.h"

namespace qingtan {
namespace {

// dots[r] += the products of four values of row r with those of each of the weights' rows.
template <class Kind, int R>
void add_quad(const uint8_t* in, const __m256i (&weights)[2], int quad, Dots<R>& dots) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const __m256i row = four(Kind::values(in, r, 4 * quad));
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      dots[r][h] = _mm256_dpbusd_avx_epi32(dots[r][h], weights[h], row);
    }
  }
}

// With 6 rows, 12 dots hide the instruction's latency and leave 4 registers for the weights and
// what is on its way.
struct Q8 : QuantizedKind<Format::q8, 128> {
  static constexpr int kRows = 6;
  static constexpr int kWide = 1;

  template <int R>
  static void dot(const uint8_t* w, const uint8_t* in, Dots<R>& dots) {
    begin_dots<Q8, R>(in, dots);
#pragma GCC unroll 8
    for (int quad = 0; quad < 8; ++quad) {
      const __m256i weights[2] = {bytes(w + 64 * quad), bytes(w + 64 * quad + 32)};
      add_quad<Q8, R>(in, weights, quad, dots);
    }
  }

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    quantized_tile<Q8, R>(tile);
  }
};

struct Q4 : QuantizedKind<Format::q4, 8> {
  static constexpr int kRows = 6;
  static constexpr int kWide = 1;

  template <int R>
  static void dot(const uint8_t* w, const uint8_t* in, Dots<R>& dots) {
    begin_dots<Q4, R>(in, dots);
    const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int quad = 0; quad < 4; ++quad) {
      const __m256i both[2] = {bytes(w + 64 * quad), bytes(w + 64 * quad + 32)};
      const __m256i first[2] = {_mm256_and_si256(both[0], low), _mm256_and_si256(both[1], low)};
      add_quad<Q4, R>(in, first, quad, dots);
      const __m256i second[2] = {_mm256_and_si256(_mm256_srli_epi16(both[0], 4), low),
                                 _mm256_and_si256(_mm256_srli_epi16(both[1], 4), low)};
      add_quad<Q4, R>(in, second, quad + 4, dots);
    }
  }

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    quantized_tile<Q4, R>(tile);
  }
};

void matmul(const Weights& weights, const Activations& input, const float* bias, float* out,
            int64_t stride, int64_t begin, int64_t end) {
  switch (weights.format) {
    case Format::f32:
      return matmul_f32_avx2(weights, input, bias, out, stride, begin, end);
    case Format::bf16:
      return matmul_bf16_avx2(weights, input, bias, out, stride, begin, end);
    case Format::q8:
      return Walk<Q8>(weights, input, bias, out, stride, begin, end).run();
    case Format::q4:
      return Walk<Q4>(weights, input, bias, out, stride, begin, end).run();
  }
}

}  // namespace

void fill_matmul_avxvnni(Kernels& kernels) {
  fill_matmul_avx2(kernels);
  kernels.quantize = quantize_rows<Single>;
  kernels.matmul = matmul;
}

}  // namespace qingtan
