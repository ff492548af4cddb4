// A tile of keys and values out of the cache, as floats, or as the cache holds them (`Stored`:
// halves or bytes) where so few queries use them that making floats of them while multiplying is
// cheaper (the values are then left where they are). Floats made of bytes are not yet multiplied by
// their token's scale.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../kernels.h"
#include "product.h"
#include "scratch.h"
#include "unroll.h"

namespace qingtan {
namespace {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Where a group's keys and values of a sequence are.
struct Context {
  const PagedCache& cache;
  const int32_t* table;
  int64_t group;
  int64_t end;    // positions that may be read
  int32_t shift;  // block_tokens = 2^shift

  Context(const PagedCache& of, const Sequence& sequence, int32_t its_group, int32_t row_end)
      : cache(of),
        table(sequence.table),
        group(its_group),
        end(sequence.start + row_end),
        shift(0) {
    while ((1 << shift) < cache.block_tokens) {
      ++shift;
    }
  }

  // The row of a token in keys and values, and its place in their scales.
  int64_t row(int64_t position) const {
    const int64_t block = table[position >> shift];
    const int64_t token = position & (cache.block_tokens - 1);
    return (block * cache.groups + group) * cache.block_tokens + token;
  }

  // A token's first number in `numbers`, which are the cache's keys or values.
  template <class Stored>
  const Stored* place(const void* numbers, int64_t position) const {
    return static_cast<const Stored*>(numbers) + row(position) * cache.head_dim;
  }

  // How many tokens from this one on lie one after the other, `most` at most.
  int64_t together(int64_t position, int64_t most) const {
    return smaller(most, cache.block_tokens - (position & (cache.block_tokens - 1)));
  }
};

// Fetch `count` tokens of the tile that comes after the one in work.
template <class Stored>
inline void prefetch(const Context& context, const void* numbers, int64_t position,
                     int64_t count) {
  constexpr int64_t line = 64 / sizeof(Stored);
  count = smaller(count, context.end - position);
  while (count > 0) {
    const int64_t run = context.together(position, count);
    const Stored* from = context.place<Stored>(numbers, position);
    for (int64_t i = 0; i < run * context.cache.head_dim; i += line) {
      QINGTAN_PREFETCH(from + i);
    }
    position += run, count -= run;
  }
}

// Where the keys of 16 tokens are; beyond `tokens` the last one again.
template <class Stored>
inline void find_keys(const Context& context, int64_t position, int64_t tokens,
                      const Stored** rows) {
  const int64_t mask = context.cache.block_tokens - 1;
  const Stored* row = nullptr;
  for (int64_t j = 0; j < 16; ++j, ++position) {
    if (j == 0 || (j < tokens && (position & mask) == 0)) {
      row = context.place<Stored>(context.cache.keys, position);
    } else if (j < tokens) {
      row += context.cache.head_dim;
    }
    rows[j] = row;
  }
}

// Keys of `tokens` tokens from `tile`, turned: (head_dim, kTileTokens), whole groups of 16 tokens.
template <class V, class Stored, class Number>
inline void take_keys(const Context& context, int64_t tile, int64_t tokens, Number* keys) {
  const int64_t dim = context.cache.head_dim;
  for (int64_t token = 0; token < tokens; token += 16) {
    const Stored* rows[16];
    find_keys(context, tile + token, tokens - token, rows);
    prefetch<Stored>(context, context.cache.keys, tile + kTileTokens + token, 16);
    int64_t i = 0;
    for (; i + 16 <= dim; i += 16) {
      V::transpose(rows, keys + i * kTileTokens + token, kTileTokens);
      for (auto& row : rows) {
        row += 16;
      }
    }
    if (i < dim) {
      Stored rest[16][16] = {};
      for (int64_t j = 0; j < 16; ++j) {
        std::memcpy(rest[j], rows[j], static_cast<size_t>(dim - i) * sizeof(Stored));
        rows[j] = rest[j];
      }
      V::transpose(rows, keys + i * kTileTokens + token, kTileTokens);
    }
  }
}

// One token's values, padded with zeros.
template <class V, class Stored>
inline void take_row(const Stored* row, int64_t dim, int64_t padded, float* values) {
  int64_t i = 0;
  for (; i + V::kWidth <= dim; i += V::kWidth) {
    V::store(values + i, V::load(row + i));
  }
  for (; i < dim; i += 4) {
    V::widen4(row + i, values + i);
  }
  for (; i < padded; ++i) {
    values[i] = 0.0F;
  }
}

// Values of `tokens` tokens from `tile` made floats in `values` (tokens, padded).
template <class V, class Stored>
inline Rows<float> widen_values(const Context& context, int64_t tile, int64_t tokens,
                                int64_t padded, float* values, const float** parts) {
  const int64_t dim = context.cache.head_dim;
  parts[0] = values;
  for (int64_t token = 0; token < tokens;) {
    const int64_t run = context.together(tile + token, tokens - token);
    const Stored* row = context.place<Stored>(context.cache.values, tile + token);
    prefetch<Stored>(context, context.cache.values, tile + kTileTokens + token, run);
    for (const int64_t end = token + run; token < end; ++token, row += dim, values += padded) {
      take_row<V>(row, dim, padded, values);
    }
  }
  return {parts, tokens, padded};
}

// The same where they lie, which are `parts`: head_dim must be whole vectors.
template <class Stored>
inline Rows<Stored> find_values(const Context& context, int64_t tile, int64_t tokens,
                                const Stored** parts) {
  const int64_t run = smaller(kTileTokens, context.cache.block_tokens);
  for (int64_t token = 0; token < tokens; token += run) {
    *parts++ = context.place<Stored>(context.cache.values, tile + token);
    prefetch<Stored>(context, context.cache.values, tile + kTileTokens + token, run);
  }
  return {parts - (tokens + run - 1) / run, run, context.cache.head_dim};
}

// As floats, with room for them in `values`, or as they are stored.
template <class V, class Stored, class Number>
inline Rows<Number> take_values(const Context& context, int64_t tile, int64_t tokens,
                                int64_t padded, float* values, const Number** parts) {
  if constexpr (std::is_same_v<Number, Stored>) {
    return find_values<Stored>(context, tile, tokens, parts);
  } else {
    return widen_values<V, Stored>(context, tile, tokens, padded, values, parts);
  }
}

// The scales, of keys or values, of `tokens` tokens from `tile`, and zeros: kTileTokens.
inline void take_scales(const Context& context, const float* scales, int64_t tile, int64_t tokens,
                        float* out) {
  for (int64_t token = 0; token < tokens;) {
    const int64_t run = context.together(tile + token, tokens - token);
    const float* from = scales + context.row(tile + token);
    std::memcpy(out + token, from, static_cast<size_t>(run) * sizeof(float));
    token += run;
  }
  std::memset(out + tokens, 0, static_cast<size_t>(kTileTokens - tokens) * sizeof(float));
}

}  // namespace
}  // namespace qingtan
