// Keys and values of all layers, in blocks of tokens.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "kernels.h"

namespace qingtan {

// What a cache is made of; block_tokens is a power of two, head_dim a multiple of 4.
struct CacheShape {
  int32_t layers;
  int32_t groups;
  int32_t head_dim;
  int32_t blocks;
  int32_t block_tokens;
  CacheNumber number = CacheNumber::f16;
};

// The memory is asked of the system all at once, as zeros: pages never written to take none.
class Cache {
 public:
  // Throws std::bad_alloc.
  explicit Cache(const CacheShape& shape);

  // Bytes of one block in all layers; −1 where they are more than a size can say.
  static int64_t block_bytes(const CacheShape& shape);

  const CacheShape& shape() const { return shape_; }
  int64_t bytes() const { return block_bytes(shape_) * shape_.blocks; }

  // A layer as the kernels see it.
  PagedCache layer(int32_t layer) const;

  // Copy one block in all layers.
  void copy(int32_t source, int32_t target);

  // Put keys and values (groups, tokens, head_dim) at the positions from 0 of a table's blocks.
  void write(int32_t layer, const float* keys, const float* values, int64_t tokens,
             const int32_t* table);

  // The inverse, as the cache has rounded them.
  void read(int32_t layer, float* keys, float* values, int64_t tokens, const int32_t* table) const;

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  CacheShape shape_;
  // Of the keys or the values of one layer, to the next multiples of 64.
  int64_t number_bytes_;
  int64_t scale_bytes_;
  std::unique_ptr<void, Free> memory_;
  uint8_t* first_;
};

}  // namespace qingtan
