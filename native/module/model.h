// Cache, Layer and Model as Python sees them.
#pragma once

#include "checks.h"
#include "model/cache.h"
#include "model/model.h"

namespace qingtan {

// What a call of forward is given, all of it checked: the step can be computed.
struct StepArrays {
  const In& tokens;
  const In& sequences;
  const In& tables;
  const In& rows;
  const Out& logits;
  const In& pooled;
  const Out& hidden;
};
Step checked_step(const Model& model, const Cache& cache, const StepArrays& arrays);

// Throws where some of count numbers is not from ≤ number ≤ to.
void require_all_between(const char* name, const int32_t* numbers, int64_t count, int64_t from,
                         int64_t to);

// That the table names a block of the cache for every position below `positions`.
void require_blocks(const char* name, const int32_t* table, int64_t entries, int64_t positions,
                    const Cache& cache);

void bind_cache(nb::module_& module);
void bind_model(nb::module_& module);

}  // namespace qingtan
