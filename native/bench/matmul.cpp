// How fast the matrix products of each instruction set are on one core: memory read for one row,
// operations for several and for 128. Times are the least of many short runs. Built by hand
// in the folder above native:
//
//   f="-std=c++20 -O3 -mavx2 -mfma -mf16c"
//   for s in native/avx2/matmul*.cpp; do g++ $f -c $s -o avx2_$(basename $s .cpp).o; done
//   g++ $f -mavxvnni -c native/avxvnni/matmul.cpp -o avxvnni_matmul.o
//   f="$f -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512bf16"
//   for s in native/avx512/matmul*.cpp; do g++ $f -c $s -o avx512_$(basename $s .cpp).o; done
//   g++ -std=c++20 -O3 native/bench/matmul.cpp native/processor.cpp avx*_matmul*.o -o matmul
//   ./matmul [isa] [format] [rows …]
#include <chrono>
#include <cstdio>
#include <string>

#include "isas.h"
#include "packer.h"

namespace qingtan::bench {
namespace {

using Clock = std::chrono::steady_clock;

// The least time of a call on a part of the matrix, of parts taken one after another so that a
// matrix larger than the caches comes from memory, for some 60 ms.
double least_seconds(const Kernels& kernels, const Matrix& matrix, const Rows& rows,
                     std::vector<float>& out, int64_t part) {
  const int64_t blocks = (matrix.weights.n + 15) / 16;
  double least = 1e9;
  int64_t begin = 0;
  const auto stop = Clock::now() + std::chrono::milliseconds(60);
  for (auto start = Clock::now(); start < stop; start = Clock::now()) {
    kernels.matmul(matrix.weights, rows.input, nullptr, out.data(), matrix.weights.n, begin,
                   begin + part);
    least = std::min(least, std::chrono::duration<double>(Clock::now() - start).count());
    begin = begin + 2 * part <= blocks ? begin + part : 0;
  }
  return least;
}

void measure(const Kernels& kernels, const char* isa, Format format, int64_t n, int64_t k,
             const std::vector<int64_t>& counts) {
  Random random(1);
  // Drawing is slow: one block is drawn, the others are its copies.
  Matrix matrix(format, n, k, random, Draw::zero, false);
  const Matrix one(format, 16, k, random, Draw::usual, false);
  const int64_t bytes = bytes_of_block(format, k);
  for (int64_t block = 0; block < n / 16; ++block) {
    std::memcpy(matrix.memory.data + block * bytes, one.memory.data, static_cast<size_t>(bytes));
  }
  std::printf("%-7s %-5s %6ld x %-5ld", isa, format_name(format), static_cast<long>(n),
              static_cast<long>(k));
  for (const int64_t count : counts) {
    const Rows rows(kernels, count, k, random, Draw::usual);
    std::vector<float> out(static_cast<size_t>(count * n));
    const int64_t part = std::min<int64_t>(n / 16, 16);
    const double seconds = least_seconds(kernels, matrix, rows, out, part);
    const double gigabytes = static_cast<double>(part * bytes) / seconds / 1e9;
    const double operations = 2.0 * static_cast<double>(part * 16 * k * count) / seconds / 1e9;
    std::printf("  |%4ld: %6.1f GB/s %6.1f GOP/s", static_cast<long>(count), gigabytes, operations);
  }
  std::printf("\n");
}

}  // namespace
}  // namespace qingtan::bench

int main(int argc, char** argv) {
  using namespace qingtan;
  const std::string only_isa = argc > 1 ? argv[1] : "all";
  const std::string only_format = argc > 2 ? argv[2] : "all";
  std::vector<int64_t> counts;
  for (int i = 3; i < argc; ++i) {
    counts.push_back(std::max(1L, std::atol(argv[i])));
  }
  if (counts.empty()) {
    counts = {1, 4, 128};
  }
  const int64_t shapes[][2] = {{4096, 4096}, {27392, 4096}, {768, 768}, {4096, 768}};
  for (const bench::Isa& isa : bench::isas()) {
    Kernels kernels{};
    isa.fill(kernels);
    for (const Format format : {Format::f32, Format::bf16, Format::q8, Format::q4}) {
      for (const auto& shape : shapes) {
        if ((only_isa == "all" || only_isa == isa.name) &&
            (only_format == "all" || only_format == bench::format_name(format))) {
          bench::measure(kernels, isa.name, format, shape[0], shape[1], counts);
        }
      }
    }
  }
}
