// How long a step of a whole model takes, and how many tokens per second that makes: decoding rows
// of 1, 8 and 16 sequences, and a prompt. Weights are the same few numbers again and again, in as
// much memory as a model has.
//
// cmake -DQINGTAN_BENCH=ON; bench_step [25M | 100M] [q8 | q4] [threads …]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "../model/model.h"
#include "../packing.h"
#include "packer.h"

namespace qingtan::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Size {
  const char* name;
  int64_t width, layers, ffn, vocabulary;
  int32_t heads, groups;
};

constexpr Size kSizes[] = {{"25M", 384, 8, 1024, 16384, 6, 2},
                           {"100M", 768, 12, 2048, 65024, 12, 2}};
constexpr int32_t kHeadDim = 64;
constexpr int32_t kBlockTokens = 16;
constexpr int32_t kContext = 1024;

// A block of 16 rows is drawn, the others are its copies.
class Drawn {
 public:
  Drawn(Format format, int64_t n, int64_t k)
      : memory_(packed_bytes(format, n, k)), weights_{format, n, k, memory_.data} {
    Random random(1);
    const Matrix one(format, 16, k, random, Draw::usual, false);
    const auto bytes = static_cast<size_t>(bytes_of_block(format, k));
    for (int64_t block = 0; block < block_count(n); block++) {
      std::memcpy(memory_.data + static_cast<size_t>(block) * bytes, one.memory.data, bytes);
    }
  }
  const Weights& weights() const { return weights_; }

 private:
  Aligned memory_;
  Weights weights_;
};

class Bench {
 public:
  Bench(const Size& size, Format format, int threads)
      : size_(size), format_(format), pool_({threads}),
        cache_({static_cast<int32_t>(size.layers), size.groups, kHeadDim, 16 * kBlocks,
                kBlockTokens}),
        model_(parts(), best_kernels(), pool_) {}

  // Seconds of a step of `sequences` sequences with `rows` rows each from position `start`.
  double seconds(int64_t sequences, int32_t rows, int32_t start) {
    std::vector<int32_t> tokens(static_cast<size_t>(sequences * rows), 7);
    std::vector<int32_t> numbers, wanted;
    for (int64_t i = 0; i < sequences; i++) {
      numbers.insert(numbers.end(), {rows, start, 0, -1});
      wanted.push_back(static_cast<int32_t>((i + 1) * rows - 1));
    }
    std::vector<int32_t> tables(static_cast<size_t>(sequences * kBlocks));
    std::iota(tables.begin(), tables.end(), 0);
    std::vector<float> logits(static_cast<size_t>(sequences * size_.vocabulary));
    const Step step{sequences * rows, tokens.data(), sequences, numbers.data(), tables.data(),
                    kBlocks, sequences, wanted.data(), logits.data(), 0, nullptr, nullptr};
    return median([&] { model_.forward(step, cache_); });
  }

 private:
  static constexpr int32_t kBlocks = kContext / kBlockTokens;

  template <class Function>
  static double median(Function&& function) {
    std::vector<double> times;
    const auto stop = Clock::now() + std::chrono::milliseconds(400);
    for (auto start = Clock::now(); start < stop || times.size() < 5; start = Clock::now()) {
      function();
      times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  Weights drawn(int64_t n, int64_t k) {
    drawn_.push_back(std::make_unique<Drawn>(format_, n, k));
    return drawn_.back()->weights();
  }

  ModelParts parts() {
    ModelParts parts{};
    parts.shape = {size_.heads, size_.groups, kHeadDim, kContext, 10000.0};
    parts.epsilon = 1e-5f;
    const std::vector<float> ones(static_cast<size_t>(size_.width), 1.0f);
    const int64_t heads = int64_t{size_.heads} * kHeadDim;
    for (int64_t i = 0; i < size_.layers; i++) {
      Layer layer{};
      layer.attention_norm = layer.mlp_norm = ones;
      layer.qkv = drawn(parts.shape.columns(), size_.width);
      layer.qkv_bias.assign(static_cast<size_t>(parts.shape.columns()), 0.1f);
      layer.out = drawn(size_.width, heads);
      layer.gate_up = drawn(2 * size_.ffn, size_.width);
      layer.down = drawn(size_.width, size_.ffn);
      parts.layers.push_back(layer);
    }
    parts.final_norm = ones;
    parts.embedding = drawn(size_.vocabulary, size_.width);
    parts.head = drawn(size_.vocabulary, size_.width);
    return parts;
  }

  const Size size_;
  const Format format_;
  std::vector<std::unique_ptr<Drawn>> drawn_;
  Pool pool_;
  Cache cache_;
  Model model_;
};

void measure(const Size& size, Format format, int threads) {
  Bench bench(size, format, threads);
  std::printf("%-5s %s, %d threads:", size.name, format == Format::q8 ? "q8" : "q4", threads);
  for (const int64_t sequences : {1, 8, 16}) {
    const double seconds = bench.seconds(sequences, 1, 128);
    std::printf("  %ld rows %.0f us, %.0f/s;", static_cast<long>(sequences), seconds * 1e6,
                static_cast<double>(sequences) / seconds);
  }
  const double seconds = bench.seconds(1, 512, 0);
  std::printf("  prompt of 512 %.1f ms, %.0f/s\n", seconds * 1e3, 512 / seconds);
  std::fflush(stdout);
}

}  // namespace
}  // namespace qingtan::bench

int main(int count, char** arguments) {
  using namespace qingtan;
  const std::string only_size = count > 1 ? arguments[1] : "all";
  const std::string only_format = count > 2 ? arguments[2] : "all";
  std::vector<int> threads;
  for (int i = 3; i < count; i++) {
    threads.push_back(std::max(1, std::atoi(arguments[i])));
  }
  if (threads.empty()) {
    threads = {1, 2};
  }
  for (const bench::Size& size : bench::kSizes) {
    for (const auto& [format, name] : {std::pair{Format::q8, "q8"}, {Format::q4, "q4"}}) {
      for (const int number : threads) {
        if ((only_size == "all" || only_size == size.name) &&
            (only_format == "all" || only_format == name)) {
          bench::measure(size, format, number);
        }
      }
    }
  }
}
