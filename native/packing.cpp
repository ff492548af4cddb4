#include "packing.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "half.h"

namespace qingtan {
namespace {

using Group = std::array<float, kGroup>;
using Levels = std::array<float, kGroup>;  // whole numbers: what a group is rounded to

constexpr float kQ8Most = 127.0f;
constexpr float kQ8Least = -127.0f;
constexpr float kQ4Least = -8.0f;
constexpr float kQ4Most = 7.0f;
constexpr int kQ8Offset = 128;
constexpr int kQ4Offset = 8;
constexpr std::array<float, 6> kQ4Spans = {8.6f, 8.2f, 7.8f, 7.4f, 7.0f, 6.6f};

float number_at(const Rows& rows, int64_t row, int64_t column) {
  const int64_t place = row * rows.stride + column;
  switch (rows.number) {
    case Number::f32:
      return static_cast<const float*>(rows.data)[place];
    case Number::f16:
      return from_half(static_cast<const uint16_t*>(rows.data)[place]);
    case Number::bf16:
      return from_bf16(static_cast<const uint16_t*>(rows.data)[place]);
  }
  return 0.0f;
}

// Rows beyond the last are zeros.
float padded(const Rows& rows, int64_t row, int64_t column) {
  return row < rows.n ? number_at(rows, row, column) : 0.0f;
}

Group group_at(const Rows& rows, int64_t row, int64_t column) {
  Group group{};
  if (row < rows.n) {
    for (int i = 0; i < kGroup; i++) {
      group[static_cast<size_t>(i)] = number_at(rows, row, column + i);
    }
  }
  return group;
}

// To nearest, ties to even, for numbers below 2^22: from 2^23 on a float has no fraction left.
// Unlike the library's functions this becomes vector instructions on any processor.
float rounded(float value) {
  constexpr float no_fraction = 0x1.8p23f;
  return (value + no_fraction) - no_fraction;
}

float greatest(const Group& group) {
  float most = 0.0f;
  for (const float value : group) {
    most = std::abs(value) > std::abs(most) ? value : most;
  }
  return most;
}

Levels levels_of(const Group& group, float inverse, float least, float most) {
  Levels levels;
  for (size_t i = 0; i < group.size(); i++) {
    levels[i] = rounded(std::min(std::max(group[i] * inverse, least), most));
  }
  return levels;
}

// Round to fp16, and up where it has so few digits left that the greatest number would be cut.
uint16_t q8_scale(float most) {
  uint16_t scale = to_half(most / kQ8Most);
  if (scale != 0 && from_half(scale) * (kQ8Most + 0.5f) < most) {
    scale++;
  }
  return scale;
}

uint16_t q4_scale(const Group& group) {
  const float most = greatest(group);
  float best_gain = -1.0f;
  float best_scale = 0.0f;
  for (const float span : kQ4Spans) {
    const float inverse = -span / most;
    if (!std::isfinite(inverse)) {
      return 0;
    }
    const Levels levels = levels_of(group, inverse, kQ4Least, kQ4Most);
    float product = 0.0f;
    float square = 0.0f;
    for (size_t i = 0; i < levels.size(); i++) {
      product += group[i] / most * levels[i];  // by the greatest, so that no square underflows
      square += levels[i] * levels[i];
    }
    const float gain = product * product / square;
    if (gain > best_gain) {
      best_gain = gain;
      best_scale = product / square * most;
    }
  }
  return to_half(best_scale);
}

struct Quantized {
  uint16_t scale;
  Levels levels;
};

Quantized quantized(Format format, const Group& group) {
  const bool wide = format == Format::q8;
  const uint16_t scale = wide ? q8_scale(std::abs(greatest(group))) : q4_scale(group);
  const float width = from_half(scale);
  if (width == 0.0f) {
    return {0, {}};
  }
  return {scale, levels_of(group, 1.0f / width, wide ? kQ8Least : kQ4Least,
                           wide ? kQ8Most : kQ4Most)};
}

// Where value i of a group of row j lies in the vectors of q8.
size_t place_in_group(int row, int i) {
  return static_cast<size_t>(i / 4 * 64 + row * 4 + i % 4);
}

void put_q8(const Levels& levels, int row, uint8_t* group) {
  for (int i = 0; i < kGroup; i++) {
    const int stored = static_cast<int>(levels[static_cast<size_t>(i)]) + kQ8Offset;
    group[place_in_group(row, i)] = static_cast<uint8_t>(stored);
  }
}

void put_q4(const Levels& levels, int row, uint8_t* group) {
  constexpr int half = kGroup / 2;
  for (int i = 0; i < half; i++) {
    const int low = static_cast<int>(levels[static_cast<size_t>(i)]) + kQ4Offset;
    const int high = static_cast<int>(levels[static_cast<size_t>(i + half)]) + kQ4Offset;
    group[place_in_group(row, i)] = static_cast<uint8_t>(low | high << 4);
  }
}

size_t group_bytes(Format format) {
  return static_cast<size_t>(format == Format::q8 ? kQ8GroupBytes : kQ4GroupBytes);
}

uint8_t* scales_of(Format format, uint8_t* group) {
  return group + group_bytes(format) - 2 * kBlockRows;
}

void put(Format format, const Quantized& group, int row, uint8_t* out) {
  format == Format::q8 ? put_q8(group.levels, row, out) : put_q4(group.levels, row, out);
  std::memcpy(scales_of(format, out) + 2 * row, &group.scale, sizeof group.scale);
}

bool all_finite(const Group& group) {
  return std::all_of(group.begin(), group.end(), [](float x) { return std::isfinite(x); });
}

// Returns whether every number was finite and within what the format holds.
bool pack_quantized(Format format, const Rows& rows, int64_t block, uint8_t* out) {
  for (int64_t column = 0; column < rows.k; column += kGroup) {
    for (int row = 0; row < kBlockRows; row++) {
      const Group group = group_at(rows, block * kBlockRows + row, column);
      if (!all_finite(group)) {
        return false;
      }
      const Quantized result = quantized(format, group);
      if (!std::isfinite(from_half(result.scale))) {
        return false;
      }
      put(format, result, row, out);
    }
    out += group_bytes(format);
  }
  return true;
}

// Rows beyond the last are zeros.
Quantized rounded_at(const RoundedRows& rows, int64_t row, int64_t column) {
  Quantized group{0, {}};
  if (row < rows.n) {
    group.scale = rows.scales[row * (rows.k / kGroup) + column / kGroup];
    for (int i = 0; i < kGroup; i++) {
      group.levels[static_cast<size_t>(i)] = rows.levels[row * rows.k + column + i];
    }
  }
  return group;
}

bool within(Format format, const Levels& levels) {
  const float least = format == Format::q8 ? kQ8Least : kQ4Least;
  const float most = format == Format::q8 ? kQ8Most : kQ4Most;
  return std::all_of(levels.begin(), levels.end(),
                     [=](float level) { return least <= level && level <= most; });
}

// Returns whether every level was within the format's range and every scale finite.
bool pack_rounded_block(Format format, const RoundedRows& rows, int64_t block, uint8_t* out) {
  for (int64_t column = 0; column < rows.k; column += kGroup) {
    for (int row = 0; row < kBlockRows; row++) {
      const Quantized group = rounded_at(rows, block * kBlockRows + row, column);
      if (!within(format, group.levels) || !std::isfinite(from_half(group.scale))) {
        return false;
      }
      put(format, group, row, out);
    }
    out += group_bytes(format);
  }
  return true;
}

bool pack_f32(const Rows& rows, int64_t block, uint8_t* out) {
  bool good = true;
  for (int64_t column = 0; column < rows.k; column++) {
    for (int row = 0; row < kBlockRows; row++) {
      const float value = padded(rows, block * kBlockRows + row, column);
      good = good && std::isfinite(value);
      std::memcpy(out, &value, sizeof value);
      out += sizeof value;
    }
  }
  return good;
}

bool pack_bf16(const Rows& rows, int64_t block, uint8_t* out) {
  bool good = true;
  for (int64_t column = 0; column < rows.k; column += 2) {
    for (int row = 0; row < kBlockRows; row++) {
      for (int i = 0; i < 2; i++) {
        const uint16_t value = to_bf16(padded(rows, block * kBlockRows + row, column + i));
        good = good && std::isfinite(from_bf16(value));
        std::memcpy(out, &value, sizeof value);
        out += sizeof value;
      }
    }
  }
  return good;
}

bool pack_block(Format format, const Rows& rows, int64_t block, uint8_t* out) {
  switch (format) {
    case Format::f32:
      return pack_f32(rows, block, out);
    case Format::bf16:
      return pack_bf16(rows, block, out);
    default:
      return pack_quantized(format, rows, block, out);
  }
}

// The value in column `column` of row `row` of a packed block.
float unpacked(const Weights& weights, const uint8_t* block, int row, int64_t column) {
  if (weights.format == Format::f32) {
    float value;
    std::memcpy(&value, block + (column * kBlockRows + row) * 4, sizeof value);
    return value;
  }
  uint16_t half;
  if (weights.format == Format::bf16) {
    std::memcpy(&half, block + ((column / 2 * kBlockRows + row) * 2 + column % 2) * 2, sizeof half);
    return from_bf16(half);
  }
  const size_t bytes = group_bytes(weights.format);
  const uint8_t* group = block + static_cast<size_t>(column / kGroup) * bytes;
  const int i = static_cast<int>(column % kGroup);
  std::memcpy(&half, group + bytes - 2 * kBlockRows + 2 * row, sizeof half);
  if (weights.format == Format::q8) {
    return static_cast<float>(group[place_in_group(row, i)] - kQ8Offset) * from_half(half);
  }
  const int byte = group[place_in_group(row, i % (kGroup / 2))];
  const int stored = i < kGroup / 2 ? byte & 15 : byte >> 4;
  return static_cast<float>(stored - kQ4Offset) * from_half(half);
}

}  // namespace

size_t block_bytes(Format format, int64_t k) {
  const size_t columns = static_cast<size_t>(k);
  switch (format) {
    case Format::f32:
      return columns * kBlockRows * 4;
    case Format::bf16:
      return columns * kBlockRows * 2;
    default:
      return columns / kGroup * group_bytes(format);
  }
}

int64_t block_count(int64_t n) { return (n + kBlockRows - 1) / kBlockRows; }

size_t packed_bytes(Format format, int64_t n, int64_t k) {
  return static_cast<size_t>(block_count(n)) * block_bytes(format, k);
}

bool columns_fit(Format format, int64_t k) {
  const int64_t whole = format == Format::f32 ? 1 : format == Format::bf16 ? 2 : kGroup;
  return k > 0 && k % whole == 0;
}

void pack(Format format, const Rows& rows, uint8_t* out, Pool& pool) {
  if (!columns_fit(format, rows.k)) {
    throw std::invalid_argument("pack: k must be a whole number of groups");
  }
  std::atomic<bool> good = true;
  pool.run(block_count(rows.n), [&](int64_t block, int) {
    uint8_t* start = out + static_cast<size_t>(block) * block_bytes(format, rows.k);
    if (!pack_block(format, rows, block, start)) {
      good = false;
    }
  });
  if (!good) {
    throw std::invalid_argument(
        "pack: the matrix holds numbers that are not finite, or too large for the format");
  }
}

void pack_rounded(Format format, const RoundedRows& rows, uint8_t* out, Pool& pool) {
  if ((format != Format::q8 && format != Format::q4) || !columns_fit(format, rows.k)) {
    throw std::invalid_argument("pack_rounded: only q8 and q4, in whole groups");
  }
  std::atomic<bool> good = true;
  pool.run(block_count(rows.n), [&](int64_t block, int) {
    uint8_t* start = out + static_cast<size_t>(block) * block_bytes(format, rows.k);
    if (!pack_rounded_block(format, rows, block, start)) {
      good = false;
    }
  });
  if (!good) {
    throw std::invalid_argument(
        "levels: must lie from -127 to 127 (q8) or from -8 to 7 (q4), and scales must be finite");
  }
}

void unpack(const Weights& weights, float* out, Pool& pool) {
  pool.run(weights.n, [&](int64_t row, int) {
    const size_t block = static_cast<size_t>(row / kBlockRows);
    const uint8_t* start = weights.data + block * block_bytes(weights.format, weights.k);
    for (int64_t column = 0; column < weights.k; column++) {
      out[row * weights.k + column] =
          unpacked(weights, start, static_cast<int>(row % kBlockRows), column);
    }
  });
}

}  // namespace qingtan
