// Random packed matrices and activations for the stand-alone programs here, and what they mean in
// plain numbers. Written against the layout in kernels.h, apart from the packing of the engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "../half.h"
#include "../kernels.h"

namespace qingtan::bench {

using Random = std::mt19937;

struct Aligned {
  explicit Aligned(size_t bytes)
      : data(static_cast<uint8_t*>(::operator new(bytes, std::align_val_t(64)))) {
    std::memset(data, 0, bytes);
  }
  ~Aligned() { ::operator delete(data, std::align_val_t(64)); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  uint8_t* data;
};

inline int64_t bytes_of_block(Format format, int64_t k) {
  const int64_t per_32[] = {32 * 64, 16 * 64, kQ8GroupBytes, kQ4GroupBytes};
  return k * per_32[static_cast<int>(format)] / 32;
}

// How numbers are drawn: the usual, or all of the largest size.
enum class Draw { usual, extreme, tiny, zero };

inline float draw(Random& random, Draw how) {
  const float sign = (random() & 1u) != 0 ? 1.0f : -1.0f;
  switch (how) {
    case Draw::usual:
      return std::normal_distribution<float>()(random);
    case Draw::extreme:
      return sign * 127.0f;
    case Draw::tiny:
      return sign * 1e-40f;
    default:
      return 0.0f;
  }
}

// A packed matrix, and, to `keep`, its values (n, k) as the kernels see them.
struct Matrix {
  Matrix(Format format, int64_t n, int64_t k, Random& random, Draw how, bool keep)
      : memory(static_cast<size_t>((n + 15) / 16 * bytes_of_block(format, k))),
        weights{format, n, k, memory.data} {
    if (keep) {
      values.resize(static_cast<size_t>(n * k));
    }
    for (int64_t row = 0; row < n; ++row) {
      uint8_t* block = memory.data + row / 16 * bytes_of_block(format, k);
      if (format == Format::f32 || format == Format::bf16) {
        put_floats(block, row, random, how);
      } else {
        put_groups(block, row, random, how);
      }
    }
  }

  void put_floats(uint8_t* block, int64_t row, Random& random, Draw how) {
    const int64_t lane = row % 16;
    for (int64_t i = 0; i < weights.k; ++i) {
      float value = draw(random, how);
      if (weights.format == Format::f32) {
        std::memcpy(block + i * 64 + lane * 4, &value, 4);
      } else {
        const uint16_t bits = to_bf16(value);
        value = from_bf16(bits);
        std::memcpy(block + i / 2 * 64 + lane * 4 + i % 2 * 2, &bits, 2);
      }
      keep_value(row, i, value);
    }
  }

  void put_groups(uint8_t* block, int64_t row, Random& random, Draw how) {
    const bool q8 = weights.format == Format::q8;
    const int64_t lane = row % 16;
    const int64_t bytes = q8 ? kQ8GroupBytes : kQ4GroupBytes;
    for (int64_t i = 0; i < weights.k; ++i) {
      uint8_t* group = block + i / 32 * bytes;
      const int j = static_cast<int>(i % 32);
      const float scale = how == Draw::tiny ? 1e-7f : 0.01f * static_cast<float>(1 + row % 7);
      const uint16_t half = to_half(scale);
      std::memcpy(group + bytes - 32 + lane * 2, &half, 2);
      int q = q8 ? static_cast<int>(random() % 255) - 127 : static_cast<int>(random() % 16) - 8;
      if (how == Draw::extreme) {
        q = (random() & 1u) != 0 ? (q8 ? 127 : 7) : (q8 ? -127 : -8);
      } else if (how == Draw::zero) {
        q = 0;
      }
      const int place = static_cast<int>(lane) * 4 + j % 4;
      if (q8) {
        group[j / 4 * 64 + place] = static_cast<uint8_t>(q + 128);
      } else {
        uint8_t& both = group[j / 4 % 4 * 64 + place];
        both = static_cast<uint8_t>(both | (q + 8) << (j / 16 * 4));
      }
      keep_value(row, i, static_cast<float>(q) * from_half(half));
    }
  }

  void keep_value(int64_t row, int64_t i, float value) {
    if (!values.empty()) {
      values[static_cast<size_t>(row * weights.k + i)] = value;
    }
  }

  Aligned memory;
  Weights weights;
  std::vector<float> values;
};

// Rows of activations, quantized by the kernels that are under test.
struct Rows {
  Rows(const Kernels& kernels, int64_t rows, int64_t k, Random& random, Draw how)
      : x(static_cast<size_t>(rows * k)), q(x.size()), scales(x.size() / 32 + 1),
        sums(x.size() / 32 + 1), input{rows, k, x.data(), q.data(), scales.data(), sums.data()} {
    std::generate(x.begin(), x.end(), [&] { return draw(random, how); });
    if (k % 32 == 0) {
      kernels.quantize(x.data(), k, 0, rows, q.data(), scales.data(), sums.data());
    }
  }

  std::vector<float> x;
  std::vector<int8_t> q;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  Activations input;
};

}  // namespace qingtan::bench
