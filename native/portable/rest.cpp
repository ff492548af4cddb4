// The other kernels in plain C++: for processors that have nothing better, and to say what the
// others compute.
#include <algorithm>
#include <cmath>

#include "../half.h"
#include "../tables.h"

namespace qingtan {
namespace {

void rms_norm(const float* x, const float* weight, float epsilon, int64_t width, int64_t begin,
              int64_t end, float* out) {
  for (int64_t row = begin; row < end; row++) {
    const float* from = x + row * width;
    double squares = 0.0;
    for (int64_t i = 0; i < width; i++) {
      squares += static_cast<double>(from[i]) * static_cast<double>(from[i]);
    }
    const double mean = squares / static_cast<double>(width);
    const float factor = static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(epsilon)));
    for (int64_t i = 0; i < width; i++) {
      out[row * width + i] = from[i] * factor * weight[i];
    }
  }
}

void add(float* x, const float* y, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    x[i] += y[i];
  }
}

void silu_mul(const float* gate_up, int64_t width, int64_t begin, int64_t end, float* out) {
  for (int64_t row = begin; row < end; row++) {
    const float* gate = gate_up + row * 2 * width;
    const float* up = gate + width;
    for (int64_t i = 0; i < width; i++) {
      out[row * width + i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
    }
  }
}

void rotate(float* x, int32_t heads, int32_t head_dim, int32_t rotary, const float* cosines,
            const float* sines) {
  for (int32_t head = 0; head < heads; head++) {
    for (int32_t i = 0; i < rotary / 2; i++) {
      float* pair = x + int64_t{head} * head_dim + int64_t{2} * i;
      const float first = pair[0];
      const float second = pair[1];
      pair[0] = first * cosines[i] - second * sines[i];
      pair[1] = second * cosines[i] + first * sines[i];
    }
  }
}

// The row of a position in keys and values, and its place in their scales.
int64_t row_of(const PagedCache& cache, const int32_t* table, int32_t position, int32_t group) {
  const int64_t block = table[position / cache.block_tokens];
  const int64_t token = position % cache.block_tokens;
  return (block * cache.groups + group) * cache.block_tokens + token;
}

// An infinity in the cache would make NaN of 0 · ∞ where attention gives a token no weight.
float to_finite(float value) {
  constexpr float most = 65504.0f;
  return std::min(std::max(value, -most), most);
}

void store_halves(const float* from, int32_t count, uint16_t* to) {
  for (int32_t i = 0; i < count; i++) {
    to[i] = to_half(to_finite(from[i]));
  }
}

// Returns the scale.
float store_bytes(const float* from, int32_t count, int8_t* to) {
  float most = 0.0f;
  float spoilt = 0.0f;
  for (int32_t i = 0; i < count; i++) {
    most = std::max(most, std::abs(to_finite(from[i])));
    spoilt += to_finite(from[i]) * 0.0f;  // which stays 0 but for NaN
  }
  most += spoilt;
  const bool small = most < 127.0f * 0x1p-126f;  // so small that the inverse may be infinite
  const float inverse = small ? 0.0f : 127.0f / most;
  for (int32_t i = 0; i < count; i++) {
    to[i] = static_cast<int8_t>(std::lrint(to_finite(from[i]) * inverse));
  }
  return small ? 0.0f : most / 127.0f;
}

void store(const float* keys, const float* values, const PagedCache& cache, const int32_t* table,
           int32_t position) {
  const int32_t dim = cache.head_dim;
  for (int32_t group = 0; group < cache.groups; group++, keys += dim, values += dim) {
    const int64_t row = row_of(cache, table, position, group);
    if (cache.number == CacheNumber::q8) {
      cache.key_scales[row] = store_bytes(keys, dim, static_cast<int8_t*>(cache.keys) + row * dim);
      cache.value_scales[row] =
          store_bytes(values, dim, static_cast<int8_t*>(cache.values) + row * dim);
    } else {
      store_halves(keys, dim, static_cast<uint16_t*>(cache.keys) + row * dim);
      store_halves(values, dim, static_cast<uint16_t*>(cache.values) + row * dim);
    }
  }
}

// A row of keys or values and what its numbers are multiplied by.
struct Numbers {
  const uint16_t* halves;
  const int8_t* bytes;
  float scale;

  float operator[](int32_t i) const {
    return halves != nullptr ? from_half(halves[i]) : static_cast<float>(bytes[i]);
  }
};

Numbers numbers_at(const PagedCache& cache, const void* numbers, const float* scales, int64_t row) {
  if (cache.number == CacheNumber::q8) {
    return {nullptr, static_cast<const int8_t*>(numbers) + row * cache.head_dim, scales[row]};
  }
  return {static_cast<const uint16_t*>(numbers) + row * cache.head_dim, nullptr, 1.0f};
}

// What one query gives each of `count` positions: weights that add up to 1.
void softmax_of_scores(const float* query, const PagedCache& cache, int32_t group,
                       const int32_t* table, int32_t count, float scale, float* weights) {
  float most = -INFINITY;
  for (int32_t position = 0; position < count; position++) {
    const int64_t row = row_of(cache, table, position, group);
    const Numbers key = numbers_at(cache, cache.keys, cache.key_scales, row);
    float score = 0.0f;
    for (int32_t i = 0; i < cache.head_dim; i++) {
      score += query[i] * key[i];
    }
    weights[position] = score * key.scale * scale;
    most = std::max(most, weights[position]);
  }
  float sum = 0.0f;
  for (int32_t position = 0; position < count; position++) {
    weights[position] = std::exp(weights[position] - most);
    sum += weights[position];
  }
  for (int32_t position = 0; position < count; position++) {
    weights[position] /= sum;
  }
}

void weigh_values(const float* weights, const PagedCache& cache, int32_t group,
                  const int32_t* table, int32_t count, float* out) {
  std::fill(out, out + cache.head_dim, 0.0f);
  for (int32_t position = 0; position < count; position++) {
    const int64_t row = row_of(cache, table, position, group);
    const Numbers value = numbers_at(cache, cache.values, cache.value_scales, row);
    const float weight = weights[position] * value.scale;
    for (int32_t i = 0; i < cache.head_dim; i++) {
      out[i] += weight * value[i];
    }
  }
}

void attention(const float* queries, int64_t q_stride, int64_t q_offset, int32_t heads_per_group,
               const PagedCache& cache, int32_t group, const Sequence& sequence, int32_t begin,
               int32_t end, float scale, float* scratch, float* out, int64_t out_stride) {
  for (int32_t row = begin; row < end; row++) {
    const int64_t step_row = int64_t{sequence.first} + row;
    const int32_t count = sequence.start + row + 1;
    for (int32_t head = 0; head < heads_per_group; head++) {
      const int64_t place = q_offset + int64_t{head} * cache.head_dim;
      softmax_of_scores(queries + step_row * q_stride + place, cache, group, sequence.table, count,
                        scale, scratch);
      weigh_values(scratch, cache, group, sequence.table, count,
                   out + step_row * out_stride + place);
    }
  }
}

}  // namespace

void fill_rest_portable(Kernels& kernels) {
  kernels.rms_norm = rms_norm;
  kernels.add = add;
  kernels.silu_mul = silu_mul;
  kernels.rotate = rotate;
  kernels.store = store;
  kernels.attention = attention;
}

}  // namespace qingtan
