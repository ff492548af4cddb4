// The half of the Arm table that has to do with weights. It needs Armv8.2 with dot products, which
// add up four products of signed bytes for each of four rows of weights.
#include <arm_neon.h>

#include "../embed.h"
#include "../matmul_walk.h"
#include "../tables.h"

// GCC would bring all loads forward before it deals out registers, and then run out of them. The
// processors reorder by themselves.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns")
#endif

namespace qingtan {
namespace {

constexpr int kVectors = 4;  // of 4 rows each in a block

// Sums of R rows and B blocks of weights.
template <int R, int B>
struct Sums {
  static constexpr int V = kVectors * B;
  float32x4_t of[R][V];

  explicit Sums(const Tile& tile) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        of[r][v] = tile.fresh ? vdupq_n_f32(0.0f) : vld1q_f32(place(tile, r, v));
      }
    }
  }

  void store(const Tile& tile) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        if (tile.bias != nullptr) {
          of[r][v] = vaddq_f32(of[r][v], vld1q_f32(tile.bias + v * 4));
        }
        vst1q_f32(place(tile, r, v), of[r][v]);
      }
    }
  }

  static float* place(const Tile& tile, int r, int v) {
    return tile.out + r * tile.stride + v * 4;
  }

  // Add weights (one value of each weights' row) times a value of each row, `step` apart.
  void add(const float32x4_t (&weights)[V], const float* x, int step) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const float value = x[r * step];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        of[r][v] = vfmaq_n_f32(of[r][v], weights[v], value);
      }
    }
  }
};

// 16 bytes of vector v of some blocks.
const uint8_t* vector(const Tile& tile, const uint8_t* w, int v) {
  return w + v / kVectors * tile.block_bytes + v % kVectors * 16;
}

// Four rows: 16 sums, and 4 vectors of weights.
struct F32 : FloatKind<Format::f32> {
  static constexpr int kRows = 4;
  static constexpr int kWide = 2;

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    Sums<R, B> sums(tile);
    const uint8_t* w = tile.weights;
    const uint8_t* in = tile.input;
    Ahead ahead(tile);
    for (int64_t left = tile.count; left > 0; left -= kUnit, in += R * kInputBytes) {
      const int count = static_cast<int>(smaller(left, kUnit));
      for (int i = 0; i < count; ++i, w += 64) {
        float32x4_t weights[kVectors * B];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors * B; ++v) {
          weights[v] = vld1q_f32(reinterpret_cast<const float*>(vector(tile, w, v)));
        }
        ahead.template go<64, B>(w);
        sums.add(weights, value(in, 0) + i, kUnit);
      }
    }
    sums.store(tile);
  }
};

struct Bf16 : FloatKind<Format::bf16> {
  static constexpr int kRows = 4;
  static constexpr int kWide = 2;

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    constexpr int V = kVectors * B;
    Sums<R, B> sums(tile);
    const uint32x4_t upper = vdupq_n_u32(0xffff0000u);
    const uint8_t* w = tile.weights;
    const uint8_t* in = tile.input;
    Ahead ahead(tile);
    for (int64_t left = tile.count; left > 0; left -= kUnit, in += R * kInputBytes) {
      const int count = static_cast<int>(smaller(left, kUnit));
      for (int i = 0; i < count; i += 2, w += 64) {
        float32x4_t first[V];
        float32x4_t second[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          const uint32x4_t pairs = vreinterpretq_u32_u8(vld1q_u8(vector(tile, w, v)));
          first[v] = vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
          second[v] = vreinterpretq_f32_u32(vandq_u32(pairs, upper));
        }
        ahead.template go<64, B>(w);
        sums.add(first, value(in, 0) + i, kUnit);
        sums.add(second, value(in, 0) + i + 1, kUnit);
      }
    }
    sums.store(tile);
  }
};

// The 32 values of R rows in a group.
template <int R>
using Values = int8x16_t[R][2];

// dots[r] += four values (number `quad` of the group) of row r times those of 4 rows of weights.
template <int R, int quad>
void add_quad(const Values<R>& values, int8x16_t weights, int32x4_t (&dots)[R]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    dots[r] = vdotq_laneq_s32(dots[r], weights, values[r][quad / 4], quad % 4);
  }
}

// A block's 16 rows of weights are taken 4 at a time, so that the dots of all rows stay in
// registers beside the sums.
template <class Kind, int R>
void quantized_tile(const Tile& tile) {
  Sums<R, 1> sums(tile);
  const uint8_t* w = tile.weights;
  const uint8_t* in = tile.input;
  Ahead ahead(tile);
  for (int64_t i = 0; i < tile.count; i += kGroup) {
    ahead.template go<Kind::kWeightBytes>(w);
    Values<R> values;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      values[r][0] = vreinterpretq_s8_u8(vld1q_u8(Kind::values(in, r, 0)));
      values[r][1] = vreinterpretq_s8_u8(vld1q_u8(Kind::values(in, r, 16)));
    }
    const auto* halves =
        reinterpret_cast<const float16_t*>(w + Kind::kWeightBytes - 2 * kBlockRows);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      int32x4_t dots[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        dots[r] = vdupq_n_s32(Kind::template correction<R>(in, r));
      }
      Kind::template dot<R>(w + 16 * v, values, dots);
      const float32x4_t scale = vcvt_f32_f16(vld1_f16(halves + 4 * v));
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const float32x4_t both = vmulq_n_f32(scale, Kind::template scale<R>(in, r));
        sums.of[r][v] = vfmaq_f32(sums.of[r][v], vcvtq_f32_s32(dots[r]), both);
      }
    }
    w += Kind::kWeightBytes;
    in += R * Kind::kInputBytes;
  }
  sums.store(tile);
}

