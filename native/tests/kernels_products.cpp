// quantize, matmul and embed of every table against plain loops in double. Packed matrices come
// from bench/packer.h, which was written against the layout in kernels.h, apart from the packing of
// the engine.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "bench/packer.h"
#include "check.h"

namespace qingtan::testing {
namespace {

using bench::Draw;
using bench::Matrix;

bool quantized(Format format) { return format == Format::q8 || format == Format::q4; }

// Activations and their quantized form, each exactly as long as it must be.
struct Input {
  Input(const Kernels& kernels, int64_t rows, int64_t k, Random& random, Draw how)
      : x(rows * k), q(rows * k), scales(rows * (k / kGroup)), sums(rows * (k / kGroup)),
        all{rows, k, x.data(), q.data(), scales.data(), sums.data()} {
    std::generate(x.data(), x.data() + x.size(), [&] { return bench::draw(random, how); });
    if (k % kGroup == 0) {
      kernels.quantize(x.data(), k, 0, rows, q.data(), scales.data(), sums.data());
    }
  }

  Activations row(int64_t r) const {
    const int64_t groups = all.k / kGroup;
    return {1, all.k, all.x + r * all.k, all.q + r * all.k, all.scales + r * groups,
            all.sums + r * groups};
  }

  // Number i of all as the product takes it.
  double taken(Format format, bool rounds, int64_t i) const {
    if (quantized(format)) {
      return double{scales[i / kGroup]} * q[i];
    }
    return double{rounds ? from_bf16(to_bf16(x[i])) : x[i]};
  }

  Floats x;
  Guarded<int8_t> q;
  Floats scales;
  Guarded<int32_t> sums;
  Activations all;
};

// What becomes 127: a group's largest number; with AVX2 the largest sum of two neighbours.
double largest(const Kernels& kernels, const float* group) {
  const bool pairs = std::strcmp(kernels.name, "avx2") == 0;
  double most = 0.0;
  for (int i = 0; i < kGroup; ++i) {
    const double neighbour = pairs ? std::abs(double{group[i ^ 1]}) : 0.0;
    most = std::max(most, std::abs(double{group[i]}) + neighbour);
  }
  return most;
}

void check_quantize(const Kernels& kernels, const Input& input) {
  bool good = input.q.intact() && input.scales.intact() && input.sums.intact();
  for (int64_t g = 0; g < input.scales.size(); ++g) {
    const float* x = input.x.data() + g * kGroup;
    const int8_t* q = input.q.data() + g * kGroup;
    const double most = largest(kernels, x);
    const double scale = double{input.scales[g]};
    const bool zero = most < 127.0 * 0x1p-126;
    const double off = std::abs(scale - (zero ? 0.0 : most / 127));
    good = good && off <= 2e-7 * scale;
    int32_t sum = 0;
    for (int i = 0; i < kGroup; ++i) {
      sum += q[i];
      const double error = std::abs(double{x[i]} - scale * q[i]);
      good = good && error <= (zero ? most : 0.50001 * scale);
    }
    good = good && sum == input.sums[g];
  }
  expect(good, kernels, "quantize, k = " + std::to_string(input.all.k));
}

void check_embed(const Kernels& kernels, const Matrix& matrix) {
  const int64_t k = matrix.weights.k;
  Floats out(k);
  for (int64_t n = 0; n < matrix.weights.n; n += 1 + n / 3) {
    kernels.embed(matrix.weights, n, out.data());
    const bool same = std::equal(out.data(), out.data() + k, matrix.values.begin() + n * k);
    expect(same && out.intact(), kernels, "embed, row " + std::to_string(n));
  }
}

// A product of everything, and how it is wrong.
struct Product {
  const Kernels& kernels;
  const Matrix& matrix;
  const Input& input;
  const Floats* bias;
  int64_t stride;
  std::string name;

  const Weights& weights() const { return matrix.weights; }
  int64_t blocks() const { return (weights().n + kBlockRows - 1) / kBlockRows; }

  void run(const Activations& rows, float* out, int64_t begin, int64_t end) const {
    kernels.matmul(weights(), rows, bias != nullptr ? bias->data() : nullptr, out, stride, begin,
                   end);
  }

