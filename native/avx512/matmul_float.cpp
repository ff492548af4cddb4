// Products with f32 and bf16 weights, with AVX-512. bf16 has two ways: weights widened to float32,
// and, where the processor has AVX512_BF16, activations rounded to bf16, which is twice as fast and
// has bf16's precision on both sides (sums are float32; numbers below 2^-126 count as zero).
#include <immintrin.h>

#include "../matmul_walk.h"
#include "matmul.h"

namespace qingtan {
namespace {

// Sums of R rows and B blocks of weights.
template <int R, int B>
struct Sums {
  __m512 of[R][B];

  explicit Sums(const Tile& tile) {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) {
        of[r][b] = tile.fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(place(tile, r, b));
      }
    }
  }

  void store(const Tile& tile) {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) {
        if (tile.bias != nullptr) {
          of[r][b] = _mm512_add_ps(of[r][b], _mm512_loadu_ps(tile.bias + b * kBlockRows));
        }
        _mm512_storeu_ps(place(tile, r, b), of[r][b]);
      }
    }
  }

  static float* place(const Tile& tile, int r, int b) {
    return tile.out + r * tile.stride + b * kBlockRows;
  }

  // Add weights[b] (one value of each weights' row) times a value of each row, kInputBytes apart.
  void add(const __m512 (&weights)[B], const float* x, int step) {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
      const __m512 value = _mm512_set1_ps(x[r * step]);
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) {
        of[r][b] = _mm512_fmadd_ps(weights[b], value, of[r][b]);
      }
    }
  }
};

struct F32 : FloatKind<Format::f32> {
  static constexpr int kRows = 24;
  static constexpr int kWide = 4;

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    Sums<R, B> sums(tile);
    const uint8_t* w = tile.weights;
    const uint8_t* in = tile.input;
    Ahead ahead(tile);
    for (int64_t left = tile.count; left > 0; left -= kUnit, in += R * kInputBytes) {
      const int count = static_cast<int>(smaller(left, kUnit));
      for (int i = 0; i < count; ++i, w += 64) {
        __m512 weights[B];
        ahead.template go<64, B>(w);
#pragma GCC unroll 4
        for (int b = 0; b < B; ++b) {
          weights[b] = _mm512_loadu_ps(w + b * tile.block_bytes);
        }
        sums.add(weights, value(in, 0) + i, kUnit);
      }
    }
    sums.store(tile);
  }
};

struct Bf16 : FloatKind<Format::bf16> {
  static constexpr int kRows = 24;
  static constexpr int kWide = 4;

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    Sums<R, B> sums(tile);
    const __m512i upper = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
    const uint8_t* w = tile.weights;
    const uint8_t* in = tile.input;
    Ahead ahead(tile);
    for (int64_t left = tile.count; left > 0; left -= kUnit, in += R * kInputBytes) {
      const int count = static_cast<int>(smaller(left, kUnit));
      for (int i = 0; i < count; i += 2, w += 64) {
        __m512 first[B];
        __m512 second[B];
        ahead.template go<64, B>(w);
#pragma GCC unroll 4
        for (int b = 0; b < B; ++b) {
          const __m512i pairs = _mm512_loadu_si512(w + b * tile.block_bytes);
          first[b] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
          second[b] = _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
        }
        sums.add(first, value(in, 0) + i, kUnit);
        sums.add(second, value(in, 0) + i + 1, kUnit);
      }
    }
    sums.store(tile);
  }
};

// A row's part of a unit: 32 bf16.
struct Bf16Dot : FloatKind<Format::bf16> {
  static constexpr int kInputBytes = 2 * kUnit;
  static constexpr int kRows = 24;
  static constexpr int kWide = 4;

  static void pack(const Activations& input, int64_t row, int rows, int64_t from, int64_t count,
                   uint8_t* to) {
    for (int r = 0; r < rows; ++r) {
      const float* x = input.x + (row + r) * input.k + from;
      for (int64_t i = 0; i < count; i += kUnit) {
        const int64_t left = smaller(count - i, kUnit);
        const auto mask = static_cast<uint32_t>((uint64_t{1} << left) - 1);
        const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask & 0xffffu), x + i);
        const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), x + i + 16);
        _mm512_storeu_si512(to + (i / kUnit * rows + r) * kInputBytes,
                            reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
      }
    }
  }

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    Sums<R, B> sums(tile);
    const uint8_t* w = tile.weights;
    const uint8_t* in = tile.input;
    Ahead ahead(tile);
    for (int64_t left = tile.count; left > 0; left -= kUnit, in += R * kInputBytes) {
      const int count = static_cast<int>(smaller(left, kUnit));
      for (int i = 0; i < count; i += 2, w += 64) {
        __m512bh weights[B];
        ahead.template go<64, B>(w);
#pragma GCC unroll 4
        for (int b = 0; b < B; ++b) {
          weights[b] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(w + b * tile.block_bytes));
        }
        add_pairs(weights, in + i * 2, sums);
      }
    }
    sums.store(tile);
  }

  template <int R, int B>
  static void add_pairs(const __m512bh (&weights)[B], const uint8_t* in, Sums<R, B>& sums) {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
      int32_t bits;
      std::memcpy(&bits, in + r * kInputBytes, 4);
      const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) {
        sums.of[r][b] = _mm512_dpbf16_ps(sums.of[r][b], weights[b], pair);
      }
    }
  }
};

}  // namespace

void matmul_f32_avx512(const Weights& weights, const Activations& input, const float* bias,
                       float* out, int64_t stride, int64_t begin, int64_t end) {
  Walk<F32>(weights, input, bias, out, stride, begin, end).run();
}

void matmul_bf16_avx512(const Weights& weights, const Activations& input, const float* bias,
                        float* out, int64_t stride, int64_t begin, int64_t end) {
  Walk<Bf16>(weights, input, bias, out, stride, begin, end).run();
}

void matmul_bf16_dot_avx512(const Weights& weights, const Activations& input, const float* bias,
                            float* out, int64_t stride, int64_t begin, int64_t end) {
  Walk<Bf16Dot>(weights, input, bias, out, stride, begin, end).run();
}

}  // namespace qingtan
