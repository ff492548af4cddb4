// Products of quantized rows with q8 and q4 weights, with AVX2.
//
// One instruction multiplies unsigned by signed bytes and adds pairs up in 16 bits.
//
// q4: weights are left from 0 to 15, so that 16 products fit in 16 bits (16 · 15 · 128 = 30720): all
// of a group is added up there, and widened once.
// q8: weights are left from 0 to 255. Two products fit because two neighbours among the activations
// are never more than 128 together (255 · 128 = 32640): AVX2 alone quantizes them so, see quantize.h.
// That costs little, for the two largest numbers of a group are seldom neighbours, and saves a third
// of the time that 16 bits on both sides take.
#include "matmul.h"
#include "quantized_tile.h"

namespace qingtan {
namespace {

// Keeps a sum in its register as it is now. Left alone, compilers regroup the additions of integers
// into trees, whose leaves do not fit into the registers.
void hold(__m256i& sum) {
#if defined(__GNUC__)
  __asm__("" : "+x"(sum));
#endif
}

struct Q8 : QuantizedKind<Format::q8, 128> {
  static constexpr int kRows = 4;
  static constexpr int kWide = 1;

  template <int R>
  static void dot(const uint8_t* w, const uint8_t* in, Dots<R>& dots) {
    const __m256i ones = _mm256_set1_epi16(1);
    begin_dots<Q8, R>(in, dots);
#pragma GCC unroll 8
    for (int quad = 0; quad < 8; ++quad) {
      const __m256i weights[2] = {bytes(w + 64 * quad), bytes(w + 64 * quad + 32)};
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const __m256i row = four(values(in, r, 4 * quad));
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          const __m256i pairs = _mm256_maddubs_epi16(weights[h], row);
          dots[r][h] = _mm256_add_epi32(dots[r][h], _mm256_madd_epi16(pairs, ones));
          hold(dots[r][h]);
        }
      }
    }
  }

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    quantized_tile<Q8, R>(tile);
  }
};

struct Q4 : QuantizedKind<Format::q4, 8> {
  static constexpr int kRows = 4;
  static constexpr int kWide = 1;

  template <int R>
  static void dot(const uint8_t* w, const uint8_t* in, Dots<R>& dots) {
    const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int quad = 0; quad < 4; ++quad) {
      const __m256i both[2] = {bytes(w + 64 * quad), bytes(w + 64 * quad + 32)};
      const __m256i first[2] = {_mm256_and_si256(both[0], low), _mm256_and_si256(both[1], low)};
      add_quad<R>(in, first, quad, dots);
      const __m256i second[2] = {_mm256_and_si256(_mm256_srli_epi16(both[0], 4), low),
                                 _mm256_and_si256(_mm256_srli_epi16(both[1], 4), low)};
      add_quad<R>(in, second, quad + 4, dots);
    }
    widen<R>(in, dots);
  }

  // Add up 16 bits each: a row of weights has two numbers, of the first and second pair of four.
  template <int R>
  static void add_quad(const uint8_t* in, const __m256i (&weights)[2], int quad, Dots<R>& dots) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m256i row = four(values(in, r, 4 * quad));
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m256i pairs = _mm256_maddubs_epi16(weights[h], row);
        dots[r][h] = quad == 0 ? pairs : _mm256_add_epi16(dots[r][h], pairs);
        hold(dots[r][h]);
      }
    }
  }

  template <int R>
  static void widen(const uint8_t* in, Dots<R>& dots) {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m256i correction_of_row = _mm256_set1_epi32(correction<R>(in, r));
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        dots[r][h] = _mm256_add_epi32(_mm256_madd_epi16(dots[r][h], ones), correction_of_row);
      }
    }
  }

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    quantized_tile<Q4, R>(tile);
  }
};

}  // namespace

void matmul_q8_avx2(const Weights& weights, const Activations& input, const float* bias, float* out,
                    int64_t stride, int64_t begin, int64_t end) {
  Walk<Q8>(weights, input, bias, out, stride, begin, end).run();
}

void matmul_q4_avx2(const Weights& weights, const Activations& input, const float* bias, float* out,
                    int64_t stride, int64_t begin, int64_t end) {
  Walk<Q4>(weights, input, bias, out, stride, begin, end).run();
}

}  // namespace qingtan
