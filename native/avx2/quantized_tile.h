// What quantized tiles have in common that keep a block's 16 rows in two vectors of 256 bits; a Kind
// has, beside what matmul_walk.h asks for, template <int R> static void dot(w, in, Dots<R>&): the
// integer sums of a group. In an unnamed namespace, as there.
#pragma once

#include <immintrin.h>

#include "../matmul_walk.h"

namespace qingtan {
namespace {

inline __m256i four(const uint8_t* values) {
  int32_t bits;
  std::memcpy(&bits, values, 4);
  return _mm256_set1_epi32(bits);
}

inline __m256i bytes(const uint8_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

inline __m256 half_floats(const uint8_t* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

// Sums of R rows, in two vectors of 8 weights' rows.
template <int R>
using Sums = __m256[R][2];
template <int R>
using Dots = __m256i[R][2];

// Sums start from the corrections.
template <class Kind, int R>
void begin_dots(const uint8_t* in, Dots<R>& dots) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    dots[r][0] = dots[r][1] = _mm256_set1_epi32(Kind::template correction<R>(in, r));
  }
}

template <class Kind, int R>
void add_group(const uint8_t* w, const uint8_t* in, const Dots<R>& dots, Sums<R>& sums) {
  const uint8_t* halves = w + Kind::kWeightBytes - 2 * kBlockRows;
  const __m256 scale[2] = {half_floats(halves), half_floats(halves + 16)};
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const __m256 row_scale = _mm256_set1_ps(Kind::template scale<R>(in, r));
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const __m256 both = _mm256_mul_ps(scale[h], row_scale);
      sums[r][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r][h]), both, sums[r][h]);
    }
  }
}

template <class Kind, int R>
void quantized_tile(const Tile& tile) {
  const uint8_t* w = tile.weights;
  const uint8_t* in = tile.input;
  Sums<R> sums;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const float* out = tile.out + r * tile.stride + h * 8;
      sums[r][h] = tile.fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(out);
    }
  }
  Ahead ahead(tile);
  for (int64_t i = 0; i < tile.count; i += kGroup) {
    ahead.template go<Kind::kWeightBytes>(w);
    Dots<R> dots;
    Kind::template dot<R>(w, in, dots);
    add_group<Kind, R>(w, in, dots, sums);
    w += Kind::kWeightBytes;
    in += R * Kind::kInputBytes;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      if (tile.bias != nullptr) {
        sums[r][h] = _mm256_add_ps(sums[r][h], _mm256_loadu_ps(tile.bias + h * 8));
      }
      _mm256_storeu_ps(tile.out + r * tile.stride + h * 8, sums[r][h]);
    }
  }
}

}  // namespace
}  // namespace qingtan
