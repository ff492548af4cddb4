// The small kernels for any kind of vector: norm, sum, activation, rotation, and putting keys and
// values into the cache. Numbers beyond the last whole vector are done one by one; which these are
// depends on the width alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../kernels.h"
#include "exp.h"
#include "unroll.h"

namespace qingtan {
namespace {

// Σ x² in four vectors of sums.
template <class V>
inline float sum_of_squares(const float* x, int64_t width) {
  constexpr int64_t w = V::kWidth;
  typename V::Floats sums[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int64_t i = 0;
  for (; i + 4 * w <= width; i += 4 * w) {
    QINGTAN_UNROLL
    for (int64_t j = 0; j < 4; ++j) {
      const typename V::Floats part = V::load(x + i + j * w);
      sums[j] = V::fma(part, part, sums[j]);
    }
  }
  for (; i + w <= width; i += w) {
    const typename V::Floats part = V::load(x + i);
    sums[0] = V::fma(part, part, sums[0]);
  }
  float rest = 0.0F;
  for (; i < width; ++i) {
    rest += x[i] * x[i];
  }
  return V::sum_all(V::add(V::add(sums[0], sums[1]), V::add(sums[2], sums[3]))) + rest;
}

template <class V>
void rms_norm(const float* x, const float* weight, float epsilon, int64_t width, int64_t begin,
              int64_t end, float* out) {
  for (int64_t row = begin; row < end; ++row) {
    const float* from = x + row * width;
    float* to = out + row * width;
    const float mean = sum_of_squares<V>(from, width) / static_cast<float>(width);
    const float factor = 1.0F / std::sqrt(mean + epsilon);
    int64_t i = 0;
    for (; i + V::kWidth <= width; i += V::kWidth) {
      const typename V::Floats scaled = V::mul(V::load(from + i), V::set(factor));
      V::store(to + i, V::mul(scaled, V::load(weight + i)));
    }
    for (; i < width; ++i) {
      to[i] = from[i] * factor * weight[i];
    }
  }
}

template <class V>
void add(float* x, const float* y, int64_t count) {
  int64_t i = 0;
  for (; i + V::kWidth <= count; i += V::kWidth) {
    V::store(x + i, V::add(V::load(x + i), V::load(y + i)));
  }
  for (; i < count; ++i) {
    x[i] += y[i];
  }
}

// gate / (1 + e^−gate) · up, by e^−|gate|, which cannot overflow. Gates below −88 give −0.
template <class V>
inline typename V::Floats silu_times(typename V::Floats gate, typename V::Floats up) {
  using Floats = typename V::Floats;
  gate = V::max(V::set(-88.1F), gate);
  const Floats power = exp_negative<V>(V::min(gate, V::sub(V::zero(), gate)));
  const Floats one = V::set(1.0F);
  const Floats above = V::mul(gate, V::choose(gate, one, power));
  return V::mul(V::div(above, V::add(one, power)), up);
}

template <class V>
void silu_mul(const float* gate_up, int64_t width, int64_t begin, int64_t end, float* out) {
  constexpr int64_t w = V::kWidth;
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + row * 2 * width;
    const float* up = gate + width;
    float* to = out + row * width;
    int64_t i = 0;
    for (; i + w <= width; i += w) {
      V::store(to + i, silu_times<V>(V::load(gate + i), V::load(up + i)));
    }
    if (i < width) {
      float gates[w] = {}, ups[w] = {}, products[w];
      for (int64_t j = i; j < width; ++j) {
        gates[j - i] = gate[j], ups[j - i] = up[j];
      }
      V::store(products, silu_times<V>(V::load(gates), V::load(ups)));
      for (int64_t j = i; j < width; ++j) {
        to[j] = products[j - i];
      }
    }
  }
}

template <class V>
void rotate(float* x, int32_t heads, int32_t head_dim, int32_t rotary, const float* cosines,
            const float* sines) {
  int64_t i = 0;
  for (; i + V::kWidth <= rotary; i += V::kWidth) {
    const typename V::Floats c = V::load_twice(cosines + i / 2);
    const typename V::Floats s = V::load_twice(sines + i / 2);
    float* place = x + i;
    for (int32_t head = 0; head < heads; ++head, place += head_dim) {
      V::store(place, V::turn(V::load(place), c, s));
    }
  }
  for (; i + 2 <= rotary; i += 2) {
    const float c = cosines[i / 2], s = sines[i / 2];
    float* place = x + i;
    for (int32_t head = 0; head < heads; ++head, place += head_dim) {
      const float even = place[0], odd = place[1];
      place[0] = even * c - odd * s;
      place[1] = odd * c + even * s;
    }
  }
}

// As much of `count` floats as a vector holds, and zeros.
template <class V>
inline typename V::Floats load_some(const float* from, int64_t count) {
  if (count >= V::kWidth) {
    return V::load(from);
  }
  float floats[V::kWidth] = {};
  std::memcpy(floats, from, static_cast<size_t>(count) * sizeof(float));
  return V::load(floats);
}

// What fp16 cannot hold becomes the largest that it can: an infinity in the cache would make NaN of
// 0 · ∞ where attention gives a token no weight.
template <class V>
inline typename V::Floats finite(typename V::Floats x) {
  return V::max(V::set(-65504.0F), V::min(V::set(65504.0F), x));
}

// `count` floats as halves.
template <class V>
inline void narrow(const float* from, int64_t count, uint16_t* to) {
  constexpr int64_t w = V::kWidth;
  int64_t i = 0;
  for (; i + w <= count; i += w) {
    V::store_halves(to + i, finite<V>(V::load(from + i)));
  }
  if (i < count) {
    uint16_t halves[w];
    V::store_halves(halves, finite<V>(load_some<V>(from + i, count - i)));
    std::memcpy(to + i, halves, static_cast<size_t>(count - i) * sizeof(uint16_t));
  }
}

// The largest magnitude among `count` floats; NaN where one of them is.
template <class V>
inline float largest_of(const float* from, int64_t count) {
  typename V::Floats most = V::zero(), spoilt = V::zero();
  for (int64_t i = 0; i < count; i += V::kWidth) {
    const typename V::Floats x = finite<V>(load_some<V>(from + i, count - i));
    most = V::max(V::max(x, V::sub(V::zero(), x)), most);
    spoilt = V::fma(x, V::zero(), spoilt);  // which stays 0 but for NaN
  }
  return V::first(V::max_all(most)) + V::sum_all(spoilt);
}

// `count` floats as bytes, to nearest, ties to even. Returns their scale.
template <class V>
inline float narrow(const float* from, int64_t count, int8_t* to) {
  constexpr int64_t w = V::kWidth;
  const float most = largest_of<V>(from, count);
  const bool small = most < 127.0F * 0x1p-126F;  // so small that the inverse may be infinite
  const typename V::Floats inverse = V::set(small ? 0.0F : 127.0F / most);
  int64_t i = 0;
  for (; i + w <= count; i += w) {
    V::store_bytes(to + i, V::mul(finite<V>(V::load(from + i)), inverse));
  }
  if (i < count) {
    int8_t bytes[w];
    V::store_bytes(bytes, V::mul(finite<V>(load_some<V>(from + i, count - i)), inverse));
    std::memcpy(to + i, bytes, static_cast<size_t>(count - i));
  }
  return small ? 0.0F : most / 127.0F;
}

template <class V>
void store(const float* keys, const float* values, const PagedCache& cache, const int32_t* table,
           int32_t position) {
  const int64_t tokens = cache.block_tokens, dim = cache.head_dim;
  const int64_t block = table[position / cache.block_tokens];
  const int64_t token = position % cache.block_tokens;
  for (int64_t group = 0; group < cache.groups; ++group, keys += dim, values += dim) {
    const int64_t row = (block * cache.groups + group) * tokens + token;
    if (cache.number == CacheNumber::q8) {
      cache.key_scales[row] = narrow<V>(keys, dim, static_cast<int8_t*>(cache.keys) + row * dim);
      cache.value_scales[row] =
          narrow<V>(values, dim, static_cast<int8_t*>(cache.values) + row * dim);
    } else {
      narrow<V>(keys, dim, static_cast<uint16_t*>(cache.keys) + row * dim);
      narrow<V>(values, dim, static_cast<uint16_t*>(cache.values) + row * dim);
    }
  }
}

}  // namespace
}  // namespace qingtan
