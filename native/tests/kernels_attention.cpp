// store and attention of every table, on caches of both kinds, against plain loops in double.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "check.h"

namespace qingtan::testing {
namespace {

using Doubles = std::vector<double>;

double from_half(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const double size = exponent == 0    ? std::ldexp(fraction, -24)
                      : exponent == 31 ? NAN
                                       : std::ldexp(fraction + 1024, exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

struct Shape {
  CacheNumber number;
  int32_t block;
  int32_t dim;
  int32_t heads;  // of a group
  int32_t start;
  int32_t rows;

  int32_t context() const { return start + rows; }
  std::string name() const {
    const auto text = [](const char* what, int32_t n) { return what + std::to_string(n); };
    return (number == CacheNumber::q8 ? "q8" : "f16") + text(", block ", block) +
           text(", dim ", dim) + text(", heads ", heads) + text(", start ", start) +
           text(", rows ", rows);
  }
};

constexpr int32_t kGroups = 2;
constexpr int32_t kFirst = 2;  // the sequence's first row in the step

// Keys or values: their numbers in shuffled blocks, all that is not in use not a number.
struct Side {
  Side(const Shape& shape, int64_t blocks, Random& random, float deviation)
      : q8(shape.number == CacheNumber::q8), dim(shape.dim), rows(blocks * kGroups * shape.block),
        halves(q8 ? 0 : rows * dim), bytes(q8 ? rows * dim : 0), scales(q8 ? rows : 0),
        given(int64_t{shape.context()} * kGroups * dim) {
    std::fill(halves.data(), halves.data() + halves.size(), uint16_t{0x7E00});
    std::fill(scales.data(), scales.data() + scales.size(), NAN);
    given.fill(random, deviation);
  }

  void* numbers() { return q8 ? static_cast<void*>(bytes.data()) : halves.data(); }

  double at(int64_t row, int64_t i) const {
    return q8 ? double{scales[row]} * bytes[row * dim + i] : from_half(halves[row * dim + i]);
  }

  bool intact() const { return halves.intact() && bytes.intact() && scales.intact(); }

  // So near is row `row` of the cache to what was stored in it.
  bool near(int64_t row, const float* right) const {
    double most = 0.0;
    for (int64_t i = 0; i < dim; ++i) {
      most = std::max(most, std::abs(std::clamp(double{right[i]}, -65504.0, 65504.0)));
    }
    bool good = !q8 || std::abs(double{scales[row]} - most / 127) <= 1e-7 * most / 127;
    for (int64_t i = 0; i < dim; ++i) {
      const double exact = std::clamp(double{right[i]}, -65504.0, 65504.0);
      const double allowed = q8 ? most / 127 * 0.50001 : std::abs(exact) / 2047 + 0x1p-25;
      good = good && std::abs(at(row, i) - exact) <= allowed;
    }
    return good;
  }

  bool q8;
  int64_t dim, rows;
  Guarded<uint16_t> halves;
  Guarded<int8_t> bytes;
  Floats scales;
  Floats given;
};

class Case {
 public:
  Case(const Kernels& kernels, const Shape& shape, float deviation)
      : kernels_(kernels), shape_(shape), random_(7),
        table_((shape.context() + shape.block - 1) / shape.block),
        keys_(shape, table_.size() + 2, random_, deviation),
        values_(shape, table_.size() + 2, random_, 1.0F),
        cache_{shape.number, keys_.numbers(), values_.numbers(), keys_.scales.data(),
               values_.scales.data(), shape.block, kGroups, shape.dim},
        sequence_{kFirst, shape.rows, shape.start, table_.data()},
        stride_(int64_t{kGroups} * shape.heads * shape.dim + 4),
        queries_((kFirst + shape.rows + 1) * stride_), out_(queries_.size()) {
    if (shape.context() == 1) {
      keys_.given[0] = 1e9F, values_.given[0] = -INFINITY;
    }
    queries_.fill(random_);
    // Its blocks, among two more than it needs.
    std::vector<int32_t> all(static_cast<size_t>(table_.size()) + 2);
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), random_);
    std::copy(all.begin(), all.end() - 2, table_.data());
  }

  void check(double allowed) {
    const int64_t width = int64_t{kGroups} * shape_.dim;
    for (int32_t position = 0; position < shape_.context(); ++position) {
      kernels_.store(keys_.given.data() + position * width,
                     values_.given.data() + position * width, cache_, table_.data(), position);
    }
    check_stored();
    run(out_, shape_.rows, shape_.heads);
    expect(error() < allowed, kernels_, shape_.name() + ": error " + std::to_string(error()));
    expect(out_.intact() && out_.unwritten(0, kFirst * stride_) &&
               out_.unwritten((kFirst + shape_.rows) * stride_, stride_),
           kernels_, shape_.name() + ": written outside");
    for (const int32_t step : {1, 3, 17}) {
      Floats parts(out_.size());
      run(parts, step, step == 17 ? (shape_.heads + 1) / 2 : shape_.heads);
      expect(parts == out_, kernels_, shape_.name() + ": other bits in parts");
    }
  }

 private:
  int64_t row(int32_t position, int32_t group) const {
    return (int64_t{table_[position / shape_.block]} * kGroups + group) * shape_.block +
           position % shape_.block;
  }

  void check_stored() {
    bool good = keys_.intact() && values_.intact();
    for (int32_t position = 0; position < shape_.context(); ++position) {
      for (int32_t group = 0; group < kGroups; ++group) {
        const int64_t from = (int64_t{position} * kGroups + group) * shape_.dim;
        good = good && keys_.near(row(position, group), keys_.given.data() + from) &&
               values_.near(row(position, group), values_.given.data() + from);
      }
    }
    expect(good, kernels_, shape_.name() + ": store");
  }

  // `step` rows and `part` heads at a time, and empty parts.
  void run(Floats& out, int32_t step, int32_t part) {
    Floats scratch(static_cast<int64_t>(
        attention_scratch(step, part, shape_.context(), shape_.dim)));
    const auto attend = [&](int32_t group, int32_t head, int32_t begin, int32_t end) {
      const int64_t offset = int64_t{group * shape_.heads + head} * shape_.dim;
      kernels_.attention(queries_.data(), stride_, offset, std::min(part, shape_.heads - head),
                         cache_, group, sequence_, begin, end, 0.25F, scratch.data(), out.data(),
                         stride_);
    };
    for (int32_t group = 0; group < kGroups; ++group) {
      for (int32_t head = 0; head < shape_.heads; head += part) {
        for (int32_t row = 0; row < shape_.rows; row += step) {
          attend(group, head, row, row);
          attend(group, head, row, std::min(shape_.rows, row + step));
        }
      }
    }
    expect(scratch.intact(), kernels_, shape_.name() + ": beyond the scratch");
  }

  // The largest error, relative to the largest output of a head.
  double error() const {
    double worst = 0.0;
    for (int32_t row = 0; row < shape_.rows; ++row) {
      for (int32_t head = 0; head < kGroups * shape_.heads; ++head) {
        const int64_t at = (kFirst + row) * stride_ + int64_t{head} * shape_.dim;
        const Doubles right =
            plain(queries_.data() + at, head / shape_.heads, shape_.start + row + 1);
        double most = 1e-30, off = 0.0;
        for (size_t i = 0; i < right.size(); ++i) {
          const double difference = std::abs(right[i] - double{out_[at + static_cast<int64_t>(i)]});
          most = std::max(most, std::abs(right[i]));
          off = difference <= off ? off : difference;  // and so where it is not a number
        }
        worst = off / most <= worst ? worst : off / most;
      }
    }
    return worst;
  }

  Doubles plain(const float* query, int32_t group, int32_t count) const {
    Doubles weights(static_cast<size_t>(count)), out(static_cast<size_t>(shape_.dim));
    for (int32_t position = 0; position < count; ++position) {
      double& score = weights[static_cast<size_t>(position)];
      for (int32_t i = 0; i < shape_.dim; ++i) {
        score += 0.25 * double{query[i]} * keys_.at(row(position, group), i);
      }
    }
    const double most = *std::max_element(weights.begin(), weights.end());
    double sum = 0.0;
    for (int32_t position = 0; position < count; ++position) {
      const double weight = std::exp(weights[static_cast<size_t>(position)] - most);
      sum += weight;
      for (int32_t i = 0; i < shape_.dim; ++i) {
        out[static_cast<size_t>(i)] += weight * values_.at(row(position, group), i);
      }
    }
    std::transform(out.begin(), out.end(), out.begin(), [&](double x) { return x / sum; });
    return out;
  }

  const Kernels& kernels_;
  Shape shape_;
  Random random_;
  Guarded<int32_t> table_;
  Side keys_, values_;
  PagedCache cache_;
  Sequence sequence_;
  int64_t stride_;
  Floats queries_, out_;
};

void check(const Kernels& kernels) {
  constexpr int32_t blocks[] = {16, 1, 64, 4, 128};
  int32_t at = 0;
  for (const CacheNumber number : {CacheNumber::f16, CacheNumber::q8}) {
    for (const int32_t dim : {4, 20, 36, 64, 128}) {
      for (const int32_t heads : {1, 3, 16}) {
        Case(kernels, {number, blocks[at++ % 5], dim, heads, 0, 1}, 1.0F).check(1e-5);
        Case(kernels, {number, blocks[at++ % 5], dim, heads, 60, 6}, 1.0F).check(1e-5);
        Case(kernels, {number, blocks[at++ % 5], dim, heads, 127, 2}, 1.0F).check(1e-5);
      }
      Case(kernels, {number, blocks[at++ % 5], dim, 3, 0, 70}, 1.0F).check(1e-5);
      // Scores of some thousands have errors of some thousandths in float.
      Case(kernels, {number, 16, dim, 2, 70, 3}, 1000.0F).check(2e-2);
    }
  }
}

}  // namespace
}  // namespace qingtan::testing

int main() { return qingtan::testing::for_each_table(qingtan::testing::check); }
