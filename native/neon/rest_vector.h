// Vectors of 4 floats: what native/rest needs of an instruction set, for 64-bit Arm.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#include "../rest/transpose.h"

namespace qingtan {
namespace {

struct Neon {
  using Floats = float32x4_t;
  using Halves = uint16x8_t;
  static constexpr int kWidth = 4;
  // 5 queries × 4 vectors of sums, 4 vectors and 5 numbers: 29 of 32 registers.
  static constexpr int kQueries = 5;
  // So many queries make floats of halves while they multiply.
  static constexpr int kHalfQueries = 16;
  // So many of bytes, for which a vector takes three steps.
  static constexpr int kByteQueries = 5;

  static Floats zero() { return vdupq_n_f32(0.0F); }
  static Floats set(float x) { return vdupq_n_f32(x); }
  static Floats load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, Floats x) { vst1q_f32(p, x); }
  static Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
  static Floats sub(Floats a, Floats b) { return vsubq_f32(a, b); }
  static Floats mul(Floats a, Floats b) { return vmulq_f32(a, b); }
  static Floats div(Floats a, Floats b) { return vdivq_f32(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
  // NaN where one of the two is not a number.
  static Floats max(Floats a, Floats b) { return vmaxq_f32(a, b); }
  static Floats min(Floats a, Floats b) { return vminq_f32(a, b); }

  // a where x ≥ 0, else b.
  static Floats choose(Floats x, Floats a, Floats b) { return vbslq_f32(vcgezq_f32(x), a, b); }

  // The low 9 bits as a float's exponent.
  static Floats power(Floats shifted) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23));
  }

  // The largest of all, in every place.
  static Floats max_all(Floats x) { return vdupq_n_f32(vmaxvq_f32(x)); }
  static float sum_all(Floats x) { return vaddvq_f32(x); }
  static float first(Floats x) { return vgetq_lane_f32(x, 0); }

  // (c0, c0, c1, c1) of 2 numbers.
  static Floats load_twice(const float* p) {
    const float32x2_t x = vld1_f32(p);
    return vcombine_f32(vdup_lane_f32(x, 0), vdup_lane_f32(x, 1));
  }

  // Pairs turned: (x0·c − x1·s, x1·c + x0·s).
  static Floats turn(Floats x, Floats cosines, Floats sines) {
    const float signs[4] = {-1.0F, 1.0F, -1.0F, 1.0F};
    const Floats signed_sines = vmulq_f32(sines, vld1q_f32(signs));
    return vfmaq_f32(vmulq_f32(vrev64q_f32(x), signed_sines), x, cosines);
  }

  static Floats load(const uint16_t* p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
  }

  static void store_halves(uint16_t* p, Floats x) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)));
  }

  static void widen4(const uint16_t* p, float* out) { store(out, load(p)); }

  static Floats widen(int16x4_t x) { return vcvtq_f32_s32(vmovl_s16(x)); }

  static Floats load(const int8_t* p) {
    uint32_t bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    return widen(vget_low_s16(vmovl_s8(vcreate_s8(bytes))));
  }

  // To nearest, ties to even.
  static void store_bytes(int8_t* p, Floats x) {
    const int16x4_t halves = vqmovn_s32(vcvtnq_s32_f32(x));
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(halves, halves));
    const uint32_t word = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);
    std::memcpy(p, &word, sizeof word);
  }

  static void widen4(const int8_t* p, float* out) { store(out, load(p)); }

  static uint8x16_t bytes(Halves x) { return vreinterpretq_u8_u16(x); }
  static uint32x4_t words(Halves x) { return vreinterpretq_u32_u16(x); }
  static uint64x2_t longs(Halves x) { return vreinterpretq_u64_u16(x); }
  static Halves low8(Halves a, Halves b) {
    return vreinterpretq_u16_u8(vzip1q_u8(bytes(a), bytes(b)));
  }
  static Halves high8(Halves a, Halves b) {
    return vreinterpretq_u16_u8(vzip2q_u8(bytes(a), bytes(b)));
  }
  static Halves low16(Halves a, Halves b) { return vzip1q_u16(a, b); }
  static Halves high16(Halves a, Halves b) { return vzip2q_u16(a, b); }
  static Halves low32(Halves a, Halves b) {
    return vreinterpretq_u16_u32(vzip1q_u32(words(a), words(b)));
  }
  static Halves high32(Halves a, Halves b) {
    return vreinterpretq_u16_u32(vzip2q_u32(words(a), words(b)));
  }
  static Halves low64(Halves a, Halves b) {
    return vreinterpretq_u16_u64(vzip1q_u64(longs(a), longs(b)));
  }
  static Halves high64(Halves a, Halves b) {
    return vreinterpretq_u16_u64(vzip2q_u64(longs(a), longs(b)));
  }

  static void put(float* p, Halves halves) {
    store(p, vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(halves))));
    store(p + 4, vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(halves))));
  }
  static void put(uint16_t* p, Halves halves) { vst1q_u16(p, halves); }

  // out[i · stride + j] = rows[j][i] for 16 numbers of 16 rows.
  template <class Number>
  static void transpose(const uint16_t* const* rows, Number* out, int64_t stride) {
    for (int64_t part = 0; part < 4; ++part) {
      const int64_t row = part / 2 * 8, number = part % 2 * 8;
      Halves v[8];
      for (int64_t j = 0; j < 8; ++j) {
        v[j] = vld1q_u16(rows[row + j] + number);
      }
      transpose_lanes<Neon, 16>(v);
      for (int64_t i = 0; i < 8; ++i) {
        put(out + (number + i) * stride + row, v[i]);
      }
    }
  }

  static void put_bytes(float* p, int8x8_t bytes) {
    const int16x8_t halves = vmovl_s8(bytes);
    store(p, widen(vget_low_s16(halves)));
    store(p + 4, widen(vget_high_s16(halves)));
  }
  static void put_bytes(int8_t* p, int8x8_t bytes) { vst1_s8(p, bytes); }

  // The same for bytes.
  template <class Number>
  static void transpose(const int8_t* const* rows, Number* out, int64_t stride) {
    for (int64_t row = 0; row < 16; row += 8, out += 8) {
      Halves v[8];
      for (int64_t j = 0; j < 8; ++j) {
        v[j] = vreinterpretq_u16_s8(vld1q_s8(rows[row + j]));
      }
      transpose_lanes<Neon, 8>(v);
      for (int64_t i = 0; i < 8; ++i) {
        const int8x16_t numbers = vreinterpretq_s8_u16(v[i]);
        put_bytes(out + 2 * i * stride, vget_low_s8(numbers));
        put_bytes(out + (2 * i + 1) * stride, vget_high_s8(numbers));
      }
    }
  }
};

}  // namespace
}  // namespace qingtan
