#include "products.h"

#include <algorithm>

#include "packing.h"

namespace qingtan {
namespace {

// Boundaries between parts: kernels take up to four blocks side by side.
constexpr int64_t kUnit = 4;

bool quantized(const Weights& weights) {
  return weights.format == Format::q8 || weights.format == Format::q4;
}

// Blocks [begin, end) of a matrix as a matrix.
Weights slice(const Weights& weights, int64_t begin, int64_t end) {
  const int64_t first = begin * kBlockRows;
  return {weights.format, std::min(end * kBlockRows, weights.n) - first, weights.k,
          weights.data + begin * static_cast<int64_t>(block_bytes(weights.format, weights.k))};
}

}  // namespace

void Products::reserve(int64_t rows, int64_t columns, int64_t rank) {
  const int64_t groups = (columns + kGroup - 1) / kGroup;
  q_.reserve(rows * groups * kGroup);
  scales_.reserve(rows * groups);
  sums_.reserve(rows * groups);
  low_.reserve(rows * rank);
  rank_ = rank;
}

void Products::prepare(const Weights& weights, const float* input, int64_t begin, int64_t end) {
  if (quantized(weights)) {
    workers_.kernels().quantize(input, weights.k, begin, end, q_.data(), scales_.data(),
                                sums_.data());
  }
}

// As many parts as keep the threads evenly busy, none of them smaller than 8 blocks or than the
// microsecond or two that a thread needs to come by.
int64_t Products::parts_of(const Product& product, int64_t blocks) const {
  constexpr int64_t least_blocks = 8;
  constexpr int64_t least_products = 65536;
  constexpr int64_t parts_per_thread = 4;
  const int64_t threads = workers_.threads();
  const int64_t products = product.weights.n * product.weights.k * product.rows;
  const int64_t parts = std::min({blocks / least_blocks, products / least_products,
                                  threads == 1 ? 1 : parts_per_thread * threads});
  return std::max<int64_t>(parts > threads ? parts - parts % threads : parts, 1);
}

void Products::multiply(const Product& product, const std::vector<Correction>& corrections) {
  const Weights& weights = product.weights;
  const Activations input{product.rows, weights.k,      product.input,
                          q_.data(),    scales_.data(), sums_.data()};
  if (!corrections.empty()) {
    shrink(product, corrections);
  }
  const int64_t blocks = block_count(weights.n);
  const int64_t units = (blocks + kUnit - 1) / kUnit;
  const int64_t parts = parts_of(product, blocks);
  workers_.run(parts, [&](int64_t part, int) {
    const int64_t begin = units * part / parts * kUnit;
    const int64_t end = std::min(units * (part + 1) / parts * kUnit, blocks);
    const Kernels& kernels = workers_.kernels();
    kernels.matmul(weights, input, product.bias, product.out, weights.n, begin, end);
    for (const Correction& correction : corrections) {
      correct(product, correction, begin, end);
    }
    if (product.sum != nullptr) {
      const int64_t first = begin * kBlockRows;
      const int64_t count = std::min(end * kBlockRows, weights.n) - first;
      for (int64_t row = 0; row < product.rows; row++) {
        const int64_t place = row * weights.n + first;
        kernels.add(product.sum + place, product.out + place, count);
      }
    }
  });
}

// The inputs times `down`, for all corrections.
void Products::shrink(const Product& product, const std::vector<Correction>& corrections) {
  const int64_t k = product.weights.k;
  const int64_t count = static_cast<int64_t>(corrections.size());
  workers_.run_rows(count, Correction::kMostRows * k, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const Correction& item = corrections[static_cast<size_t>(i)];
      const Weights& down = item.pair->down;
      const Activations input{item.rows, k,       product.input + item.first * k,
                              nullptr,   nullptr, nullptr};
      workers_.kernels().matmul(down, input, nullptr, low_.data() + item.first * rank_, down.n, 0,
                                block_count(down.n));
    }
  });
}

// Add a correction to the blocks [begin, end) of the product, a few at a time.
void Products::correct(const Product& product, const Correction& correction, int64_t begin,
                       int64_t end) {
  constexpr int64_t blocks = 8;
  alignas(64) float scratch[Correction::kMostRows * blocks * kBlockRows];
  const Kernels& kernels = workers_.kernels();
  const Weights& up = correction.pair->up;
  const Activations input{correction.rows, up.k,    low_.data() + correction.first * rank_,
                          nullptr,         nullptr, nullptr};
  for (int64_t block = begin; block < end; block += blocks) {
    const int64_t next = std::min(block + blocks, end);
    const Weights some = slice(up, block, next);
    kernels.matmul(some, input, nullptr, scratch, some.n, 0, next - block);
    for (int64_t row = 0; row < correction.rows; row++) {
      const int64_t place = (correction.first + row) * up.n + block * kBlockRows;
      kernels.add(product.out + place, scratch + row * some.n, some.n);
    }
  }
}

}  // namespace qingtan
