// Causal attention for any kind of vector.
//
// The queries of a group (rows × heads) pass over the context in tiles of kTileTokens tokens. A
// tile's keys are turned, so that a vector holds one number of many tokens, and made floats like
// its values, once for all queries (where these are few: while they multiply). A block of a few
// queries times a tile stays in registers: scores first, then the softmax over what has been seen
// so far (a running maximum and sum, as in Milakov & Gimelshein 2018, arXiv:1805.02867), then the
// weighted sum of the values. Scores are in powers of 2: the queries are multiplied by scale ·
// log2(e).
//
// Numbers of a q8 cache enter both products as they are; the scores, and the weights once they have
// been summed, are multiplied by their tokens' scales.
//
// A query's numbers pass through the same steps in the same order whatever queries are beside it:
// tiles begin at multiples of kTileTokens, a score is one chain over head_dim, an output one chain
// over the tokens of a tile, tokens it may not see have weight 0 and add 0.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "../kernels.h"
#include "exp.h"
#include "product.h"
#include "scratch.h"
#include "tile.h"

namespace qingtan {
namespace {

// A chunk of queries and what is known of them so far.
struct Chunk {
  int64_t dim;
  int64_t padded;
  int64_t heads;
  int64_t rows;
  int64_t position;     // of the first row
  float* keys;          // (padded, kTileTokens), may hold halves or bytes
  float* values;        // (kTileTokens, padded)
  float* scores;        // (8, kTileTokens)
  float* key_scales;    // (kTileTokens)
  float* value_scales;  // (kTileTokens)
  float* queries;       // (rows × heads, padded)
  float* outputs;       // (rows × heads, padded)
  float* sums;          // (rows × heads, kLongestVector), of which V::kWidth are used
  float* maxima;        // (rows × heads)
};

// Tokens from `position`: their keys (dim, tokens) and values (tokens, dim), and their scales where
// they have some.
template <class Number>
struct Tile {
  int64_t position;
  Rows<Number> keys;
  Rows<Number> values;
  const float* key_scales;
  const float* value_scales;
};

inline Chunk lay_out(float* scratch, int64_t dim, int64_t heads, int64_t rows, int64_t position) {
  const auto address = reinterpret_cast<uintptr_t>(scratch);
  scratch += (64 - address % 64) % 64 / sizeof(float);
  const int64_t padded = padded_dim(dim);
  const int64_t queries = rows * heads;
  Chunk chunk{dim, padded, heads, rows, position, scratch, {}, {}, {}, {}, {}, {}, {}, {}};
  chunk.values = chunk.keys + kTileTokens * padded;
  chunk.scores = chunk.values + kTileTokens * padded;
  chunk.key_scales = chunk.scores + kTileTokens * 8;
  chunk.value_scales = chunk.key_scales + kTileTokens;
  chunk.queries = chunk.value_scales + kTileTokens;
  chunk.outputs = chunk.queries + queries * padded;
  chunk.sums = chunk.outputs + queries * padded;
  chunk.maxima = chunk.sums + queries * kLongestVector;
  return chunk;
}

// Make weights of a query's scores, of which it may see the first `visible`; its maximum and sums
// go on. Returns by what its output so far must be multiplied.
template <class V>
inline float soften(float* scores, int64_t count, int64_t visible, float* maximum, float* sums) {
  using Floats = typename V::Floats;
  for (int64_t i = visible > 0 ? visible : 0; i < count; ++i) {
    scores[i] = -INFINITY;
  }
  const Floats before = V::set(*maximum);
  Floats most = before;
  for (int64_t i = 0; i < count; i += V::kWidth) {
    most = V::max(most, V::load(scores + i));
  }
  most = V::max_all(most);
  Floats factor = V::set(1.0F);
  Floats sum = V::load(sums);
  if (V::first(most) != *maximum) {
    factor = exp2_negative<V>(V::sub(before, most));
    sum = V::mul(sum, factor);
  }
  for (int64_t i = 0; i < count; i += V::kWidth) {
    const Floats weight = exp2_negative<V>(V::sub(V::load(scores + i), most));
    V::store(scores + i, weight);
    sum = V::add(sum, weight);
  }
  V::store(sums, sum);
  *maximum = V::first(most);
  return V::first(factor);
}

// The first `count` of each of `rows` rows of scores times their tokens' scales, if there are any.
template <class V>
inline void scale_tokens(float* scores, int64_t rows, const float* scales, int64_t count) {
  if (scales == nullptr) {
    return;
  }
  for (int64_t row = 0; row < rows; ++row, scores += kTileTokens) {
    for (int64_t i = 0; i < count; i += V::kWidth) {
      V::store(scores + i, V::mul(V::load(scores + i), V::load(scales + i)));
    }
  }
}

// Q queries from `first` against a tile.
template <class V, int Q, class Number>
void attend_block(const Chunk& chunk, const Tile<Number>& tile, int64_t first) {
  constexpr int64_t w = V::kWidth;
  const int64_t padded = chunk.padded;
  const int64_t seen = chunk.position - tile.position + 1;  // by row 0, if it reaches this tile
  const int64_t tokens = smaller(kTileTokens, seen + (first + Q - 1) / chunk.heads);
  const int64_t vectors = (tokens + w - 1) / w;
  multiply<V, Q, false>(chunk.queries + first * padded, padded, tile.keys, chunk.dim, nullptr,
                        chunk.scores, kTileTokens, vectors);
  scale_tokens<V>(chunk.scores, Q, tile.key_scales, vectors * w);
  float factors[Q];
  for (int64_t q = 0; q < Q; ++q) {
    const int64_t query = first + q;
    factors[q] = soften<V>(chunk.scores + q * kTileTokens, vectors * w,
                           smaller(kTileTokens, seen + query / chunk.heads), chunk.maxima + query,
                           chunk.sums + query * kLongestVector);
  }
  scale_tokens<V>(chunk.scores, Q, tile.value_scales, vectors * w);
  multiply<V, Q, true>(chunk.scores, kTileTokens, tile.values, tokens, factors,
                       chunk.outputs + first * padded, padded, (chunk.dim + w - 1) / w);
}

// attend_block for 1 ≤ count ≤ Q queries.
template <class V, int Q, class Number>
inline void attend_some(const Chunk& chunk, const Tile<Number>& tile, int64_t first,
                        int64_t count) {
  if constexpr (Q > 1) {
    if (count < Q) {
      return attend_some<V, Q - 1, Number>(chunk, tile, first, count);
    }
  }
  attend_block<V, Q, Number>(chunk, tile, first);
}

template <class V>
inline void start_chunk(const Chunk& chunk, const float* queries, int64_t stride, float scale) {
  constexpr int64_t w = V::kWidth;
  const float factor = scale * 0x1.715476p+0F;  // log2(e)
  float* to = chunk.queries;
  for (int64_t row = 0; row < chunk.rows; ++row) {
    const float* from = queries + row * stride;
    for (int64_t head = 0; head < chunk.heads; ++head, from += chunk.dim, to += chunk.padded) {
      int64_t i = 0;
      for (; i + w <= chunk.dim; i += w) {
        V::store(to + i, V::mul(V::load(from + i), V::set(factor)));
      }
      for (; i < chunk.dim; ++i) {
        to[i] = from[i] * factor;
      }
    }
  }
  const int64_t count = chunk.rows * chunk.heads;
  for (int64_t i = 0; i < count * chunk.padded; i += w) {
    V::store(chunk.outputs + i, V::zero());
  }
  for (int64_t i = 0; i < count * kLongestVector; i += w) {
    V::store(chunk.sums + i, V::zero());
  }
  for (int64_t i = 0; i < count; ++i) {
    chunk.maxima[i] = -INFINITY;
  }
}

template <class V>
inline void finish_chunk(const Chunk& chunk, float* out, int64_t stride) {
  constexpr int64_t w = V::kWidth;
  int64_t query = 0;
  for (int64_t row = 0; row < chunk.rows; ++row, out += stride) {
    float* to = out;
    for (int64_t head = 0; head < chunk.heads; ++head, ++query, to += chunk.dim) {
      const float* from = chunk.outputs + query * chunk.padded;
      const float factor = 1.0F / V::sum_all(V::load(chunk.sums + query * kLongestVector));
      // Adding 0 makes 0 of −0, which alone could depend on the tokens that had weight 0.
      int64_t i = 0;
      for (; i + w <= chunk.dim; i += w) {
        V::store(to + i, V::fma(V::load(from + i), V::set(factor), V::zero()));
      }
      for (; i < chunk.dim; ++i) {
        to[i] = from[i] * factor + 0.0F;
      }
    }
  }
}

// `tokens` tokens of the cache from `position`, whose places are kept in `keys_part` and `parts`.
template <class V, class Stored, class Number>
inline Tile<Number> take_tile(const Chunk& chunk, const Context& context, int64_t position,
                              int64_t tokens, const Number** keys_part, const Number** parts) {
  auto* keys = reinterpret_cast<Number*>(chunk.keys);
  *keys_part = keys;
  take_keys<V, Stored>(context, position, tokens, keys);
  Tile<Number> tile{position,
                    {keys_part, chunk.dim, kTileTokens},
                    take_values<V, Stored>(context, position, tokens, chunk.padded, chunk.values,
                                           parts),
                    nullptr,
                    nullptr};
  if constexpr (std::is_same_v<Stored, int8_t>) {
    take_scales(context, context.cache.key_scales, position, tokens, chunk.key_scales);
    take_scales(context, context.cache.value_scales, position, tokens, chunk.value_scales);
    tile.key_scales = chunk.key_scales, tile.value_scales = chunk.value_scales;
  }
  return tile;
}

// The chunk's queries in blocks of nearly the same size over all tiles of `Number`s.
template <class V, class Stored, class Number>
inline void attend_tiles(const Chunk& chunk, const Context& context) {
  const Number* keys_part;
  const Number* parts[kTileTokens];
  const int64_t queries = chunk.rows * chunk.heads;
  const int64_t blocks = (queries + V::kQueries - 1) / V::kQueries;
  const int64_t end = chunk.position + chunk.rows;
  for (int64_t position = 0; position < end; position += kTileTokens) {
    const int64_t tokens = smaller(kTileTokens, end - position);
    const Tile<Number> tile =
        take_tile<V, Stored>(chunk, context, position, tokens, &keys_part, parts);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = queries * block / blocks;
      const int64_t next = queries * (block + 1) / blocks;
      if (chunk.position + (next - 1) / chunk.heads >= position) {
        attend_some<V, V::kQueries, Number>(chunk, tile, first, next - first);
      }
    }
  }
}

// Few queries, up to `few`, take the numbers as they are stored.
template <class V, class Stored>
inline void attend_stored(const Chunk& chunk, const Context& context, int64_t few) {
  if (chunk.rows * chunk.heads <= few && chunk.dim % V::kWidth == 0) {
    attend_tiles<V, Stored, Stored>(chunk, context);
  } else {
    attend_tiles<V, Stored, float>(chunk, context);
  }
}

template <class V>
void attention(const float* queries, int64_t q_stride, int64_t q_offset, int32_t heads_per_group,
               const PagedCache& cache, int32_t group, const Sequence& sequence, int32_t begin,
               int32_t end, float scale, float* scratch, float* out, int64_t out_stride) {
  const Context context(cache, sequence, group, end);
  const int64_t step = chunk_rows(heads_per_group);
  for (int64_t row = begin; row < end; row += step) {
    const Chunk chunk = lay_out(scratch, cache.head_dim, heads_per_group, smaller(step, end - row),
                                sequence.start + row);
    const int64_t place = sequence.first + row;
    start_chunk<V>(chunk, queries + place * q_stride + q_offset, q_stride, scale);
    if (cache.number == CacheNumber::q8) {
      attend_stored<V, int8_t>(chunk, context, V::kByteQueries);
    } else {
      attend_stored<V, uint16_t>(chunk, context, V::kHalfQueries);
    }
    finish_chunk<V>(chunk, out + place * out_stride + q_offset, out_stride);
  }
}

}  // namespace
}  // namespace qingtan
