// The small kernels of every table against plain loops in double.
#include <algorithm>
#include <cmath>
#include <string>

#include "check.h"

namespace qingtan::testing {
namespace {

using std::to_string;

bool near(float got, double right, double relative, double absolute = 0.0) {
  return std::abs(double{got} - right) <= relative * std::abs(right) + absolute;
}

void check_norm(const Kernels& kernels, int64_t width, float deviation) {
  constexpr int64_t rows = 4;
  Random random(1);
  Floats x(rows * width), weight(width), out(rows * width);
  x.fill(random, deviation), weight.fill(random);
  kernels.rms_norm(x.data(), weight.data(), 1e-5F, width, 1, 3, out.data());
  bool good = out.unwritten(0, width) && out.unwritten(3 * width, width) && out.intact();
  for (int64_t row = 1; row < 3; ++row) {
    double squares = 0.0;
    for (int64_t i = 0; i < width; ++i) {
      squares += std::pow(double{x[row * width + i]}, 2);
    }
    const double root = std::sqrt(squares / static_cast<double>(width) + double{1e-5F});
    for (int64_t i = 0; i < width; ++i) {
      const int64_t at = row * width + i;
      good = good && near(out[at], double{x[at]} / root * double{weight[i]}, 1e-6);
    }
  }
  kernels.rms_norm(x.data(), weight.data(), 1e-5F, width, 1, 3, x.data());
  good = good && std::equal(x.data() + width, x.data() + 3 * width, out.data() + width);
  const Floats before(rows * width);
  Floats untouched(rows * width);
  kernels.rms_norm(x.data(), weight.data(), 1e-5F, width, 2, 2, untouched.data());
  expect(good && untouched == before && x.intact(), kernels, "rms_norm of " + to_string(width));
}

void check_add(const Kernels& kernels, int64_t count) {
  Random random(2);
  Floats x(count), y(count), sum(count);
  x.fill(random), y.fill(random);
  std::copy(x.data(), x.data() + count, sum.data());
  kernels.add(sum.data(), y.data(), count);
  bool good = sum.intact();
  for (int64_t i = 0; i < count; ++i) {
    good = good && sum[i] == x[i] + y[i];
  }
  expect(good, kernels, "add of " + to_string(count));
}

void check_silu(const Kernels& kernels, int64_t width, float deviation) {
  Random random(3);
  Floats x(3 * 2 * width), out(3 * width);
  x.fill(random, deviation);
  x[2 * width] = -1e30F;  // the second row's first gate
  kernels.silu_mul(x.data(), width, 1, 3, out.data());
  bool good = out.unwritten(0, width) && out.intact() && std::abs(out[width]) < 1e-35F;
  for (int64_t i = width + 1; i < 3 * width; ++i) {
    const int64_t at = i / width * 2 * width + i % width;
    const double gate = double{x[at]};
    const double up = double{x[at + width]};
    // Gates below −88 give −0, where exactly they would give 5e-37 at most.
    const double allowed = 1e-36 * (1.0 + std::abs(up));
    good = good && near(out[i], gate / (1.0 + std::exp(-gate)) * up, 1e-6, allowed);
  }
  expect(good, kernels, "silu_mul of " + to_string(width));
}

void check_rotate(const Kernels& kernels, int32_t dim, int32_t rotary) {
  constexpr int32_t heads = 3;
  Random random(4);
  Floats x(heads * dim), out(heads * dim), cosines(rotary / 2), sines(rotary / 2);
  x.fill(random), cosines.fill(random);
  for (int64_t i = 0; i < rotary / 2; ++i) {
    sines[i] = std::sin(100.0F * cosines[i]), cosines[i] = std::cos(100.0F * cosines[i]);
  }
  std::copy(x.data(), x.data() + x.size(), out.data());
  kernels.rotate(out.data(), heads, dim, rotary, cosines.data(), sines.data());
  bool good = out.intact();
  for (int64_t i = 0; i < x.size(); i += 2) {
    const int64_t pair = i % dim / 2;
    const double c = pair < rotary / 2 ? double{cosines[pair]} : 1.0;
    const double s = pair < rotary / 2 ? double{sines[pair]} : 0.0;
    const double first = double{x[i]} * c - double{x[i + 1]} * s;
    const double second = double{x[i + 1]} * c + double{x[i]} * s;
    const double allowed = 2e-7 * std::hypot(first, second);
    good = good && near(out[i], first, 0.0, allowed) && near(out[i + 1], second, 0.0, allowed);
  }
  expect(good, kernels, "rotate " + to_string(rotary) + " of " + to_string(dim));
}

void check(const Kernels& kernels) {
  for (const int64_t width : {1, 4, 7, 15, 16, 17, 31, 63, 64, 65, 100, 129, 4096}) {
    check_norm(kernels, width, 1.0F);
    check_norm(kernels, width, 1e-12F);
    check_norm(kernels, width, 1e12F);
    check_silu(kernels, width, 2.0F);
    check_silu(kernels, width, 30.0F);
    check_add(kernels, width);
  }
  check_add(kernels, 0);
  for (const int32_t dim : {4, 20, 64, 80, 128}) {
    for (const int32_t rotary : {dim, dim / 2, 2, 0}) {
      check_rotate(kernels, dim, rotary);
    }
  }
}

}  // namespace
}  // namespace qingtan::testing

int main() { return qingtan::testing::for_each_table(qingtan::testing::check); }
