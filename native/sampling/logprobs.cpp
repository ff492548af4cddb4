#include "logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "row.h"

namespace qingtan {
namespace {

// The likeliest `top` tokens, the likeliest first.
std::vector<int32_t> likeliest(const Row& row, Scratch& scratch, int64_t top) {
  const int64_t wanted = std::min(top, row.count());
  if (wanted == 0) {
    return {};
  }
  const int64_t count = keep_top(scratch, row.collect(row.bound_of_top(wanted)), wanted);
  std::vector<int32_t> ids(scratch.ids.begin(), scratch.ids.begin() + count);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return row.scores()[a] > row.scores()[b];
  });
  return ids;
}

}  // namespace

Logprobs logprobs(const float* logits, int64_t vocab, int32_t token, int64_t top) {
  Scratch& scratch = Scratch::of_thread();
  const Loops& loops = best_loops();
  const Row row(logits, vocab, loops, scratch);
  const double sum = loops.weigh(logits, vocab, {row.greatest(), 1.0F}, nullptr);
  const double normalizer = static_cast<double>(row.greatest()) + std::log(sum);
  const auto value = [&](int32_t id) { return static_cast<double>(logits[id]) - normalizer; };
  Logprobs result{value(token), likeliest(row, scratch, top), {}};
  for (const int32_t id : result.ids) {
    result.values.push_back(value(id));
  }
  return result;
}

}  // namespace qingtan