  // The largest error as a part of Σ |w x|, the size of what was added up.
  double error(const Floats& out, bool rounds) const {
    const int64_t k = weights().k;
    double worst = 0.0;
    for (int64_t i = 0; i < input.all.rows * weights().n; ++i) {
      const int64_t r = i / weights().n, n = i % weights().n;
      double sum = bias != nullptr ? double{(*bias)[n]} : 0.0;
      double size = std::abs(sum) + 1e-30;
      for (int64_t j = 0; j < k; ++j) {
        const double weight = double{matrix.values[static_cast<size_t>(n * k + j)]};
        const double product = weight * input.taken(weights().format, rounds, r * k + j);
        sum += product, size += std::abs(product);
      }
      const double off = std::abs(double{out[r * stride + n]} - sum) / size;
      worst = off <= worst ? worst : off;  // and so where it is not a number
    }
    return worst;
  }

  void check(double allowed) const {
    Floats out(input.all.rows * stride);
    run(input.all, out.data(), 0, blocks());
    double off = error(out, false);
    if (weights().format == Format::bf16 && std::string(kernels.name) == "avx512") {
      off = std::min(off, error(out, true));  // some processors multiply bf16 alone
    }
    expect(off < allowed, kernels, name + ": error " + std::to_string(off));
    bool good = out.intact();
    for (int64_t r = 0; r < input.all.rows; ++r) {
      good = good && out.unwritten(r * stride + weights().n, stride - weights().n);
    }
    expect(good, kernels, name + ": written outside");
    check_parts(out);
  }

  // The same bits for each row alone and in parts; nothing for an empty part.
  void check_parts(const Floats& whole) const {
    Floats parts(whole.size());
    const Floats nothing(whole.size());
    for (int64_t r = 0; r < input.all.rows; ++r) {
      run(input.row(r), parts.data() + r * stride, 0, 0);
      run(input.row(r), parts.data() + r * stride, blocks(), blocks());
    }
    expect(parts == nothing, kernels, name + ": written by empty parts");
    for (int64_t r = 0; r < input.all.rows; ++r) {
      run(input.row(r), parts.data() + r * stride, blocks() / 3, blocks());
      run(input.row(r), parts.data() + r * stride, 0, blocks() / 3);
    }
    expect(parts == whole && parts.intact(), kernels, name + ": other bits in parts");
  }
};

void check_product(const Kernels& kernels, Format format, int64_t rows, int64_t n, int64_t k,
                   Draw how) {
  Random random(static_cast<uint32_t>(rows * 1000 + n * 31 + k));
  const Matrix matrix(format, n, k, random, how, true);
  const Input input(kernels, rows, k, random, how);
  Floats bias(n);
  bias.fill(random, how == Draw::tiny ? 0.0F : 1.0F);
  const std::string name = "format " + std::to_string(static_cast<int>(format)) + ", rows " +
                           std::to_string(rows) + ", n " + std::to_string(n) + ", k " +
                           std::to_string(k);
  // Products of numbers below 2^-126 may count as zero where floats are multiplied.
  const double allowed = how == Draw::tiny && !quantized(format) ? 2.0 : 1e-6;
  Product{kernels, matrix, input, &bias, n + 3, name}.check(allowed);
  if (rows < 10) {
    Product{kernels, matrix, input, nullptr, n, name + ", no bias"}.check(allowed);
  }
  if (quantized(format)) {
    check_quantize(kernels, input);
  }
  check_embed(kernels, matrix);
}

void check(const Kernels& kernels) {
  for (const Format format : {Format::f32, Format::bf16, Format::q8, Format::q4}) {
    for (int64_t rows = 1; rows <= 17; ++rows) {
      check_product(kernels, format, rows, 17 + rows * 5, 64, Draw::usual);
    }
    for (const Draw how : {Draw::usual, Draw::extreme, Draw::tiny, Draw::zero}) {
      check_product(kernels, format, 1, 1, 32, how);
      check_product(kernels, format, 2, 129, 544, how);
      check_product(kernels, format, 5, 16, 96, how);
    }
    // Long enough for several strips of k and chunks of rows.
    check_product(kernels, format, 97, 20, 1376, Draw::usual);
    check_product(kernels, format, 1, 50, 4160, Draw::usual);
    check_product(kernels, format, 0, 20, 64, Draw::usual);
  }
  for (const int64_t k : {1, 3, 31, 77}) {
    check_product(kernels, Format::f32, 1, 33, k, Draw::usual);
    check_product(kernels, Format::f32, 9, 50, k, Draw::usual);
    check_product(kernels, Format::bf16, 1, 33, 2 * k, Draw::usual);
    check_product(kernels, Format::bf16, 9, 50, 2 * k, Draw::usual);
  }
}

}  // namespace
}  // namespace qingtan::testing

int main() { return qingtan::testing::for_each_table(qingtan::testing::check); }
