// How fast attention is with this processor's best table, or the one that QINGTAN_ISA names.
// Argument: f16 or q8, else both.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "kernels.h"

namespace {

using namespace qingtan;
using std::vector;

constexpr int32_t kGroups = 2;
constexpr int32_t kBlock = 16;

vector<float> normal(int64_t count, std::mt19937& random) {
  std::normal_distribution<float> distribution;
  vector<float> numbers(static_cast<size_t>(count));
  for (float& x : numbers) {
    x = distribution(random);
  }
  return numbers;
}

// A sequence's queries and cache, its blocks scattered.
struct Case {
  int32_t dim, heads, rows, start;
  vector<uint8_t> keys, values;
  vector<float> key_scales, value_scales;
  vector<int32_t> table;
  PagedCache cache;
  Sequence sequence;
  int64_t stride;
  vector<float> queries, out, scratch;

  Case(const Kernels& kernels, CacheNumber number, int32_t head_dim, int32_t group_heads,
       int32_t row_count, int32_t first)
      : dim(head_dim), heads(group_heads), rows(row_count), start(first),
        table(static_cast<size_t>((first + row_count + kBlock - 1) / kBlock)),
        stride(int64_t{kGroups} * group_heads * head_dim) {
    std::mt19937 random(7);
    std::iota(table.begin(), table.end(), 0);
    std::shuffle(table.begin(), table.end(), random);
    const size_t tokens = table.size() * kGroups * kBlock;
    const size_t bytes = tokens * static_cast<size_t>(dim) * (number == CacheNumber::q8 ? 1 : 2);
    keys.resize(bytes), values.resize(bytes);
    key_scales.resize(tokens), value_scales.resize(tokens);
    cache = {number, keys.data(), values.data(), key_scales.data(), value_scales.data(), kBlock,
             kGroups, dim};
    sequence = {0, rows, start, table.data()};
    const vector<float> given = normal(int64_t{kGroups} * dim * 64, random);
    for (int32_t position = 0; position < start + rows; ++position) {
      const float* from = given.data() + position % 64 * kGroups * dim;
      kernels.store(from, from, cache, table.data(), position);
    }
    queries = normal(rows * stride, random);
    out.resize(queries.size());
    scratch.resize(attention_scratch(rows, heads, start + rows, dim));
  }

  void run(const Kernels& kernels) {
    const float scale = 1.0F / std::sqrt(static_cast<float>(dim));
    for (int32_t group = 0; group < kGroups; ++group) {
      kernels.attention(queries.data(), stride, int64_t{group} * heads * dim, heads, cache, group,
                        sequence, 0, rows, scale, scratch.data(), out.data(), stride);
    }
  }
};

// Seconds of the processor at best, of at least half a millisecond: other programs may be running.
double time_of(Case& item, const Kernels& kernels) {
  double best = 1e9, spent = 0.0;
  for (int repeats = 1; spent < 0.2;) {
    const std::clock_t before = std::clock();
    for (int pass = 0; pass < repeats; ++pass) {
      item.run(kernels);
    }
    const double time = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    spent += time;
    if (time < 5e-4) {
      repeats *= 2;
    } else {
      best = std::min(best, time / repeats);
    }
  }
  return best;
}

// Each shape: milliseconds, operations per second and bytes of keys and values per second.
void report(const Kernels& kernels, CacheNumber number, int32_t dim, int32_t heads, int32_t rows,
            int32_t start) {
  Case item(kernels, number, dim, heads, rows, start);
  const double time = time_of(item, kernels);
  const double tokens = kGroups * rows * (start + 0.5 * (rows + 1));
  const double bytes = number == CacheNumber::q8 ? 2.0 * dim + 8 : 4.0 * dim;
  std::printf("%-8s %-3s dim %3d heads 2 x %2d rows %4d from %6d: %9.4f ms %7.1f GFLOP/s",
              kernels.name, number == CacheNumber::q8 ? "q8" : "f16", dim, heads, rows, start,
              time * 1e3, tokens * heads * dim * 4 / time / 1e9);
  std::printf(rows == 1 ? " %6.1f GB/s\n" : "\n", tokens * bytes / time / 1e9);
}

void report_all(const Kernels& kernels, CacheNumber number) {
  // The longest contexts are far beyond any cache of the processor.
  for (const int32_t context : {255, 2047, 8191, 131071}) {
    for (const auto& [dim, heads] : {std::pair{128, 16}, {64, 6}, {64, 4}, {64, 2}, {64, 1}}) {
      report(kernels, number, dim, heads, 1, context);
    }
  }
  for (const auto& [dim, heads] : {std::pair{128, 16}, {64, 4}, {64, 2}, {32, 2}}) {
    report(kernels, number, dim, heads, 512 / heads, 0);
    report(kernels, number, dim, heads, 512 / heads, 1024);
  }
}

}  // namespace

int main(int count, char** arguments) {
  const Kernels& kernels = best_kernels();
  const char* only = count > 1 ? arguments[1] : "";
  if (std::strcmp(only, "q8") != 0) {
    report_all(kernels, CacheNumber::f16);
  }
  if (std::strcmp(only, "f16") != 0) {
    report_all(kernels, CacheNumber::q8);
  }
}
