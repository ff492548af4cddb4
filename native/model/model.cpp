#include "model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "packing.h"

namespace qingtan {

const Weights& matrix_at(const Layer& layer, Place place) {
  switch (place) {
    case Place::qkv:
      return layer.qkv;
    case Place::out:
      return layer.out;
    case Place::gate_up:
      return layer.gate_up;
    default:
      return layer.down;
  }
}

Model::Model(ModelParts parts, const Kernels& kernels, Pool& pool)
    : parts_(std::move(parts)),
      workers_(kernels, pool),
      products_(workers_),
      attention_(parts_.shape, workers_) {
  for (const Layer& layer : parts_.layers) {
    wide_columns_ = std::max({wide_columns_, layer.qkv.n, layer.gate_up.n});
    narrow_columns_ = std::max({narrow_columns_, layer.out.k, layer.down.k});
  }
}

int64_t Model::add_adapter(Adapter adapter) {
  const std::lock_guard lock(lock_);
  int64_t rank = rank_;
  for (const LayerAdapter& layer : adapter) {
    for (const std::optional<LowRank>& pair : layer) {
      rank = std::max(rank, pair ? pair->down.n : 0);
    }
  }
  adapters_.push_back(std::move(adapter));
  rank_ = rank;
  return adapters() - 1;
}

void Model::forward(const Step& step, Cache& cache) {
  const std::lock_guard lock(lock_);
  begin(step);
  embed(step);
  for (size_t layer = 0; layer < parts_.layers.size(); layer++) {
    attend(layer, cache);
    feed_forward(layer);
  }
  if (step.wanted_rows > 0) {
    write_logits(step);
  }
  if (step.pooled_sequences > 0) {
    write_hidden(step);
  }
}

void Model::begin(const Step& step) {
  rows_ = step.rows;
  sequences_.clear();
  int32_t first = 0;
  for (int64_t i = 0; i < step.sequences; i++) {
    const int32_t* numbers = step.numbers + 4 * i;
    const int32_t* table = step.tables + i * step.table_width;
    sequences_.push_back({first, numbers[0], numbers[1], numbers[2], numbers[3], table});
    first += numbers[0];
  }
  find_adapted();
  attention_.plan(sequences_);
  reserve(std::max(step.rows, step.wanted_rows));
}

// Neighbours of the same adapter are computed together.
void Model::find_adapted() {
  adapted_.clear();
  for (const StepSequence& sequence : sequences_) {
    for (int32_t row = 0; row < sequence.rows && sequence.adapter >= 0; row++) {
      const int64_t place = int64_t{sequence.first} + row;
      const auto adapter = static_cast<size_t>(sequence.adapter);
      if (!adapted_.empty() && adapted_.back().adapter == adapter &&
          adapted_.back().rows < Correction::kMostRows &&
          adapted_.back().first + adapted_.back().rows == place) {
        adapted_.back().rows++;
      } else {
        adapted_.push_back({place, 1, adapter});
      }
    }
  }
}

void Model::reserve(int64_t rows) {
  x_.reserve(rows * width());
  normed_.reserve(rows * width());
  product_.reserve(rows * width());
  wide_.reserve(rows * wide_columns_);
  narrow_.reserve(rows * narrow_columns_);
  products_.reserve(rows, std::max(width(), narrow_columns_), rank_);
}

void Model::embed(const Step& step) {
  workers_.run_rows(rows_, width(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      workers_.kernels().embed(parts_.embedding, step.tokens[row], x_.data() + row * width());
    }
  });
}

// The stream's rows into normed_, ready for a product.
void Model::normalize(const std::vector<float>& norm, const Weights& next) {
  workers_.run_rows(rows_, width(), [&](int64_t begin, int64_t end) {
    workers_.kernels().rms_norm(x_.data(), norm.data(), parts_.epsilon, width(), begin, end,
                                normed_.data());
    products_.prepare(next, normed_.data(), begin, end);
  });
}

void Model::multiply(size_t layer, Place place, const float* input, float* out, float* sum) {
  corrections_.clear();
  for (const Adapted& adapted : adapted_) {
    const auto& pair = adapters_[adapted.adapter][layer][static_cast<size_t>(place)];
    if (pair) {
      corrections_.push_back({adapted.first, adapted.rows, &*pair});
    }
  }
  const Layer& weights = parts_.layers[layer];
  const bool biased = place == Place::qkv && !weights.qkv_bias.empty();
  products_.multiply({matrix_at(weights, place), biased ? weights.qkv_bias.data() : nullptr, input,
                      rows_, out, sum},
                     corrections_);
}

void Model::attend(size_t layer, const Cache& cache) {
  const Layer& weights = parts_.layers[layer];
  normalize(weights.attention_norm, weights.qkv);
  multiply(layer, Place::qkv, normed_.data(), wide_.data(), nullptr);
  attention_.run(cache.layer(static_cast<int32_t>(layer)), wide_.data(), narrow_.data());
  workers_.run_rows(rows_, weights.out.k, [&](int64_t begin, int64_t end) {
    products_.prepare(weights.out, narrow_.data(), begin, end);
  });
  multiply(layer, Place::out, narrow_.data(), product_.data(), x_.data());
}

void Model::feed_forward(size_t layer) {
  const Layer& weights = parts_.layers[layer];
  normalize(weights.mlp_norm, weights.gate_up);
  multiply(layer, Place::gate_up, normed_.data(), wide_.data(), nullptr);
  workers_.run_rows(rows_, weights.gate_up.n, [&](int64_t begin, int64_t end) {
    workers_.kernels().silu_mul(wide_.data(), weights.down.k, begin, end, narrow_.data());
    products_.prepare(weights.down, narrow_.data(), begin, end);
  });
  multiply(layer, Place::down, narrow_.data(), product_.data(), x_.data());
}

void Model::write_logits(const Step& step) {
  const auto bytes = static_cast<size_t>(width()) * sizeof(float);
  workers_.run_rows(step.wanted_rows, width(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      std::memcpy(product_.data() + row * width(), x_.data() + step.wanted[row] * width(), bytes);
    }
    workers_.kernels().rms_norm(product_.data(), parts_.final_norm.data(), parts_.epsilon, width(),
                                begin, end, normed_.data());
    products_.prepare(parts_.head, normed_.data(), begin, end);
  });
  corrections_.clear();
  products_.multiply(
      {parts_.head, nullptr, normed_.data(), step.wanted_rows, step.logits, nullptr}, corrections_);
}

// Rows are added in their order, each sequence's by one thread.
void Model::write_hidden(const Step& step) {
  const Kernels& kernels = workers_.kernels();
  workers_.run(step.pooled_sequences, [&](int64_t i, int) {
    const StepSequence& sequence = sequences_[static_cast<size_t>(step.pooled[i])];
    const int64_t end = int64_t{sequence.first} + sequence.rows;
    kernels.rms_norm(x_.data(), parts_.final_norm.data(), parts_.epsilon, width(), sequence.first,
                     end, normed_.data());
    float* sum = step.hidden + i * width();
    std::fill(sum, sum + width(), 0.0f);
    for (int64_t row = sequence.first; row < end; row++) {
      kernels.add(sum, normed_.data() + row * width(), width());
    }
  });
}

}  // namespace qingtan
