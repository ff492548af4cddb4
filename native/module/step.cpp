// A step that comes from Python: everything that the model trusts is checked here.
#include <limits>

#include "model.h"

namespace qingtan {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
constexpr int64_t kNumbers = 4;  // rows, start, prefix, adapter

void require_fitting_cache(const Model& model, const Cache& cache) {
  const AttentionShape& shape = model.parts().shape;
  const bool fits = cache.shape().layers == static_cast<int64_t>(model.parts().layers.size()) &&
                    cache.shape().groups == shape.groups &&
                    cache.shape().head_dim == shape.head_dim;
  require(fits, "cache", "must have the model's layers, groups and head_dim");
}

// Throws as require_between does, which makes its message beforehand: here only where it is needed.
void require_number(const char* name, int64_t number, int64_t from, int64_t to) {
  if (number < from || number > to) {
    require_between(name, number, from, to);
  }
}

void require_sequence(const Model& model, const Cache& cache, const int32_t* numbers,
                      const int32_t* table, int64_t table_width) {
  const int64_t context = model.parts().shape.context;
  require_number("sequences: rows", numbers[0], 1, context);
  require_number("sequences: start", numbers[1], 0, context - numbers[0]);
  require_number("sequences: prefix", numbers[2], 0, kMost - context);
  require_number("sequences: adapter", numbers[3], -1, model.adapters() - 1);
  const int64_t positions = int64_t{numbers[0]} + numbers[1] + numbers[2];
  require_blocks("tables", table, table_width, positions, cache);
}

void require_sequences(const Model& model, const Cache& cache, const Step& step) {
  int64_t rows = 0;
  for (int64_t i = 0; i < step.sequences; i++) {
    const int32_t* numbers = step.numbers + kNumbers * i;
    require_sequence(model, cache, numbers, step.tables + i * step.table_width, step.table_width);
    rows += numbers[0];
  }
  if (rows != step.rows) {
    require(false, "tokens", "must be as many as the sequences' rows, " + std::to_string(rows));
  }
}

void require_ascending(const char* name, const int32_t* numbers, int64_t count) {
  for (int64_t i = 1; i < count; i++) {
    require(numbers[i - 1] < numbers[i], name, "must ascend");
  }
}

}  // namespace

void require_all_between(const char* name, const int32_t* numbers, int64_t count, int64_t from,
                         int64_t to) {
  for (int64_t i = 0; i < count; i++) {
    require_number(name, numbers[i], from, to);
  }
}

void require_blocks(const char* name, const int32_t* table, int64_t entries, int64_t positions,
                    const Cache& cache) {
  const int64_t tokens = cache.shape().block_tokens;
  const int64_t needed = (positions + tokens - 1) / tokens;
  if (needed > entries) {
    require(false, name, "must name a block for every position");
  }
  require_all_between(name, table, needed, 0, cache.shape().blocks - 1);
}

Step checked_step(const Model& model, const Cache& cache, const StepArrays& arrays) {
  require_array("tokens", arrays.tokens, Type::i32, {kAny});
  require_array("sequences", arrays.sequences, Type::i32, {kAny, kNumbers});
  const int64_t sequences = length(arrays.sequences, 0);
  require_array("tables", arrays.tables, Type::i32, {sequences, kAny});
  require_array("rows", arrays.rows, Type::i32, {kAny});
  require_array("pooled", arrays.pooled, Type::i32, {kAny});
  const int64_t wanted = length(arrays.rows, 0);
  const int64_t pooled = length(arrays.pooled, 0);
  require_array("logits", arrays.logits, Type::f32, {wanted, model.vocabulary()});
  require_array("hidden", arrays.hidden, Type::f32, {pooled, model.width()});
  require_number("tokens: length", length(arrays.tokens, 0), 1, kMost);
  const Step step{length(arrays.tokens, 0), data_of<int32_t>(arrays.tokens),
                  sequences,                data_of<int32_t>(arrays.sequences),
                  data_of<int32_t>(arrays.tables), length(arrays.tables, 1),
                  wanted,                   data_of<int32_t>(arrays.rows),
                  data_of<float>(arrays.logits),   pooled,
                  data_of<int32_t>(arrays.pooled), data_of<float>(arrays.hidden)};
  require_fitting_cache(model, cache);
  require_sequences(model, cache, step);
  require_all_between("tokens", step.tokens, step.rows, 0, model.vocabulary() - 1);
  require_all_between("rows", step.wanted, wanted, 0, step.rows - 1);
  require_all_between("pooled", step.pooled, pooled, 0, sequences - 1);
  require_ascending("pooled", step.pooled, pooled);
  return step;
}

}  // namespace qingtan
