// The matrix products, quantize and embed of each instruction set against plain loops in double.
// Built as bench/matmul.cpp is. Says what is wrong and ends with 1, or says how large the error
// was.
#include <cstdio>
#include <string_view>

#include "isas.h"
#include "packer.h"

namespace qingtan::bench {
namespace {

int failures = 0;

void expect(bool good, const char* isa, Format format, const char* what, int64_t n, int64_t k,
            int64_t rows) {
  if (!good && ++failures < 20) {
    std::printf("WRONG %s %s %s: n=%ld k=%ld rows=%ld\n", isa, format_name(format), what,
                static_cast<long>(n), static_cast<long>(k), static_cast<long>(rows));
  }
}

bool quantized(Format format) { return format == Format::q8 || format == Format::q4; }

// Row r of the activations as the product takes them.
double taken(const Rows& rows, Format format, bool rounds, size_t at) {
  if (quantized(format)) {
    return static_cast<double>(rows.q[at]) * static_cast<double>(rows.scales[at / 32]);
  }
  return rounds ? from_bf16(to_bf16(rows.x[at])) : rows.x[at];
}

// The largest error of `out` as a part of Σ |w x|, the size of what was added up.
double largest_error(const Matrix& matrix, const Rows& rows, const std::vector<float>& bias,
                     const std::vector<float>& out, int64_t stride, bool rounds) {
  const Weights& weights = matrix.weights;
  const auto k = static_cast<size_t>(weights.k);
  double worst = 0;
  for (int64_t r = 0; r < rows.input.rows; ++r) {
    std::vector<double> x(k);
    for (size_t i = 0; i < k; ++i) {
      x[i] = taken(rows, weights.format, rounds, static_cast<size_t>(r) * k + i);
    }
    for (int64_t n = 0; n < weights.n; ++n) {
      double sum = bias[static_cast<size_t>(n)];
      double size = std::abs(sum) + 1e-30;
      for (size_t i = 0; i < k; ++i) {
        const double weight = matrix.values[static_cast<size_t>(n) * k + i];
        const double product = weight * x[i];
        sum += product;
        size += std::abs(product);
      }
      worst = std::max(worst, std::abs(out[static_cast<size_t>(r * stride + n)] - sum) / size);
    }
  }
  return worst;
}

void check_quantize(const char* isa, const Rows& rows) {
  const int64_t k = rows.input.k;
  for (size_t g = 0; g < rows.x.size() / 32; ++g) {
    float most = 0;
    int32_t sum = 0;
    for (size_t i = g * 32; i < g * 32 + 32; ++i) {
      most = std::max(most, std::abs(rows.x[i]));
      sum += rows.q[i];
    }
    const bool zero = most < 127.0f * 0x1p-126f;
    bool good = sum == rows.sums[g] && rows.scales[g] == (zero ? 0.0f : most / 127.0f);
    for (size_t i = g * 32; i < g * 32 + 32; ++i) {
      const float exact = zero ? 0.0f : rows.x[i] * (127.0f / most);
      good = good && rows.q[i] == static_cast<int>(std::nearbyint(exact));
    }
    expect(good, isa, Format::q8, "quantize", 0, k, rows.input.rows);
  }
}

void check_embed(const Kernels& kernels, const char* isa, const Matrix& matrix) {
  const auto k = static_cast<size_t>(matrix.weights.k);
  std::vector<float> out(k);
  for (int64_t n = 0; n < matrix.weights.n; n += 1 + n / 3) {
    kernels.embed(matrix.weights, n, out.data());
    const bool same =
        std::equal(out.begin(), out.end(), matrix.values.begin() + n * matrix.weights.k);
    expect(same, isa, matrix.weights.format, "embed", n, matrix.weights.k, 1);
  }
}

// The same bits for each row alone, and in parts.
void check_same_bits(const Kernels& kernels, const char* isa, const Matrix& matrix,
                     const Rows& rows, const std::vector<float>& bias,
                     const std::vector<float>& out, int64_t stride) {
  const Weights& weights = matrix.weights;
  std::vector<float> alone(out.size(), 3.0f);
  for (int64_t r = 0; r < rows.input.rows; r += 1 + r / 4) {
    const Activations row = {1,
                             weights.k,
                             rows.input.x + r * weights.k,
                             rows.input.q + r * weights.k,
                             rows.input.scales + r * weights.k / 32,
                             rows.input.sums + r * weights.k / 32};
    const int64_t blocks = (weights.n + 15) / 16;
    float* to = alone.data() + r * stride;
    kernels.matmul(weights, row, bias.data(), to, stride, 0, blocks / 3);
    kernels.matmul(weights, row, bias.data(), to, stride, blocks / 3, blocks);
    const auto bytes = static_cast<size_t>(weights.n) * 4;
    expect(std::memcmp(to, out.data() + r * stride, bytes) == 0, isa, weights.format,
           "row alone", weights.n, weights.k, rows.input.rows);
  }
}

double check(const Isa& isa, Format format, int64_t n, int64_t k, int64_t count, Draw how) {
  Kernels kernels{};
  isa.fill(kernels);
  Random random(static_cast<uint32_t>(n * 31 + k * 7 + count));
  const Matrix matrix(format, n, k, random, how, true);
  const Rows rows(kernels, count, k, random, how);
  const int64_t stride = n + 5;
  std::vector<float> bias(static_cast<size_t>(n));
  std::generate(bias.begin(), bias.end(), [&] { return draw(random, how); });
  std::vector<float> out(static_cast<size_t>(count * stride), 3.0f);
  kernels.matmul(matrix.weights, rows.input, bias.data(), out.data(), stride, 0, (n + 15) / 16);
  bool untouched = true;
  for (int64_t r = 0; r < count; ++r) {
    const auto row = out.begin() + r * stride;
    untouched = untouched && std::all_of(row + n, row + stride, [](float x) { return x == 3.0f; });
  }
  expect(untouched, isa.name, format, "beyond n", n, k, count);
  bool rounds = false;
#if defined(__x86_64__)
  rounds = format == Format::bf16 && std::string_view(isa.name) == "avx512" &&
           __builtin_cpu_supports("avx512bf16");
#endif
  const double error = largest_error(matrix, rows, bias, out, stride, rounds);
  // Numbers below 2^-126 may count as zero where floats are multiplied.
  const double allowed = how == Draw::tiny && !quantized(format) ? 2.0 : 1e-6;
  expect(error < allowed, isa.name, format, "product", n, k, count);
  check_same_bits(kernels, isa.name, matrix, rows, bias, out, stride);
  if (quantized(format)) {
    check_quantize(isa.name, rows);
  }
  check_embed(kernels, isa.name, matrix);
  return error;
}

}  // namespace
}  // namespace qingtan::bench

