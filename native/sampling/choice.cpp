// Gumbel-max is run as a race: the greatest of log(weight) − log(E) belongs to the least
// E / weight, E being exponential random numbers. As E is never below the uniform number that it is
// made of, a token can only win where that number is below the best quotient so far times its
// weight: one comparison, and a logarithm for the few tokens that pass it.
//
// top_p needs no sorting either: the race is run among all tokens that may belong to the nucleus,
// and its winner accepted where it does: where what is likelier has less than top_p together. Where
// it does not, nothing as unlikely does, and the race is run again without. Whoever wins among more
// runners wins among fewer, so the result is that of a race in the nucleus alone.
#include "choice.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "random.h"

namespace qingtan {
namespace {

// What rounding may do to a logarithm of weights, amply.
constexpr double kSlack = 1e-3;

// A quotient bound as float must not be below the true one, nor that of rounded products.
constexpr double kWiden = 1.0 + 1e-6;

class Choice {
 public:
  Choice(const Row& row, const Filters& filters, uint64_t state, const Loops& loops,
         Scratch& scratch)
      : row_(row), filters_(filters), state_(state), loops_(loops), scratch_(scratch),
        scale_{row.greatest(), static_cast<float>(inverse_of(filters.temperature))} {}

  int32_t token() {
    const bool all = filters_.top_p >= 1.0 && filters_.min_p <= 0.0;
    const bool cut = 0 < filters_.top_k && filters_.top_k < row_.count();
    if (cut) {
      count_ = row_.collect(row_.bound_of_top(filters_.top_k));
      count_ = keep_top(scratch_, count_, filters_.top_k);
    }
    const float* x = cut ? scratch_.x.data() : row_.scores();
    const int64_t count = cut ? count_ : row_.count();
    double total = 0.0;
    if (all || filters_.top_p < 1.0) {
      total = loops_.weigh(x, count, scale_, all ? scratch_.w.data() : nullptr);
    }
    if (all) {
      return winner(cut ? scratch_.ids : scratch_.all_ids, count);
    }
    const float least = least_score(total, count);
    if (cut) {
      keep([least](float score) { return score >= least; });
    } else {
      count_ = row_.collect(least);
    }
    return winner_of_nucleus(filters_.top_p * total);
  }

 private:
  static double inverse_of(double temperature) {
    constexpr double most = std::numeric_limits<float>::max();
    return std::min(1.0 / temperature, most);
  }

  // Where min_p cuts; or where top_p cannot but cut, if that is higher: tokens of less than this
  // have less than 1 − top_p all together.
  float least_score(double total, int64_t count) const {
    double least = std::log(filters_.min_p) * filters_.temperature;
    if (filters_.top_p < 1.0) {
      const double outside = (1.0 - filters_.top_p) * total / static_cast<double>(count);
      least = std::max(least, (std::log(outside) - kSlack) * filters_.temperature);
    }
    // The least float of at least this: rounding must not move a border.
    const double border = static_cast<double>(row_.greatest()) + least;
    const auto score = static_cast<float>(
        std::max(border, -static_cast<double>(std::numeric_limits<float>::max())));
    return static_cast<double>(score) < border
               ? std::nextafter(score, std::numeric_limits<float>::infinity())
               : score;
  }

  template <class Condition>
  void keep(Condition good) {
    size_t kept = 0;
    for (size_t i = 0; i < static_cast<size_t>(count_); i++) {
      scratch_.x[kept] = scratch_.x[i];
      scratch_.ids[kept] = scratch_.ids[i];
      kept += good(scratch_.x[kept]) ? 1 : 0;
    }
    count_ = static_cast<int64_t>(kept);
  }

  int32_t winner_of_nucleus(double mass) {
    while (true) {
      loops_.weigh(scratch_.x.data(), count_, scale_, scratch_.w.data());
      const int32_t token = winner(scratch_.ids, count_);
      const float score = row_.scores()[token];
      if (filters_.top_p >= 1.0 || score == row_.greatest() || above(score) < mass) {
        return token;
      }
      keep([score](float other) { return other > score; });
    }
  }

  double above(float score) const {
    return loops_.sum_above(scratch_.x.data(), scratch_.w.data(), count_, score);
  }

  // The winner among the first `count` of the scratch's weights, which are those of `ids`. The
  // likeliest token, which every filter leaves, runs first: its quotient excludes most others.
  int32_t winner(const std::vector<int32_t>& ids, int64_t count) {
    best_token_ = row_.likeliest();
    best_ = exponential(output(state_, static_cast<uint64_t>(best_token_)));
    const int64_t blocks = blocks_of(count);
    for (int64_t block = 0; block < blocks; block++) {
      block = loops_.next_contender(scratch_.w.data(), ids.data(), block, blocks, state_,
                                    static_cast<float>(best_ * kWiden));
      const int64_t end = std::min((block + 1) * kBlock, count);
      for (int64_t i = block * kBlock; i < end; i++) {
        run(ids[static_cast<size_t>(i)], scratch_.w[static_cast<size_t>(i)]);
      }
    }
    return best_token_;
  }

  void run(int32_t token, float weight) {
    const uint64_t bits = output(state_, static_cast<uint64_t>(token));
    const double w = static_cast<double>(weight);
    if (static_cast<double>(below_exponential(bits)) > best_ * w * kWiden || weight <= 0.0F) {
      return;
    }
    const double quotient = exponential(bits) / w;
    if (quotient < best_ || (quotient == best_ && token < best_token_)) {
      best_ = quotient;
      best_token_ = token;
    }
  }

  const Row& row_;
  const Filters& filters_;
  uint64_t state_;
  const Loops& loops_;
  Scratch& scratch_;
  Scale scale_;
  int64_t count_ = 0;  // candidates in the scratch
  double best_ = 0.0;
  int32_t best_token_ = 0;
};

}  // namespace

int32_t choose(const float* scores, int64_t count, const Filters& filters, uint64_t state,
               const Loops& loops, Scratch& scratch) {
  const Row row(scores, count, loops, scratch);
  if (filters.temperature == 0.0) {
    return row.likeliest();
  }
  return Choice(row, filters, state, loops, scratch).token();
}

}  // namespace qingtan
