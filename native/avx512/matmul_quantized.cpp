// Products of quantized rows with q8 and q4 weights, with AVX-512 VNNI: one instruction multiplies
// the 16 rows of a block by four values each and adds them up, weights unsigned, activations
// signed. Integer sums of a group are exact and the floats are added up in the same way as
// elsewhere: AVX2 and Neon give the same bits.
#include <immintrin.h>

#include "../matmul_walk.h"
#include "matmul.h"

namespace qingtan {
namespace {

__m512i four(const uint8_t* values) {
  int32_t bits;
  std::memcpy(&bits, values, 4);
  return _mm512_set1_epi32(bits);
}

// dots[r] += the products of four values of row r with those of each of the weights' rows.
template <class Kind, int R>
void add_quad(const uint8_t* in, __m512i weights, int quad, __m512i (&dots)[R]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    dots[r] = _mm512_dpbusd_epi32(dots[r], weights, four(Kind::values(in, r, 4 * quad)));
  }
}

template <class Kind, int R>
void quantized_tile(const Tile& tile) {
  const uint8_t* w = tile.weights;
  const uint8_t* in = tile.input;
  __m512 sums[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    sums[r] = tile.fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(tile.out + r * tile.stride);
  }
  Ahead ahead(tile);
  for (int64_t i = 0; i < tile.count; i += kGroup) {
    ahead.template go<Kind::kWeightBytes>(w);
    __m512i dots[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      dots[r] = _mm512_set1_epi32(Kind::template correction<R>(in, r));
    }
    Kind::template dot<R>(w, in, dots);
    const __m256i* halves =
        reinterpret_cast<const __m256i*>(w + Kind::kWeightBytes - 2 * kBlockRows);
    const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256(halves));
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(Kind::template scale<R>(in, r)));
      sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r]), both, sums[r]);
    }
    w += Kind::kWeightBytes;
    in += R * Kind::kInputBytes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    if (tile.bias != nullptr) {
      sums[r] = _mm512_add_ps(sums[r], _mm512_loadu_ps(tile.bias));
    }
    _mm512_storeu_ps(tile.out + r * tile.stride, sums[r]);
  }
}

// With 12 rows, 12 sums and 12 dots leave 8 registers for the weights and what is on its way.
struct Q8 : QuantizedKind<Format::q8, 128> {
  static constexpr int kRows = 12;
  static constexpr int kWide = 1;

  template <int R>
  static void dot(const uint8_t* w, const uint8_t* in, __m512i (&dots)[R]) {
#pragma GCC unroll 8
    for (int quad = 0; quad < 8; ++quad) {
      add_quad<Q8, R>(in, _mm512_loadu_si512(w + 64 * quad), quad, dots);
    }
  }

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    quantized_tile<Q8, R>(tile);
  }
};

struct Q4 : QuantizedKind<Format::q4, 8> {
  static constexpr int kRows = 12;
  static constexpr int kWide = 1;

  template <int R>
  static void dot(const uint8_t* w, const uint8_t* in, __m512i (&dots)[R]) {
    const __m512i low = _mm512_set1_epi8(15);
#pragma GCC unroll 4
    for (int quad = 0; quad < 4; ++quad) {
      const __m512i both = _mm512_loadu_si512(w + 64 * quad);
      add_quad<Q4, R>(in, _mm512_and_si512(both, low), quad, dots);
      add_quad<Q4, R>(in, _mm512_and_si512(_mm512_srli_epi16(both, 4), low), quad + 4, dots);
    }
  }

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    quantized_tile<Q4, R>(tile);
  }
};

}  // namespace

void matmul_q8_avx512(const Weights& weights, const Activations& input, const float* bias,
                      float* out, int64_t stride, int64_t begin, int64_t end) {
  Walk<Q8>(weights, input, bias, out, stride, begin, end).run();
}

void matmul_q4_avx512(const Weights& weights, const Activations& input, const float* bias,
                      float* out, int64_t stride, int64_t begin, int64_t end) {
  Walk<Q4>(weights, input, bias, out, stride, begin, end).run();
}

}  // namespace qingtan
