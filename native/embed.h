// One row of a packed matrix as floats. A step reads as many rows as it has tokens, so that plain
// code will do; it is in an unnamed namespace for the sake of files compiled for different
// processors.
#pragma once

#include "half.h"
#include "matmul_walk.h"

namespace qingtan {
namespace {

inline void embed_q8(const uint8_t* block, int lane, int64_t k, float* out) {
  for (int64_t i = 0; i < k; i += kGroup, block += kQ8GroupBytes) {
    uint16_t half;
    std::memcpy(&half, block + 8 * 64 + 2 * lane, 2);
    const float scale = from_half(half);
    for (int j = 0; j < kGroup; ++j) {
      out[i + j] = static_cast<float>(block[j / 4 * 64 + lane * 4 + j % 4] - 128) * scale;
    }
  }
}

inline void embed_q4(const uint8_t* block, int lane, int64_t k, float* out) {
  for (int64_t i = 0; i < k; i += kGroup, block += kQ4GroupBytes) {
    uint16_t half;
    std::memcpy(&half, block + 4 * 64 + 2 * lane, 2);
    const float scale = from_half(half);
    for (int j = 0; j < kGroup / 2; ++j) {
      const int both = block[j / 4 * 64 + lane * 4 + j % 4];
      out[i + j] = static_cast<float>((both & 15) - 8) * scale;
      out[i + j + kGroup / 2] = static_cast<float>((both >> 4) - 8) * scale;
    }
  }
}

inline void embed_row(const Weights& table, int64_t row, float* out) {
  const uint8_t* block = table.data + row / kBlockRows * table.k * bytes_per_k(table.format);
  const int lane = static_cast<int>(row % kBlockRows);
  switch (table.format) {
    case Format::f32:
      for (int64_t i = 0; i < table.k; ++i) {
        std::memcpy(out + i, block + i * 64 + lane * 4, 4);
      }
      break;
    case Format::bf16:
      for (int64_t i = 0; i < table.k; ++i) {
        uint16_t bits;
        std::memcpy(&bits, block + i / 2 * 64 + lane * 4 + i % 2 * 2, 2);
        out[i] = from_bf16(bits);
      }
      break;
    case Format::q8:
      embed_q8(block, lane, table.k, out);
      break;
    case Format::q4:
      embed_q4(block, lane, table.k, out);
      break;
  }
}

}  // namespace
}  // namespace qingtan
