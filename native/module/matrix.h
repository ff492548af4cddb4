// A packed matrix and the memory that it lies in.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>

#include "checks.h"
#include "packing.h"

namespace qingtan {

class Matrix {
 public:
  // Pack `rows` (n, k): float32, float16, or bf16 as uint16.
  Matrix(const In& rows, const std::string& format, Pool& pool);

  // Pack what was rounded elsewhere: levels (n, k) int8, scales (n, k / 32) float16.
  static Matrix from_levels(const In& levels, const In& scales, const std::string& format,
                            Pool& pool);

  // A matrix whose packed bytes lie in an array, which is kept: nothing is copied.
  static Matrix from_packed(const In& data, const std::string& format, int64_t n, int64_t k);

  const Weights& weights() const { return weights_; }
  size_t bytes() const { return packed_bytes(weights_.format, weights_.n, weights_.k); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    std::align_val_t alignment;
    void operator()(uint8_t* data) const { operator delete[](data, alignment); }
  };
  using Memory = std::unique_ptr<uint8_t[], Free>;

  static Memory allocate(size_t bytes);

  // Memory for a packed matrix that is still to be filled.
  Matrix(Format format, int64_t n, int64_t k);
  // A view of packed bytes.
  Matrix(const In& data, const Weights& weights) : borrowed_(data), weights_(weights) {}

  Memory data_{nullptr, Free{kAlignment}};
  In borrowed_;  // keeps an array alive that `weights_` points into
  Weights weights_;
};

void bind_matrix(nb::module_& module);

}  // namespace qingtan
