// Small mixed batches through the whole model, for the sanitizers to watch:
// cmake -DQINGTAN_MODULE=OFF -DQINGTAN_TESTS=ON -DQINGTAN_SANITIZE=address,undefined (or thread).
// What the numbers are is tested from Python; here, that they are finite, and the same for all
// threads and in all chunks.
#include "model/model.h"

#include <cmath>
#include <cstdio>
#include <deque>
#include <random>
#include <vector>

#include "expect.h"
#include "packing.h"

namespace {

using namespace qingtan;
using testing::expect;

constexpr int32_t kWidth = 64, kHeads = 6, kGroups = 2, kHeadDim = 20, kFfn = 96;
constexpr int32_t kVocabulary = 77, kContext = 200, kBlockTokens = 8, kBlocks = 80;
constexpr int64_t kTableWidth = 25;

// Packed matrices of exactly their size, so that reading beyond them is seen.
class Matrices {
 public:
  explicit Matrices(Pool& pool) : pool_(pool) {}

  std::vector<float> normal(int64_t count, float deviation) {
    std::normal_distribution<float> distribution(0.0f, deviation);
    std::vector<float> numbers(static_cast<size_t>(count));
    for (float& number : numbers) {
      number = distribution(random_);
    }
    return numbers;
  }

  Weights draw(Format format, int64_t n, int64_t k) {
    const std::vector<float> rows = normal(n * k, 1.0f / std::sqrt(static_cast<float>(k)));
    Buffer<uint8_t>& memory = memory_.emplace_back();
    memory.reserve(static_cast<int64_t>(packed_bytes(format, n, k)));
    pack(format, {Number::f32, rows.data(), n, k, k}, memory.data(), pool_);
    return {format, n, k, memory.data()};
  }

 private:
  Pool& pool_;
  std::mt19937 random_{7};
  std::deque<Buffer<uint8_t>> memory_;
};

ModelParts parts_of(Format format, Matrices& matrices) {
  ModelParts parts{};
  parts.shape = {kHeads, kGroups, kHeadDim, kContext, 10000.0};
  parts.epsilon = 1e-5f;
  // heads · head_dim is no whole number of groups of 32: that matrix is always f32.
  for (int i = 0; i < 2; i++) {
    Layer layer{};
    layer.attention_norm = layer.mlp_norm = std::vector<float>(kWidth, 1.0f);
    layer.qkv = matrices.draw(format, parts.shape.columns(), kWidth);
    layer.qkv_bias = matrices.normal(i * parts.shape.columns(), 0.1f);
    layer.out = matrices.draw(Format::f32, kWidth, kHeads * kHeadDim);
    layer.gate_up = matrices.draw(format, 2 * kFfn, kWidth);
    layer.down = matrices.draw(format, kWidth, kFfn);
    parts.layers.push_back(layer);
  }
  parts.embedding = matrices.draw(format, kVocabulary, kWidth);
  parts.head = parts.embedding;
  parts.final_norm = std::vector<float>(kWidth, 1.0f);
  return parts;
}

Adapter adapter_of(const ModelParts& parts, Matrices& matrices) {
  Adapter adapter;
  for (const Layer& layer : parts.layers) {
    LayerAdapter& pairs = adapter.emplace_back();
    for (const Place place : {Place::qkv, Place::out, Place::gate_up, Place::down}) {
      const Weights& matrix = matrix_at(layer, place);
      pairs[static_cast<size_t>(place)] = {matrices.draw(Format::f32, 5, matrix.k),
                                           matrices.draw(Format::f32, matrix.n, 5)};
    }
  }
  return adapter;
}

struct Chunk {
  int32_t rows, start, prefix, adapter, first_block;
};

// The logits of all rows and the hidden sums of all sequences, one after the other.
std::vector<float> compute(Model& model, Cache& cache, const std::vector<Chunk>& chunks) {
  std::vector<int32_t> tokens, numbers, tables, rows, pooled;
  for (const Chunk& chunk : chunks) {
    for (int32_t i = 0; i < chunk.rows; i++) {
      tokens.push_back((chunk.start + i) * 7 % kVocabulary);
      rows.push_back(static_cast<int32_t>(rows.size()));
    }
    numbers.insert(numbers.end(), {chunk.rows, chunk.start, chunk.prefix, chunk.adapter});
    for (int32_t i = 0; i < kTableWidth; i++) {
      tables.push_back(chunk.first_block - i);
    }
    pooled.push_back(static_cast<int32_t>(pooled.size()));
  }
  const size_t logits = rows.size() * kVocabulary;
  std::vector<float> out(logits + pooled.size() * kWidth, NAN);
  const auto count = static_cast<int64_t>(chunks.size());
  model.forward({static_cast<int64_t>(tokens.size()), tokens.data(), count, numbers.data(),
                 tables.data(), kTableWidth, static_cast<int64_t>(rows.size()), rows.data(),
                 out.data(), count, pooled.data(), out.data() + logits},
                cache);
  for (const float number : out) {
    expect(std::isfinite(number), "finite numbers");
  }
  return out;
}

// Prompts, a prefix, adapters, a context that is read to its end, and decoding rows.
std::vector<float> mixed_batches(Format format, const Kernels& kernels, int threads, bool whole) {
  Pool pool({threads});
  Matrices matrices(pool);
  ModelParts parts = parts_of(format, matrices);
  Adapter adapter = adapter_of(parts, matrices);
  Model model(parts, kernels, pool);
  expect(model.add_adapter(std::move(adapter)) == 0, "an adapter's number");
  Cache cache({2, kGroups, kHeadDim, kBlocks, kBlockTokens});
  const std::vector<float> prefix = matrices.normal(kGroups * 3 * kHeadDim, 1.0f);
  const std::vector<int32_t> table = {79};
  for (int32_t layer = 0; layer < 2; layer++) {
    cache.write(layer, prefix.data(), prefix.data(), 3, table.data());
  }
  if (whole) {
    compute(model, cache, {{199, 0, 0, -1, 24}, {40, 0, 0, 0, 49}, {5, 0, 3, 0, 79}});
  } else {
    compute(model, cache, {{100, 0, 0, -1, 24}, {1, 0, 0, 0, 49}, {4, 0, 3, 0, 79}});
    compute(model, cache, {{99, 100, 0, -1, 24}, {39, 1, 0, 0, 49}, {1, 4, 3, 0, 79}});
  }
  cache.copy(49, 50);
  return compute(model, cache, {{1, 199, 0, -1, 24}, {33, 40, 0, 0, 49}, {1, 5, 3, 0, 79}});
}

}  // namespace

int main() {
  for (const Format format : {Format::f32, Format::bf16, Format::q8, Format::q4}) {
    for (int i = 0; i < kernel_count(); i++) {
      const std::vector<float> one = mixed_batches(format, kernel_table(i), 1, true);
      expect(mixed_batches(format, kernel_table(i), 3, true) == one, "threads change nothing");
      expect(mixed_batches(format, kernel_table(i), 2, false) == one, "chunks change nothing");
    }
  }
  std::puts("ok");
}
