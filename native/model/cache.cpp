#include "cache.h"

#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "half.h"

namespace qingtan {
namespace {

constexpr int64_t kAlignment = 64;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// A product of positive factors; −1 where it is too large.
int64_t times(int64_t a, int64_t b) {
  return a < 0 || a > std::numeric_limits<int64_t>::max() / b ? -1 : a * b;
}

// Number i of an array, which belongs to a row that has a scale where there are scales.
float number_at(const void* array, const float* scales, int64_t i, int64_t row) {
  if (scales != nullptr) {
    return static_cast<float>(static_cast<const int8_t*>(array)[i]) * scales[row];
  }
  return from_half(static_cast<const uint16_t*>(array)[i]);
}

bool quantized(const CacheShape& shape) { return shape.number == CacheNumber::q8; }

// Of the keys or the values of one layer's block; −1 where they are too many.
int64_t block_number_bytes(const CacheShape& shape) {
  const int64_t numbers = times(times(shape.groups, shape.block_tokens), shape.head_dim);
  return times(numbers, quantized(shape) ? 1 : 2);
}

int64_t block_scale_bytes(const CacheShape& shape) {
  return quantized(shape) ? times(times(shape.groups, shape.block_tokens), sizeof(float)) : 0;
}

}  // namespace

int64_t Cache::block_bytes(const CacheShape& shape) {
  const int64_t numbers = block_number_bytes(shape);
  const int64_t scales = block_scale_bytes(shape);
  if (numbers < 0 || scales < 0 || numbers > std::numeric_limits<int64_t>::max() - scales) {
    return -1;
  }
  return times(times(numbers + scales, shape.layers), 2);
}

Cache::Cache(const CacheShape& shape) : shape_(shape) {
  const int64_t all = times(block_bytes(shape), shape.blocks);
  const int64_t padding = kAlignment * (4 * int64_t{shape.layers} + 1);
  if (all < 0 || all > std::numeric_limits<int64_t>::max() - padding) {
    throw std::bad_alloc();
  }
  number_bytes_ = aligned(block_number_bytes(shape) * shape.blocks);
  scale_bytes_ = aligned(block_scale_bytes(shape) * shape.blocks);
  const int64_t size = (number_bytes_ + scale_bytes_) * 2 * shape.layers + kAlignment;
  memory_.reset(std::calloc(static_cast<size_t>(size), 1));
  if (!memory_) {
    throw std::bad_alloc();
  }
  const auto address = reinterpret_cast<uintptr_t>(memory_.get());
  first_ = static_cast<uint8_t*>(memory_.get()) + (kAlignment - address % kAlignment) % kAlignment;
}

PagedCache Cache::layer(int32_t layer) const {
  uint8_t* keys = first_ + 2 * layer * (number_bytes_ + scale_bytes_);
  uint8_t* values = keys + number_bytes_;
  auto* scales = reinterpret_cast<float*>(values + number_bytes_);
  const bool scaled = quantized(shape_);
  return {.number = shape_.number,
          .keys = keys,
          .values = values,
          .key_scales = scaled ? scales : nullptr,
          .value_scales = scaled ? scales + scale_bytes_ / 4 : nullptr,
          .block_tokens = shape_.block_tokens,
          .groups = shape_.groups,
          .head_dim = shape_.head_dim};
}

void Cache::copy(int32_t source, int32_t target) {
  const auto copy_block = [=](void* array, int64_t bytes) {
    auto* first = static_cast<uint8_t*>(array);
    std::memmove(first + target * bytes, first + source * bytes, static_cast<size_t>(bytes));
  };
  for (int32_t i = 0; i < shape_.layers; i++) {
    const PagedCache view = layer(i);
    copy_block(view.keys, block_number_bytes(shape_));
    copy_block(view.values, block_number_bytes(shape_));
    if (quantized(shape_)) {
      copy_block(view.key_scales, block_scale_bytes(shape_));
      copy_block(view.value_scales, block_scale_bytes(shape_));
    }
  }
}

void Cache::write(int32_t layer, const float* keys, const float* values, int64_t tokens,
                  const int32_t* table) {
  const PagedCache view = this->layer(layer);
  const int64_t dim = shape_.head_dim;
  const auto row_bytes = static_cast<size_t>(dim) * sizeof(float);
  std::vector<float> token_keys(static_cast<size_t>(shape_.groups * dim));
  std::vector<float> token_values(token_keys.size());
  for (int64_t token = 0; token < tokens; token++) {
    for (int64_t group = 0; group < shape_.groups; group++) {
      const int64_t place = (group * tokens + token) * dim;
      std::memcpy(token_keys.data() + group * dim, keys + place, row_bytes);
      std::memcpy(token_values.data() + group * dim, values + place, row_bytes);
    }
    best_kernels().store(token_keys.data(), token_values.data(), view, table,
                         static_cast<int32_t>(token));
  }
}

void Cache::read(int32_t layer, float* keys, float* values, int64_t tokens,
                 const int32_t* table) const {
  const PagedCache view = this->layer(layer);
  const int64_t dim = shape_.head_dim;
  for (int64_t group = 0; group < shape_.groups; group++) {
    for (int64_t token = 0; token < tokens; token++) {
      const int64_t block = table[token / shape_.block_tokens];
      const int64_t row = (block * shape_.groups + group) * shape_.block_tokens +
                          token % shape_.block_tokens;
      for (int64_t i = row * dim; i < (row + 1) * dim; i++) {
        *keys++ = number_at(view.keys, view.key_scales, i, row);
        *values++ = number_at(view.values, view.value_scales, i, row);
      }
    }
  }
}

}  // namespace qingtan