// With its top bit turned, a stored byte is the value as a signed byte: no correction.
struct Q8 : QuantizedKind<Format::q8, 0> {
  static constexpr int kRows = 4;
  static constexpr int kWide = 1;

  template <int R>
  static void dot(const uint8_t* w, const Values<R>& values, int32x4_t (&dots)[R]) {
    add_quad<R, 0>(values, weights(w, 0), dots);
    add_quad<R, 1>(values, weights(w, 1), dots);
    add_quad<R, 2>(values, weights(w, 2), dots);
    add_quad<R, 3>(values, weights(w, 3), dots);
    add_quad<R, 4>(values, weights(w, 4), dots);
    add_quad<R, 5>(values, weights(w, 5), dots);
    add_quad<R, 6>(values, weights(w, 6), dots);
    add_quad<R, 7>(values, weights(w, 7), dots);
  }

  static int8x16_t weights(const uint8_t* w, int quad) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(w + 64 * quad), vdupq_n_u8(0x80)));
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
  static void dot(const uint8_t* w, const Values<R>& values, int32x4_t (&dots)[R]) {
    dot_vector<R, 0>(w, values, dots);
    dot_vector<R, 1>(w, values, dots);
    dot_vector<R, 2>(w, values, dots);
    dot_vector<R, 3>(w, values, dots);
  }

  template <int R, int quad>
  static void dot_vector(const uint8_t* w, const Values<R>& values, int32x4_t (&dots)[R]) {
    const uint8x16_t both = vld1q_u8(w + 64 * quad);
    const uint8x16_t low = vandq_u8(both, vdupq_n_u8(15));
    add_quad<R, quad>(values, vreinterpretq_s8_u8(low), dots);
    add_quad<R, quad + 4>(values, vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), dots);
  }

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    quantized_tile<Q4, R>(tile);
  }
};

// Groups whose largest number is smaller become zeros: 127 / max may be infinite.
constexpr float kSmallestMax = 127.0f * 0x1p-126f;

int8x8_t rounded(const float* x, float inverse) {
  const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), inverse));
  const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4), inverse));
  return vqmovn_s16(vcombine_s16(vqmovn_s32(low), vqmovn_s32(high)));
}

void quantize_group(const float* x, int8_t* q, float* scale, int32_t* sum) {
  float32x4_t most4 = vdupq_n_f32(0.0f);
  for (int i = 0; i < kGroup; i += 4) {
    most4 = vmaxq_f32(most4, vabsq_f32(vld1q_f32(x + i)));
  }
  const float most = vmaxvq_f32(most4);
  const bool zero = most < kSmallestMax;
  const float inverse = zero ? 0.0f : 127.0f / most;
  const int8x16_t first = vcombine_s8(rounded(x, inverse), rounded(x + 8, inverse));
  const int8x16_t second = vcombine_s8(rounded(x + 16, inverse), rounded(x + 24, inverse));
  vst1q_s8(q, first);
  vst1q_s8(q + 16, second);
  *scale = zero ? 0.0f : most / 127.0f;
  *sum = vaddlvq_s8(first) + vaddlvq_s8(second);
}

void quantize(const float* x, int64_t k, int64_t begin, int64_t end, int8_t* q, float* scales,
              int32_t* sums) {
  for (int64_t g = begin * (k / kGroup); g < end * (k / kGroup); ++g) {
    quantize_group(x + g * kGroup, q + g * kGroup, scales + g, sums + g);
  }
}

void matmul(const Weights& weights, const Activations& input, const float* bias, float* out,
            int64_t stride, int64_t begin, int64_t end) {
  switch (weights.format) {
    case Format::f32:
      return Walk<F32>(weights, input, bias, out, stride, begin, end).run();
    case Format::bf16:
      return Walk<Bf16>(weights, input, bias, out, stride, begin, end).run();
    case Format::q8:
      return Walk<Q8>(weights, input, bias, out, stride, begin, end).run();
    case Format::q4:
      return Walk<Q4>(weights, input, bias, out, stride, begin, end).run();
  }
}

}  // namespace

void fill_matmul_neon(Kernels& kernels) {
  kernels.quantize = quantize;
  kernels.matmul = matmul;
  kernels.embed = embed_row;
}

}  // namespace qingtan
