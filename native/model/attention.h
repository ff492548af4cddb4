// Attention of a step: positions turned, keys and values put into the cache, the kernel on parts.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "workers.h"

namespace qingtan {

struct AttentionShape {
  int32_t heads;
  int32_t groups;
  int32_t head_dim;
  int32_t context;  // positions that a sequence may have
  double theta;     // base of the rotary frequencies

  int32_t heads_per_group() const { return heads / groups; }
  // Columns of queries, keys and values together.
  int64_t columns() const { return int64_t{heads + 2 * groups} * head_dim; }
};

// One sequence in a step. Its rows stand in the cache from position prefix + start on; the rotary
// position of its first row is `start`, because a prefix has none.
struct StepSequence {
  int32_t first;
  int32_t rows;
  int32_t start;
  int32_t prefix;
  int32_t adapter;  // −1: none
  const int32_t* table;

  Sequence in_cache() const { return {first, rows, prefix + start, table}; }
};

class Attention {
 public:
  Attention(const AttentionShape& shape, Workers& workers);

  // Cut a step into parts, the same for all layers. `sequences` must stay.
  void plan(const std::vector<StepSequence>& sequences);

  // qkv (rows, columns): queries and keys are turned where they are; out (rows, heads · head_dim).
  void run(const PagedCache& cache, float* qkv, float* out);

 private:
  struct Part {
    const StepSequence* sequence;
    int32_t group;
    int32_t head;  // of the group
    int32_t heads;
    int32_t begin;  // rows of the sequence
    int32_t end;
  };

  int64_t work_of(const StepSequence& sequence) const;
  void add_parts(const StepSequence& sequence, int64_t pieces);
  void reserve_scratch();
  void store(const StepSequence& sequence, int32_t row, int32_t group, const PagedCache& cache,
             float* qkv) const;
  void store_all(const PagedCache& cache, float* qkv);
  void attend(const Part& part, const PagedCache& cache, const float* qkv, float* scratch,
              float* out) const;

  const AttentionShape shape_;
  Workers& workers_;
  std::vector<float> cosines_;  // (context, head_dim / 4)
  std::vector<float> sines_;
  const std::vector<StepSequence>* sequences_ = nullptr;
  std::vector<Part> parts_;
  bool split_ = false;   // some group of a sequence is cut into several parts
  bool little_ = false;  // all of it is not worth waking a thread
  Buffer<float> scratch_;
  int64_t scratch_floats_ = 0;  // of each thread
};

}  // namespace qingtan
