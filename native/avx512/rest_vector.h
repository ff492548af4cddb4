// Vectors of 16 floats: what native/rest needs of an instruction set, for AVX-512 (F, BW, VL, DQ).
#pragma once

// GCC 12 warns of its own _mm512_undefined_ps() wherever an intrinsic is used.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cstdint>
#include <cstring>

#include "../rest/transpose.h"

namespace qingtan {
namespace {

struct Avx512 {
  using Floats = __m512;
  using Halves = __m512i;
  static constexpr int kWidth = 16;
  // 6 queries × 4 vectors of sums, 4 vectors and a broadcast number: 29 of 32 registers.
  static constexpr int kQueries = 6;
  // So many queries make floats of halves while they multiply.
  static constexpr int kHalfQueries = 18;
  // So many of bytes.
  static constexpr int kByteQueries = 18;

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats set(float x) { return _mm512_set1_ps(x); }
  static Floats load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Floats x) { _mm512_storeu_ps(p, x); }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  // b where one of the two is not a number.
  static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }

  // a where x ≥ 0, else b.
  static Floats choose(Floats x, Floats a, Floats b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, zero(), _CMP_GE_OQ), b, a);
  }

  // The low 9 bits as a float's exponent.
  static Floats power(Floats shifted) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
  }

  // The largest of all, in every place.
  static Floats max_all(Floats x) {
    x = _mm512_max_ps(x, _mm512_shuffle_f32x4(x, x, 0x4E));
    x = _mm512_max_ps(x, _mm512_shuffle_f32x4(x, x, 0xB1));
    x = _mm512_max_ps(x, _mm512_permute_ps(x, 0x4E));
    return _mm512_max_ps(x, _mm512_permute_ps(x, 0xB1));
  }

  static float sum_all(Floats x) {
    x = _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0x4E));
    x = _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0xB1));
    x = _mm512_add_ps(x, _mm512_permute_ps(x, 0x4E));
    return _mm512_cvtss_f32(_mm512_add_ps(x, _mm512_permute_ps(x, 0xB1)));
  }

  static float first(Floats x) { return _mm512_cvtss_f32(x); }

  // (c0, c0, c1, c1, …) of 8 numbers.
  static Floats load_twice(const float* p) {
    const __m512 x = _mm512_castps256_ps512(_mm256_loadu_ps(p));
    return _mm512_permutexvar_ps(
        _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), x);
  }

  // Pairs turned: (x0·c − x1·s, x1·c + x0·s).
  static Floats turn(Floats x, Floats cosines, Floats sines) {
    return _mm512_fmaddsub_ps(x, cosines, _mm512_mul_ps(_mm512_permute_ps(x, 0xB1), sines));
  }

  static Floats load(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }

  static void store_halves(uint16_t* p, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  static void widen4(const uint16_t* p, float* out) {
    _mm_storeu_ps(out, _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }

  static Floats load(const int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }

  // To nearest, ties to even.
  static void store_bytes(int8_t* p, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
  }

  static void widen4(const int8_t* p, float* out) {
    int32_t bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    _mm_storeu_ps(out, _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(bytes))));
  }

  static Halves low16(Halves a, Halves b) { return _mm512_unpacklo_epi16(a, b); }
  static Halves high16(Halves a, Halves b) { return _mm512_unpackhi_epi16(a, b); }
  static Halves low32(Halves a, Halves b) { return _mm512_unpacklo_epi32(a, b); }
  static Halves high32(Halves a, Halves b) { return _mm512_unpackhi_epi32(a, b); }
  static Halves low64(Halves a, Halves b) {
    return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 8, 4, 12, 2, 10, 6, 14), b);
  }
  static Halves high64(Halves a, Halves b) {
    return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(1, 9, 5, 13, 3, 11, 7, 15), b);
  }

  static void put(float* p, __m256i halves) { store(p, _mm512_cvtph_ps(halves)); }
  static void put(uint16_t* p, __m256i halves) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), halves);
  }

  // out[i · stride + j] = rows[j][i] for 16 numbers of 16 rows.
  template <class Number>
  static void transpose(const uint16_t* const* rows, Number* out, int64_t stride) {
    Halves v[8];
    for (int j = 0; j < 8; ++j) {
      const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[j]));
      const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[j + 8]));
      v[j] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
    // Lanes: numbers 0…7 of a row below 8, 8…15 of it, the same of a row from 8. The last round of
    // interleaving puts those of the same number side by side.
    transpose_lanes<Avx512, 16>(v);
    for (int i = 0; i < 8; ++i) {
      put(out + i * stride, _mm512_castsi512_si256(v[i]));
      put(out + (i + 8) * stride, _mm512_extracti64x4_epi64(v[i], 1));
    }
  }

  static void put_bytes(float* p, __m128i bytes) {
    store(p, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
  }
  static void put_bytes(int8_t* p, __m128i bytes) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }

  // 16 bytes of each of the rows 0, 4, 8 and 12.
  static Halves load_rows(const int8_t* const* rows) {
    const auto load16 = [](const int8_t* p) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    };
    Halves x = _mm512_castsi128_si512(load16(rows[0]));
    x = _mm512_inserti32x4(x, load16(rows[4]), 1);
    x = _mm512_inserti32x4(x, load16(rows[8]), 2);
    return _mm512_inserti32x4(x, load16(rows[12]), 3);
  }

  // The same for bytes.
  template <class Number>
  static void transpose(const int8_t* const* rows, Number* out, int64_t stride) {
    const Halves v0 = load_rows(rows), v1 = load_rows(rows + 1);
    const Halves v2 = load_rows(rows + 2), v3 = load_rows(rows + 3);
    const Halves a0 = _mm512_unpacklo_epi8(v0, v1), a1 = _mm512_unpackhi_epi8(v0, v1);
    const Halves a2 = _mm512_unpacklo_epi8(v2, v3), a3 = _mm512_unpackhi_epi8(v2, v3);
    // Each lane of quads[i] holds the numbers 4i … 4i + 3 of 4 rows; lanes and numbers change
    // places.
    const Halves quads[4] = {low16(a0, a2), high16(a0, a2), low16(a1, a3), high16(a1, a3)};
    const Halves order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (const Halves quad : quads) {
      const Halves numbers = _mm512_permutexvar_epi32(order, quad);
      put_bytes(out, _mm512_castsi512_si128(numbers));
      put_bytes(out + stride, _mm512_extracti32x4_epi32(numbers, 1));
      put_bytes(out + 2 * stride, _mm512_extracti32x4_epi32(numbers, 2));
      put_bytes(out + 3 * stride, _mm512_extracti32x4_epi32(numbers, 3));
      out += 4 * stride;
    }
  }
};

}  // namespace
}  // namespace qingtan
