// Products with f32 and bf16 weights, with AVX2 and FMA. bf16 is widened to float32.
#include <immintrin.h>

#include "../matmul_walk.h"
#include "matmul.h"

namespace qingtan {
namespace {

// Sums of R rows and B blocks of weights, a block being two vectors of 8.
template <int R, int B>
struct Sums {
  static constexpr int V = 2 * B;
  __m256 of[R][V];

  explicit Sums(const Tile& tile) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        of[r][v] = tile.fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(place(tile, r, v));
      }
    }
  }

  void store(const Tile& tile) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        if (tile.bias != nullptr) {
          of[r][v] = _mm256_add_ps(of[r][v], _mm256_loadu_ps(tile.bias + v * 8));
        }
        _mm256_storeu_ps(place(tile, r, v), of[r][v]);
      }
    }
  }

  static float* place(const Tile& tile, int r, int v) {
    return tile.out + r * tile.stride + v * 8;
  }

  // Add weights (one value of each weights' row) times a value of each row, `step` apart.
  void add(const __m256 (&weights)[V], const float* x, int step) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m256 value = _mm256_broadcast_ss(x + r * step);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        of[r][v] = _mm256_fmadd_ps(weights[v], value, of[r][v]);
      }
    }
  }
};

// 32 bytes of vector v of B blocks.
inline const uint8_t* vector(const Tile& tile, const uint8_t* w, int v) {
  return w + v / 2 * tile.block_bytes + v % 2 * 32;
}

// Six rows: 12 sums, 2 vectors of weights, and a value.
struct F32 : FloatKind<Format::f32> {
  static constexpr int kRows = 6;
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
        __m256 weights[2 * B];
#pragma GCC unroll 8
        for (int v = 0; v < 2 * B; ++v) {
          weights[v] = _mm256_loadu_ps(reinterpret_cast<const float*>(vector(tile, w, v)));
        }
        ahead.template go<64, B>(w);
        sums.add(weights, value(in, 0) + i, kUnit);
      }
    }
    sums.store(tile);
  }
};

// Five rows: a vector of weights is widened into another register.
struct Bf16 : FloatKind<Format::bf16> {
  static constexpr int kRows = 5;
  static constexpr int kWide = 2;

  template <int R, int B>
  [[gnu::noinline]] static void tile(const Tile& tile) {
    Sums<R, B> sums(tile);
    const __m256i upper = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
    const uint8_t* w = tile.weights;
    const uint8_t* in = tile.input;
    Ahead ahead(tile);
    for (int64_t left = tile.count; left > 0; left -= kUnit, in += R * kInputBytes) {
      const int count = static_cast<int>(smaller(left, kUnit));
      for (int i = 0; i < count; i += 2, w += 64) {
        __m256 values[2 * B];
#pragma GCC unroll 8
        for (int v = 0; v < 2 * B; ++v) {
          values[v] = _mm256_castsi256_ps(_mm256_slli_epi32(pairs(tile, w, v), 16));
        }
        sums.add(values, value(in, 0) + i, kUnit);
        const uint8_t* again = forget(w);
#pragma GCC unroll 8
        for (int v = 0; v < 2 * B; ++v) {
          values[v] = _mm256_castsi256_ps(_mm256_and_si256(pairs(tile, again, v), upper));
        }
        ahead.template go<64, B>(w);
        sums.add(values, value(in, 0) + i + 1, kUnit);
      }
    }
    sums.store(tile);
  }

  static __m256i pairs(const Tile& tile, const uint8_t* w, int v) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(vector(tile, w, v)));
  }

  // The same place, but the compiler does not know that: there are too few registers to keep the
  // pairs until their second half is needed, and loading them again costs nothing.
  static const uint8_t* forget(const uint8_t* w) {
#if defined(__GNUC__)
    __asm__("" : "+r"(w));
#endif
    return w;
  }
};

}  // namespace

void matmul_f32_avx2(const Weights& weights, const Activations& input, const float* bias,
                     float* out, int64_t stride, int64_t begin, int64_t end) {
  Walk<F32>(weights, input, bias, out, stride, begin, end).run();
}

void matmul_bf16_avx2(const Weights& weights, const Activations& input, const float* bias,
                      float* out, int64_t stride, int64_t begin, int64_t end) {
  Walk<Bf16>(weights, input, bias, out, stride, begin, end).run();
}

}  // namespace qingtan
