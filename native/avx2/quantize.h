// Quantizing rows of activations with AVX2. In an unnamed namespace, because the AVX-512 files take
// it too and are compiled with other flags.
#pragma once

#include <immintrin.h>

#include "../kernels.h"

namespace qingtan {
namespace {

// Groups whose largest number is smaller become zeros: 127 / max may be infinite.
constexpr float kSmallestMax = 127.0f * 0x1p-126f;

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

inline void quantize_group(const float* x, int8_t* q, float* scale, int32_t* sum) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 v[4];
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
  }
  const __m256 low = _mm256_max_ps(_mm256_andnot_ps(sign, v[0]), _mm256_andnot_ps(sign, v[1]));
  const __m256 high = _mm256_max_ps(_mm256_andnot_ps(sign, v[2]), _mm256_andnot_ps(sign, v[3]));
  const float most = largest(_mm256_max_ps(low, high));
  const bool zero = most < kSmallestMax;
  const __m256 inverse = _mm256_set1_ps(zero ? 0.0f : 127.0f / most);
  const __m256i first = _mm256_packs_epi32(rounded(v[0], inverse), rounded(v[1], inverse));
  const __m256i second = _mm256_packs_epi32(rounded(v[2], inverse), rounded(v[3], inverse));
  // Packing works within the halves of a vector: bring the groups of four back into order.
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), bytes);
  *scale = zero ? 0.0f : most / 127.0f;
  *sum = total(bytes);
}

inline void quantize_rows(const float* x, int64_t k, int64_t begin, int64_t end, int8_t* q,
                          float* scales, int32_t* sums) {
  for (int64_t g = begin * (k / kGroup); g < end * (k / kGroup); ++g) {
    quantize_group(x + g * kGroup, q + g * kGroup, scales + g, sums + g);
  }
}

}  // namespace
}  // namespace qingtan
