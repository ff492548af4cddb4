// The whole model (the mathematics of glm/model.py) on a step of many sequences at a time.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "attention.h"
#include "buffer.h"
#include "cache.h"
#include "kernels.h"
#include "pool.h"
#include "products.h"
#include "workers.h"

namespace qingtan {

// The weights of a layer; D is the model's width, F the layer's own.
struct Layer {
  std::vector<float> attention_norm;  // (D)
  Weights qkv;                        // (columns of queries, keys and values, D)
  std::vector<float> qkv_bias;        // or nothing
  Weights out;                        // (D, heads · head_dim)
  std::vector<float> mlp_norm;        // (D)
  Weights gate_up;                    // (2 F, D), gates first
  Weights down;                       // (D, F)
};

// The matrices of a layer that an adapter may add to.
enum class Place : size_t { qkv, out, gate_up, down };
constexpr size_t kPlaces = 4;
const Weights& matrix_at(const Layer& layer, Place place);

using LayerAdapter = std::array<std::optional<LowRank>, kPlaces>;
using Adapter = std::vector<LayerAdapter>;  // of each layer

struct ModelParts {
  AttentionShape shape;
  float epsilon;
  Weights embedding;  // (V, D)
  std::vector<Layer> layers;
  std::vector<float> final_norm;  // (D)
  Weights head;                   // (V, D)
};

// What is computed together: rows of several sequences, one sequence's after another's.
struct Step {
  int64_t rows;
  const int32_t* tokens;  // (rows)
  int64_t sequences;
  const int32_t* numbers;  // (sequences, 4): rows, start, prefix, adapter (−1: none)
  const int32_t* tables;   // (sequences, table_width): blocks of the cache
  int64_t table_width;
  int64_t wanted_rows;
  const int32_t* wanted;  // rows whose logits are wanted
  float* logits;          // (wanted_rows, V)
  int64_t pooled_sequences;
  const int32_t* pooled;  // ascending: sequences whose hidden states are to be added up
  float* hidden;          // (pooled_sequences, D): sums over their rows, after the final norm
};

// Matrices are not copied and must stay; so must the pool. What it is given fits together:
// module/ has checked it.
class Model {
 public:
  Model(ModelParts parts, const Kernels& kernels, Pool& pool);

  const ModelParts& parts() const { return parts_; }
  int64_t width() const { return parts_.embedding.k; }
  int64_t vocabulary() const { return parts_.embedding.n; }

  // Returns its number: they count from 0.
  int64_t add_adapter(Adapter adapter);
  int64_t adapters() const { return static_cast<int64_t>(adapters_.size()); }

  // Compute a step; its keys and values go into the cache. Calls of several threads take turns.
  void forward(const Step& step, Cache& cache);

 private:
  // Rows of the step that one adapter computes, Correction::kMostRows at most.
  struct Adapted {
    int64_t first;
    int64_t rows;
    size_t adapter;
  };

  void begin(const Step& step);
  void find_adapted();
  void reserve(int64_t rows);
  void embed(const Step& step);
  void normalize(const std::vector<float>& norm, const Weights& next);
  void multiply(size_t layer, Place place, const float* input, float* out, float* sum);
  void attend(size_t layer, const Cache& cache);
  void feed_forward(size_t layer);
  void write_logits(const Step& step);
  void write_hidden(const Step& step);

  const ModelParts parts_;
  Workers workers_;
  Products products_;
  Attention attention_;
  std::vector<Adapter> adapters_;
  int64_t wide_columns_ = 0;    // of queries, keys and values, or of gates and ups
  int64_t narrow_columns_ = 0;  // of what attention or the gates give
  int64_t rank_ = 0;            // the adapters' highest

  // The step in work.
  std::mutex lock_;
  int64_t rows_ = 0;
  std::vector<StepSequence> sequences_;
  std::vector<Adapted> adapted_;
  std::vector<Correction> corrections_;
  Buffer<float> x_;       // (rows, D): the residual stream
  Buffer<float> normed_;  // (rows, D)
  Buffer<float> product_;  // (rows, D), before it is added to the stream
  Buffer<float> wide_;
  Buffer<float> narrow_;
};

}  // namespace qingtan
