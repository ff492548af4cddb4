// The kernels of matrices in plain C++: for processors that have nothing better, and to say what
// the others compute.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../half.h"
#include "../tables.h"

namespace qingtan {
namespace {

constexpr int kQ8Offset = 128;
constexpr int kQ4Offset = 8;

float scale_at(const uint8_t* scales, int row) {
  uint16_t half;
  std::memcpy(&half, scales + 2 * row, sizeof half);
  return from_half(half);
}

void quantize_group(const float* x, int8_t* q, float* scale, int32_t* sum) {
  float most = 0.0f;
  for (int i = 0; i < kGroup; i++) {
    most = std::max(most, std::abs(x[i]));
  }
  const bool small = most < 127.0f * 0x1p-126f;  // so small that the inverse may be infinite
  const float inverse = small ? 0.0f : 127.0f / most;
  *scale = small ? 0.0f : most / 127.0f;
  *sum = 0;
  for (int i = 0; i < kGroup; i++) {
    q[i] = static_cast<int8_t>(std::lrint(x[i] * inverse));
    *sum += q[i];
  }
}

void quantize(const float* x, int64_t k, int64_t begin, int64_t end, int8_t* q, float* scales,
              int32_t* sums) {
  const int64_t groups = k / kGroup;
  for (int64_t group = begin * groups; group < end * groups; group++) {
    quantize_group(x + group * kGroup, q + group * kGroup, scales + group, sums + group);
  }
}

// The products of one row of activations with a block's 16 rows, added to `total`.
void dot_f32(const uint8_t* block, int64_t k, const float* x, float* total) {
  for (int64_t i = 0; i < k; i++) {
    float weights[kBlockRows];
    std::memcpy(weights, block + i * kBlockRows * 4, sizeof weights);
    for (int row = 0; row < kBlockRows; row++) {
      total[row] += weights[row] * x[i];
    }
  }
}

void dot_bf16(const uint8_t* block, int64_t k, const float* x, float* total) {
  for (int64_t i = 0; i < k; i += 2) {
    uint16_t pairs[2 * kBlockRows];
    std::memcpy(pairs, block + i * kBlockRows * 2, sizeof pairs);
    for (int row = 0; row < kBlockRows; row++) {
      total[row] += from_bf16(pairs[2 * row]) * x[i];
      total[row] += from_bf16(pairs[2 * row + 1]) * x[i + 1];
    }
  }
}

// Σ stored · q of a vector of 16 rows' 4 values.
void dot_bytes(const uint8_t* vector, const int8_t* q, int32_t* sums) {
  for (int row = 0; row < kBlockRows; row++) {
    for (int i = 0; i < 4; i++) {
      sums[row] += vector[row * 4 + i] * q[i];
    }
  }
}

void dot_halves(const uint8_t* vector, const int8_t* low, const int8_t* high, int32_t* sums) {
  for (int row = 0; row < kBlockRows; row++) {
    for (int i = 0; i < 4; i++) {
      const int byte = vector[row * 4 + i];
      sums[row] += (byte & 15) * low[i] + (byte >> 4) * high[i];
    }
  }
}

// What the offset added to each product is taken off the group's sum at once.
void add_group(const int32_t* sums, int32_t surplus, const uint8_t* scales, float x_scale,
               float* total) {
  for (int row = 0; row < kBlockRows; row++) {
    total[row] += static_cast<float>(sums[row] - surplus) * (scale_at(scales, row) * x_scale);
  }
}

void dot_q8(const uint8_t* block, int64_t k, const Activations& input, int64_t r, float* total) {
  const int64_t groups = k / kGroup;
  for (int64_t group = 0; group < groups; group++, block += kQ8GroupBytes) {
    const int8_t* q = input.q + r * k + group * kGroup;
    int32_t sums[kBlockRows] = {};
    for (int vector = 0; vector < 8; vector++) {
      dot_bytes(block + vector * 64, q + vector * 4, sums);
    }
    const int64_t place = r * groups + group;
    add_group(sums, kQ8Offset * input.sums[place], block + 8 * 64, input.scales[place], total);
  }
}

void dot_q4(const uint8_t* block, int64_t k, const Activations& input, int64_t r, float* total) {
  const int64_t groups = k / kGroup;
  for (int64_t group = 0; group < groups; group++, block += kQ4GroupBytes) {
    const int8_t* q = input.q + r * k + group * kGroup;
    int32_t sums[kBlockRows] = {};
    for (int vector = 0; vector < 4; vector++) {
      dot_halves(block + vector * 64, q + vector * 4, q + 16 + vector * 4, sums);
    }
    const int64_t place = r * groups + group;
    add_group(sums, kQ4Offset * input.sums[place], block + 4 * 64, input.scales[place], total);
  }
}

void dot(const Weights& weights, const uint8_t* block, const Activations& input, int64_t r,
         float* total) {
  switch (weights.format) {
    case Format::f32:
      return dot_f32(block, weights.k, input.x + r * weights.k, total);
    case Format::bf16:
      return dot_bf16(block, weights.k, input.x + r * weights.k, total);
    case Format::q8:
      return dot_q8(block, weights.k, input, r, total);
    case Format::q4:
      return dot_q4(block, weights.k, input, r, total);
  }
}

void matmul(const Weights& weights, const Activations& input, const float* bias, float* out,
            int64_t stride, int64_t begin, int64_t end) {
  const size_t bytes = block_bytes(weights.format, weights.k);
  for (int64_t b = begin; b < end; b++) {
    const int64_t first = b * kBlockRows;
    const int64_t rows = std::min<int64_t>(kBlockRows, weights.n - first);
    for (int64_t r = 0; r < input.rows; r++) {
      float total[kBlockRows] = {};
      dot(weights, weights.data + static_cast<size_t>(b) * bytes, input, r, total);
      for (int64_t i = 0; i < rows; i++) {
        out[r * stride + first + i] = total[i] + (bias == nullptr ? 0.0f : bias[first + i]);
      }
    }
  }
}

float embedded(Format format, const uint8_t* block, int row, int64_t column) {
  if (format == Format::f32) {
    float value;
    std::memcpy(&value, block + (column * kBlockRows + row) * 4, sizeof value);
    return value;
  }
  if (format == Format::bf16) {
    uint16_t value;
    std::memcpy(&value, block + (column / 2 * kBlockRows + row) * 4 + column % 2 * 2, sizeof value);
    return from_bf16(value);
  }
  const int64_t i = column % kGroup;
  if (format == Format::q8) {
    const uint8_t* group = block + column / kGroup * kQ8GroupBytes;
    const int stored = group[i / 4 * 64 + row * 4 + i % 4];
    return static_cast<float>(stored - kQ8Offset) * scale_at(group + 8 * 64, row);
  }
  const uint8_t* group = block + column / kGroup * kQ4GroupBytes;
  const int byte = group[i % 16 / 4 * 64 + row * 4 + i % 4];
  const int stored = i < 16 ? byte & 15 : byte >> 4;
  return static_cast<float>(stored - kQ4Offset) * scale_at(group + 4 * 64, row);
}

void embed(const Weights& table, int64_t row, float* out) {
  const size_t bytes = block_bytes(table.format, table.k);
  const uint8_t* block = table.data + static_cast<size_t>(row / kBlockRows) * bytes;
  for (int64_t column = 0; column < table.k; column++) {
    out[column] = embedded(table.format, block, static_cast<int>(row % kBlockRows), column);
  }
}

}  // namespace

void fill_matmul_portable(Kernels& kernels) {
  kernels.quantize = quantize;
  kernels.matmul = matmul;
  kernels.embed = embed;
}

}  // namespace qingtan
