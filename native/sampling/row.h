// A row of scores, and finding the greatest of them without sorting it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "loops.h"

namespace qingtan {

// The model's logits are not finite.
class NotFinite : public std::domain_error {
 public:
  NotFinite() : std::domain_error("the model's logits are not finite") {}
};

// Memory that outlives a draw, so that none allocates.
struct Scratch {
  std::vector<float> scores;   // a row after masks and penalties
  std::vector<float> maxima;   // of the row's blocks
  std::vector<float> order;    // for partial sorting
  std::vector<float> x;        // candidates: scores, weights and ids, by rising id
  std::vector<float> w;
  std::vector<int32_t> ids;
  std::vector<int32_t> all_ids;  // 0, 1, 2, …

  // Make room for rows of `count` scores.
  void fit(int64_t count);

  // The calling thread's own.
  static Scratch& of_thread();
};

class Row {
 public:
  // Throws NotFinite: a score is NaN or +∞, or all are −∞. The row and the scratch must outlive
  // this.
  Row(const float* scores, int64_t count, const Loops& loops, Scratch& scratch);

  const float* scores() const { return scores_; }
  int64_t count() const { return count_; }
  float greatest() const { return greatest_; }

  // The token of the greatest score, of several the first.
  int32_t likeliest() const;

  // A score that at least k tokens reach; −∞ where nothing better is known.
  float bound_of_top(int64_t k) const;

  // Put the tokens whose score is at least this into the scratch's x and ids, in their order, and
  // return how many they are.
  int64_t collect(float least) const;

 private:
  const float* scores_;
  int64_t count_;
  Scratch& scratch_;
  float greatest_;
};

// Leave the k greatest of `count` candidates in the scratch, of equal ones the first; return how
// many are left.
int64_t keep_top(Scratch& scratch, int64_t count, int64_t k);

}  // namespace qingtan
