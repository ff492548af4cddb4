// How the vector kernels cut attention into pieces, and the scratch that this takes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qingtan {
namespace {

// Tokens whose keys and values are made floats at a time. Tiles begin at multiples of this in the
// sequence, wherever the rows begin, so that every row adds up its tokens in the same order.
constexpr int64_t kTileTokens = 64;

// Queries (rows × heads) that pass over the tiles together: enough to make the conversion of a tile
// cheap beside them, few enough that their sums stay in the second-level cache.
constexpr int64_t kChunkQueries = 192;

// Numbers of the longest vector, to which rows of values are padded.
constexpr int64_t kLongestVector = 16;

constexpr int64_t chunk_rows(int64_t heads) {
  return heads >= kChunkQueries ? 1 : kChunkQueries / heads;
}

constexpr int64_t padded_dim(int64_t head_dim) {
  return (head_dim + kLongestVector - 1) / kLongestVector * kLongestVector;
}

// Floats of scratch for so many rows and heads, whatever the context.
constexpr size_t tiled_attention_scratch(int64_t rows, int64_t heads, int64_t head_dim) {
  const int64_t together = rows < chunk_rows(heads) ? rows : chunk_rows(heads);
  const int64_t queries = (together * heads + kLongestVector - 1) / kLongestVector * kLongestVector;
  const int64_t padded = padded_dim(head_dim);
  // Keys, values, scores of up to 8 queries, scales of keys and values.
  const int64_t tile = kTileTokens * (2 * padded + 8 + 2);
  const int64_t each = 2 * padded + kLongestVector + 1;  // query, output, sums, maximum
  return static_cast<size_t>(tile + queries * each + kLongestVector);  // and room to align
}

}  // namespace
}  // namespace qingtan
