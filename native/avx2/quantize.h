// Quantizing rows of activations with AVX2. In an unnamed namespace, because the AVX-512 files take
// it too and are compiled with other flags.
#pragma once

#include <immintrin.h>

#include "../kernels.h"

namespace qingtan {
namespace {

// What scales a group: its largest number becomes 127,
struct Single {
  static constexpr float kMost = 127.0f;
  static __m256 size(__m256 absolute) { return absolute; }
};

// or half the largest sum of two neighbours becomes 63.5: so no two of them, rounded, are together
// more than 128.
struct Pair {
  static constexpr float kMost = 63.5f;
  static __m256 size(__m256 absolute) {
    const __m256 half = _mm256_mul_ps(absolute, _mm256_set1_ps(0.5f));
    return _mm256_add_ps(half, _mm256_permute_ps(half, 0b10'11'00'01));
  }
};

inline float largest(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

inline int32_t total(__m256i bytes) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
  const __m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
  sum = _mm_add_epi32(sum, _mm_unpackhi_epi64(sum, sum));
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 1)));
}

inline __m256i rounded(__m256 v, __m256 inverse) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(v, inverse));
}

// Groups of numbers so small that kMost / largest may be infinite become zeros.
template <class Scaled>
void quantize_group(const float* x, int8_t* q, float* scale, int32_t* sum) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 v[4];
  __m256 sizes = _mm256_setzero_ps();
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    sizes = _mm256_max_ps(sizes, Scaled::size(_mm256_andnot_ps(sign, v[i])));
  }
  const float most = largest(sizes);
  const bool zero = most < Scaled::kMost * 0x1p-126f;
  const __m256 inverse = _mm256_set1_ps(zero ? 0.0f : Scaled::kMost / most);
  const __m256i first = _mm256_packs_epi32(rounded(v[0], inverse), rounded(v[1], inverse));
  const __m256i second = _mm256_packs_epi32(rounded(v[2], inverse), rounded(v[3], inverse));
  // Packing works within the halves of a vector: bring the groups of four back into order.
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), bytes);
  *scale = zero ? 0.0f : most / Scaled::kMost;
  *sum = total(bytes);
}

template <class Scaled>
void quantize_rows(const float* x, int64_t k, int64_t begin, int64_t end, int8_t* q, float* scales,
                   int32_t* sums) {
  for (int64_t g = begin * (k / kGroup); g < end * (k / kGroup); ++g) {
    quantize_group<Scaled>(x + g * kGroup, q + g * kGroup, scales + g, sums + g);
  }
}

}  // namespace
}  // namespace qingtan
