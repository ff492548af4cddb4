// What computes: a table of kernels, and the threads that the parts are spread over.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels.h"
#include "pool.h"

namespace qingtan {

class Workers {
 public:
  Workers(const Kernels& kernels, Pool& pool) : kernels_(kernels), pool_(pool) {}

  const Kernels& kernels() const { return kernels_; }
  int threads() const { return pool_.threads(); }

  // function(part, thread) for each part.
  template <class Function>
  void run(int64_t parts, Function&& function) {
    pool_.run(parts, function);
  }

  // function(begin, end) on ranges that make up [0, rows). So little work that waking the others
  // would take as long, a few microseconds, is done here.
  template <class Function>
  void run_rows(int64_t rows, int64_t floats_per_row, Function&& function) {
    constexpr int64_t little = 16384;
    if (threads() == 1 || rows == 1 || rows * floats_per_row < little) {
      function(int64_t{0}, rows);
      return;
    }
    const int64_t parts = std::min<int64_t>(rows, 4 * int64_t{threads()});
    pool_.run(parts, [&](int64_t part, int) {
      function(rows * part / parts, rows * (part + 1) / parts);
    });
  }

 private:
  const Kernels& kernels_;
  Pool& pool_;
};

}  // namespace qingtan
