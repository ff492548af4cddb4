// Vectors of 8 floats: what native/rest needs of an instruction set, for AVX2 with FMA and F16C.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "../rest/transpose.h"

namespace qingtan {
namespace {

struct Avx2 {
  using Floats = __m256;
  using Halves = __m256i;
  static constexpr int kWidth = 8;
  // 3 queries × 4 vectors of sums, 3 broadcast numbers and a vector: all 16 registers.
  static constexpr int kQueries = 3;
  // So many queries make floats of halves while they multiply.
  static constexpr int kHalfQueries = 6;
  // So many of bytes.
  static constexpr int kByteQueries = 6;

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats set(float x) { return _mm256_set1_ps(x); }
  static Floats load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  // b where one of the two is not a number.
  static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }

  // a where x ≥ 0, else b.
  static Floats choose(Floats x, Floats a, Floats b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, zero(), _CMP_GE_OQ));
  }

  // The low 9 bits as a float's exponent.
  static Floats power(Floats shifted) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
  }

  // The largest of all, in every place.
  static Floats max_all(Floats x) {
    x = _mm256_max_ps(x, _mm256_permute2f128_ps(x, x, 1));
    x = _mm256_max_ps(x, _mm256_permute_ps(x, 0x4E));
    return _mm256_max_ps(x, _mm256_permute_ps(x, 0xB1));
  }

  static float sum_all(Floats x) {
    x = _mm256_add_ps(x, _mm256_permute2f128_ps(x, x, 1));
    x = _mm256_add_ps(x, _mm256_permute_ps(x, 0x4E));
    return _mm256_cvtss_f32(_mm256_add_ps(x, _mm256_permute_ps(x, 0xB1)));
  }

  static float first(Floats x) { return _mm256_cvtss_f32(x); }

  // (c0, c0, c1, c1, …) of 4 numbers.
  static Floats load_twice(const float* p) {
    const __m256 x = _mm256_castps128_ps256(_mm_loadu_ps(p));
    return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
  }

  // Pairs turned: (x0·c − x1·s, x1·c + x0·s).
  static Floats turn(Floats x, Floats cosines, Floats sines) {
    return _mm256_fmaddsub_ps(x, cosines, _mm256_mul_ps(_mm256_permute_ps(x, 0xB1), sines));
  }

  static Floats load(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }

  static void store_halves(uint16_t* p, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  static void widen4(const uint16_t* p, float* out) {
    _mm_storeu_ps(out, _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }

  static Floats load(const int8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }

  // To nearest, ties to even.
  static void store_bytes(int8_t* p, Floats x) {
    const __m256i words = _mm256_cvtps_epi32(x);
    const __m128i halves =
        _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
  }

  static void widen4(const int8_t* p, float* out) {
    int32_t bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    _mm_storeu_ps(out, _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(bytes))));
  }

  static Halves low8(Halves a, Halves b) { return _mm256_unpacklo_epi8(a, b); }
  static Halves high8(Halves a, Halves b) { return _mm256_unpackhi_epi8(a, b); }
  static Halves low16(Halves a, Halves b) { return _mm256_unpacklo_epi16(a, b); }
  static Halves high16(Halves a, Halves b) { return _mm256_unpackhi_epi16(a, b); }
  static Halves low32(Halves a, Halves b) { return _mm256_unpacklo_epi32(a, b); }
  static Halves high32(Halves a, Halves b) { return _mm256_unpackhi_epi32(a, b); }
  static Halves low64(Halves a, Halves b) { return _mm256_unpacklo_epi64(a, b); }
  static Halves high64(Halves a, Halves b) { return _mm256_unpackhi_epi64(a, b); }

  static void put(float* p, __m128i halves) { store(p, _mm256_cvtph_ps(halves)); }
  static void put(uint16_t* p, __m128i halves) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), halves);
  }

  // out[i · stride + j] = rows[j][i] for 16 numbers of 16 rows.
  template <class Number>
  static void transpose(const uint16_t* const* rows, Number* out, int64_t stride) {
    for (int half = 0; half < 2; ++half, rows += 8, out += 8) {
      Halves v[8];
      for (int j = 0; j < 8; ++j) {
        v[j] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[j]));
      }
      transpose_lanes<Avx2, 16>(v);
      for (int i = 0; i < 8; ++i) {
        put(out + i * stride, _mm256_castsi256_si128(v[i]));
        put(out + (i + 8) * stride, _mm256_extracti128_si256(v[i], 1));
      }
    }
  }

  static void put_bytes(float* p, __m128i bytes) {
    store(p, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
    store(p + 8, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))));
  }
  static void put_bytes(int8_t* p, __m128i bytes) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }

  // The same for bytes.
  template <class Number>
  static void transpose(const int8_t* const* rows, Number* out, int64_t stride) {
    Halves v[8];
    for (int j = 0; j < 8; ++j) {
      const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[j]));
      const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[j + 8]));
      v[j] = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    }
    transpose_lanes<Avx2, 8>(v);
    for (int i = 0; i < 8; ++i) {
      // Lanes hold two numbers of 8 rows: from here on one number of 16.
      const Halves numbers = _mm256_permute4x64_epi64(v[i], 0xD8);
      put_bytes(out + 2 * i * stride, _mm256_castsi256_si128(numbers));
      put_bytes(out + (2 * i + 1) * stride, _mm256_extracti128_si256(numbers, 1));
    }
  }
};

}  // namespace
}  // namespace qingtan
