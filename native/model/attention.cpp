#include "attention.h"

#include <algorithm>
#include <cmath>

namespace qingtan {

// θᵢ = theta^(−2i / (head_dim / 2)): what is turned is a head's first half. Angles are rounded to
// float32 as in glm/model.py, whose far positions are off by the same amount.
Attention::Attention(const AttentionShape& shape, Workers& workers)
    : shape_(shape), workers_(workers) {
  const int32_t pairs = shape.head_dim / 4;
  std::vector<float> frequencies;
  for (int32_t i = 0; i < pairs; i++) {
    const float exponent = static_cast<float>(i) / static_cast<float>(pairs);
    frequencies.push_back(static_cast<float>(std::pow(shape.theta, -double{exponent})));
  }
  cosines_.reserve(static_cast<size_t>(shape.context) * frequencies.size());
  sines_.reserve(cosines_.capacity());
  for (int32_t position = 0; position < shape.context; position++) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      cosines_.push_back(static_cast<float>(std::cos(double{angle})));
      sines_.push_back(static_cast<float>(std::sin(double{angle})));
    }
  }
}

// Products of one group, for its queries and for its weights.
int64_t Attention::work_of(const StepSequence& sequence) const {
  const int64_t seen = int64_t{sequence.prefix} + sequence.start + (sequence.rows + 1) / 2;
  return 2 * seen * sequence.rows * shape_.heads_per_group() * shape_.head_dim;
}

void Attention::plan(const std::vector<StepSequence>& sequences) {
  constexpr int64_t little = 32768;
  constexpr int64_t parts_per_thread = 2;
  constexpr int64_t least_work = 262144;  // some 20 µs, against reading the keys once more
  const int64_t threads = workers_.threads();
  int64_t work = 0;
  for (const StepSequence& sequence : sequences) {
    work += work_of(sequence) * shape_.groups;
  }
  const int64_t target = std::max(work / (threads * parts_per_thread), least_work);
  sequences_ = &sequences;
  little_ = threads == 1 || work < little;
  split_ = false;
  parts_.clear();
  for (const StepSequence& sequence : sequences) {
    const int64_t pieces = (work_of(sequence) + target - 1) / target;
    add_parts(sequence, threads == 1 ? 1 : pieces);
  }
  reserve_scratch();
}

// Rows are split first: they share little. The heads of a group read the same keys and values.
void Attention::add_parts(const StepSequence& sequence, int64_t pieces) {
  constexpr int64_t least_rows = 16;
  const int64_t rows = sequence.rows;
  const int64_t heads = shape_.heads_per_group();
  const int64_t row_pieces = std::min(pieces, (rows + least_rows - 1) / least_rows);
  const int64_t head_pieces = std::min(heads, pieces / row_pieces);
  split_ = split_ || row_pieces * head_pieces > 1;
  for (int32_t group = 0; group < shape_.groups; group++) {
    for (int64_t i = 0; i < row_pieces; i++) {
      for (int64_t j = 0; j < head_pieces; j++) {
        const int64_t head = heads * j / head_pieces;
        parts_.push_back({&sequence, group, static_cast<int32_t>(head),
                          static_cast<int32_t>(heads * (j + 1) / head_pieces - head),
                          static_cast<int32_t>(rows * i / row_pieces),
                          static_cast<int32_t>(rows * (i + 1) / row_pieces)});
      }
    }
  }
}

void Attention::reserve_scratch() {
  constexpr int64_t line = 16;  // floats; threads do not write to each other's lines
  scratch_floats_ = 0;
  for (const Part& part : parts_) {
    const Sequence sequence = part.sequence->in_cache();
    const size_t floats = attention_scratch(part.end - part.begin, part.heads,
                                            sequence.start + part.end, shape_.head_dim);
    scratch_floats_ = std::max(scratch_floats_, static_cast<int64_t>(floats));
  }
  scratch_floats_ = (scratch_floats_ + line - 1) / line * line;
  scratch_.reserve(scratch_floats_ * workers_.threads());
}

void Attention::run(const PagedCache& cache, float* qkv, float* out) {
  if (split_) {
    store_all(cache, qkv);
  }
  const auto compute = [&](int64_t i, int thread) {
    const Part& part = parts_[static_cast<size_t>(i)];
    for (int32_t row = part.begin; row < part.end && !split_; row++) {
      store(*part.sequence, row, part.group, cache, qkv);
    }
    attend(part, cache, qkv, scratch_.data() + thread * scratch_floats_, out);
  };
  const int64_t count = static_cast<int64_t>(parts_.size());
  if (little_) {
    for (int64_t i = 0; i < count; i++) {
      compute(i, 0);
    }
  } else {
    workers_.run(count, compute);
  }
}

// Turn a row's queries and key of one group, and put key and value into the cache.
void Attention::store(const StepSequence& sequence, int32_t row, int32_t group,
                      const PagedCache& cache, float* qkv) const {
  const Kernels& kernels = workers_.kernels();
  const int64_t dim = shape_.head_dim;
  const int32_t heads = shape_.heads_per_group();
  const int64_t angles = (int64_t{sequence.start} + row) * (dim / 4);
  const float* cosines = cosines_.data() + angles;
  const float* sines = sines_.data() + angles;
  float* queries = qkv + (int64_t{sequence.first} + row) * shape_.columns();
  float* key = queries + (int64_t{shape_.heads} + group) * dim;
  const int32_t rotary = shape_.head_dim / 2;
  kernels.rotate(queries + int64_t{group} * heads * dim, heads, shape_.head_dim, rotary, cosines,
                 sines);
  kernels.rotate(key, 1, shape_.head_dim, rotary, cosines, sines);
  // One group of the cache is a cache of one group, with more and smaller blocks.
  PagedCache one = cache;
  one.groups = 1;
  const int32_t position = sequence.prefix + sequence.start + row;
  const int32_t block = sequence.table[position / cache.block_tokens] * cache.groups + group;
  kernels.store(key, key + shape_.groups * dim, one, &block, position % cache.block_tokens);
}

// Where parts share keys, all of them must be there before.
void Attention::store_all(const PagedCache& cache, float* qkv) {
  for (const StepSequence& sequence : *sequences_) {
    workers_.run_rows(sequence.rows, shape_.columns(), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        for (int32_t group = 0; group < shape_.groups; group++) {
          store(sequence, static_cast<int32_t>(row), group, cache, qkv);
        }
      }
    });
  }
}

void Attention::attend(const Part& part, const PagedCache& cache, const float* qkv, float* scratch,
                       float* out) const {
  const int64_t head = int64_t{part.group} * shape_.heads_per_group() + part.head;
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  workers_.kernels().attention(qkv, shape_.columns(), head * shape_.head_dim, part.heads, cache,
                               part.group, part.sequence->in_cache(), part.begin, part.end, scale,
                               scratch, out, int64_t{shape_.heads} * shape_.head_dim);
}

}  // namespace qingtan
