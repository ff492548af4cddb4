// Products with weights, spread over the threads, with what adapters add to them.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "workers.h"

namespace qingtan {

// LoRA (arXiv:2106.09685): up · down is added to a matrix (n, k). Both f32; the scale is in up.
struct LowRank {
  Weights down;  // (rank, k)
  Weights up;    // (n, rank)
};

// Rows of the step to whose product a pair is added. They are few enough, kMostRows, that a long
// prompt's are spread over the threads.
struct Correction {
  static constexpr int64_t kMostRows = 32;
  int64_t first;
  int64_t rows;
  const LowRank* pair;
};

// out (rows, n) = input (rows, k) · weightsᵀ + bias + corrections; bias may be null. Where `sum` is
// given, out is then added to it.
struct Product {
  const Weights& weights;
  const float* bias;
  const float* input;
  int64_t rows;
  float* out;
  float* sum;
};

class Products {
 public:
  explicit Products(Workers& workers) : workers_(workers) {}

  // Room for inputs of so many rows and columns, and corrections of so high a rank.
  void reserve(int64_t rows, int64_t columns, int64_t rank);

  // Make rows [begin, end) of an input (·, k) ready for these weights. Every row of a product's
  // input passes through this before it.
  void prepare(const Weights& weights, const float* input, int64_t begin, int64_t end);

  void multiply(const Product& product, const std::vector<Correction>& corrections);

 private:
  int64_t parts_of(const Product& product, int64_t blocks) const;
  void shrink(const Product& product, const std::vector<Correction>& corrections);
  void correct(const Product& product, const Correction& correction, int64_t begin, int64_t end);

  Workers& workers_;
  Buffer<int8_t> q_;
  Buffer<float> scales_;
  Buffer<int32_t> sums_;
  Buffer<float> low_;  // (rows, rank): inputs times `down`
  int64_t rank_ = 0;
};

}  // namespace qingtan
