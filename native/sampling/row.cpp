#include "row.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace qingtan {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// The k-th greatest of `count` numbers, whose copy `order` becomes.
float kth_greatest(const std::vector<float>& numbers, int64_t count, int64_t k,
                   std::vector<float>& order) {
  std::copy_n(numbers.begin(), count, order.begin());
  std::nth_element(order.begin(), order.begin() + (k - 1), order.begin() + count,
                   std::greater<float>());
  return order[static_cast<size_t>(k - 1)];
}

}  // namespace

void Scratch::fit(int64_t count) {
  const auto size = static_cast<size_t>(blocks_of(count) * kBlock);
  if (size <= scores.size()) {
    return;
  }
  for (std::vector<float>* floats : {&scores, &maxima, &order, &x, &w}) {
    floats->resize(size);
  }
  ids.resize(size);
  all_ids.resize(size);
  std::iota(all_ids.begin(), all_ids.end(), 0);
}

Scratch& Scratch::of_thread() {
  thread_local Scratch scratch;
  return scratch;
}

Row::Row(const float* scores, int64_t count, const Loops& loops, Scratch& scratch)
    : scores_(scores), count_(count), scratch_(scratch) {
  scratch.fit(count);
  const bool numbers = loops.maxima(scores, count, scratch.maxima.data());
  greatest_ = *std::max_element(scratch.maxima.begin(), scratch.maxima.begin() + blocks_of(count));
  if (!numbers || !std::isfinite(greatest_)) {
    throw NotFinite();
  }
}

int32_t Row::likeliest() const {
  const auto block = std::find(scratch_.maxima.begin(), scratch_.maxima.end(), greatest_);
  const float* from = scores_ + (block - scratch_.maxima.begin()) * kBlock;
  return static_cast<int32_t>(std::find(from, scores_ + count_, greatest_) - scores_);
}

// Each of the blocks with the k greatest maxima holds a token that reaches the least of these.
float Row::bound_of_top(int64_t k) const {
  const int64_t blocks = blocks_of(count_);
  return k > blocks ? kNothing : kth_greatest(scratch_.maxima, blocks, k, scratch_.order);
}

int64_t Row::collect(float least) const {
  float* x = scratch_.x.data();
  int32_t* ids = scratch_.ids.data();
  int64_t kept = 0;
  for (int64_t begin = 0; begin < count_; begin += kBlock) {
    if (scratch_.maxima[static_cast<size_t>(begin / kBlock)] < least) {
      continue;
    }
    const int64_t end = std::min(begin + kBlock, count_);
    for (int64_t i = begin; i < end; i++) {  // no branch: there is nothing to foresee
      x[kept] = scores_[i];
      ids[kept] = static_cast<int32_t>(i);
      kept += scores_[i] >= least ? 1 : 0;
    }
  }
  return kept;
}

int64_t keep_top(Scratch& scratch, int64_t count, int64_t k) {
  if (count <= k) {
    return count;
  }
  const float least = kth_greatest(scratch.x, count, k, scratch.order);
  const auto above = [&](float x) { return x > least; };
  int64_t equals = k - std::count_if(scratch.x.begin(), scratch.x.begin() + count, above);
  size_t kept = 0;
  for (size_t i = 0; i < static_cast<size_t>(count); i++) {
    const float x = scratch.x[i];
    if (x > least || (x == least && equals-- > 0)) {
      scratch.x[kept] = x;
      scratch.ids[kept++] = scratch.ids[i];
    }
  }
  return static_cast<int64_t>(kept);
}

}  // namespace qingtan