int main(int argc, char**) {
  using namespace qingtan;
  using bench::Draw;
  for (const bench::Isa& isa : bench::isas()) {
    for (const Format format : {Format::f32, Format::bf16, Format::q8, Format::q4}) {
      double worst = 0;
      for (int64_t rows = 1; rows <= 30; ++rows) {
        worst = std::max(worst, bench::check(isa, format, 17 + rows * 5, 64, rows, Draw::usual));
      }
      for (const Draw how : {Draw::usual, Draw::extreme, Draw::tiny, Draw::zero}) {
        worst = std::max(worst, bench::check(isa, format, 16, 32, 1, how));
        worst = std::max(worst, bench::check(isa, format, 129, 544, 2, how));
        worst = std::max(worst, bench::check(isa, format, 1040, 96, 5, how));
        worst = std::max(worst, bench::check(isa, format, 50, 2080, 70, how));
        worst = std::max(worst, bench::check(isa, format, 70, argc > 1 ? 1376 : 13696, 97, how));
        worst = std::max(worst, bench::check(isa, format, 7, 13696, 13, how));
      }
      if (format == Format::f32) {
        worst = std::max(worst, bench::check(isa, format, 33, 77, 9, Draw::usual));
      } else if (format == Format::bf16) {
        worst = std::max(worst, bench::check(isa, format, 33, 78, 9, Draw::usual));
      }
      std::printf("%s %s: largest error %.1e\n", isa.name, bench::format_name(format), worst);
    }
  }
  std::printf(bench::failures == 0 ? "all good\n" : "%d WRONG\n", bench::failures);
  return bench::failures == 0 ? 0 : 1;
}
