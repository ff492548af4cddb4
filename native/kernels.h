// The kernels: plain functions on plain memory, one table of them for each instruction set.
//
// All of them work on a part of the output, so that the caller spreads the parts over its threads;
// none of them allocates. Numbers are computed in the same order whatever the part, so that results
// are the same bits for any number of threads.
//
// Weights. A matrix (n, k) is packed in blocks of 16 rows; n is padded to whole blocks with zeros.
// k is a multiple of 32 for the quantized formats. For each block, in the order of its bytes:
//
//   f32   k times: 16 floats, one of each row
//   bf16  k/2 times: 16 pairs (2 values along k of each row), 64 bytes
//   q8    k/32 groups of 544 bytes: 8 vectors of 64 bytes, vector q holding of each row the 4
//         values 4q…4q+3 of the group as unsigned bytes (value + 128); then 16 fp16 scales
//   q4    k/32 groups of 288 bytes: 4 vectors of 64 bytes, each byte holding in its low half a
//         value (+ 8) of vector j and in its high half one of vector j + 4, vectors as in q8; then
//         16 fp16 scales
//
// A weight is (stored − offset) × scale, symmetric: q8 from −127 to 127, q4 from −8 to 7.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qingtan {

constexpr int kBlockRows = 16;
constexpr int kGroup = 32;
constexpr int kQ8GroupBytes = 8 * 64 + 2 * kBlockRows;
constexpr int kQ4GroupBytes = 4 * 64 + 2 * kBlockRows;

enum class Format : int32_t { f32 = 0, bf16 = 1, q8 = 2, q4 = 3 };

// Bytes of a packed block of 16 rows.
size_t block_bytes(Format format, int64_t k);

// A packed matrix (n, k).
struct Weights {
  Format format;
  int64_t n;
  int64_t k;
  const uint8_t* data;  // 64-byte aligned
};

// Rows of activations (rows, k) float32 as given, and for integer products quantized by groups of
// 32: x ≈ q × scale, q from −127 to 127; `sums` are those of q in each group. scale = max|x| / 127,
// but with AVX2 max(|x₂ᵢ| + |x₂ᵢ₊₁|) / 127. A table's products want the rows that it has quantized.
struct Activations {
  int64_t rows;
  int64_t k;
  const float* x;         // (rows, k)
  const int8_t* q;        // (rows, k)
  const float* scales;    // (rows, k / 32)
  const int32_t* sums;    // (rows, k / 32)
};

// What a cache holds: fp16, or int8 with a scale for each token's keys (and values) of a group:
// x ≈ number × scale, number from −127 to 127, scale = max|x| / 127.
enum class CacheNumber : int32_t { f16 = 0, q8 = 1 };

// Keys and values of one layer in blocks of `block_tokens` tokens, a power of two. A token's place
// is given by its sequence's table: block = table[position / block_tokens].
struct PagedCache {
  CacheNumber number;
  void* keys;           // (blocks, groups, block_tokens, head_dim) uint16_t (f16) or int8_t (q8)
  void* values;         // likewise
  float* key_scales;    // q8: (blocks, groups, block_tokens); f16: null
  float* value_scales;  // likewise
  int32_t block_tokens;
  int32_t groups;
  int32_t head_dim;
};

// One sequence's part in a step: `rows` tokens from position `start`, whose queries stand together
// from row `first` of the step, and where its keys and values are.
struct Sequence {
  int32_t first;
  int32_t rows;
  int32_t start;
  const int32_t* table;
};

struct Kernels {
  const char* name;

  // Quantize rows [begin, end) of x (·, k) into q, scales and sums. A group whose numbers are all
  // so small (below about 1e-36) that 127 / max is infinite becomes zeros with scale 0.
  void (*quantize)(const float* x, int64_t k, int64_t begin, int64_t end, int8_t* q, float* scales,
                   int32_t* sums);

  // out[r * stride + n] = Σ_k weight[n][k] · x[r][k] (+ bias[n]) for all rows and the blocks of 16
  // weights' rows [begin, end). f32 and bf16 use `x`, q8 and q4 the quantized rows. Columns of out
  // beyond n in the last block are not written. bias may be null.
  void (*matmul)(const Weights& weights, const Activations& input, const float* bias, float* out,
                 int64_t stride, int64_t begin, int64_t end);

  // One row of an embedding (packed like any matrix), as floats: out (k).
  void (*embed)(const Weights& table, int64_t row, float* out);

  // out = x / sqrt(mean(x²) + epsilon) · weight for rows [begin, end) of (·, width). out may be x.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, int64_t width, int64_t begin,
                   int64_t end, float* out);

  // x += y, for `count` numbers.
  void (*add)(float* x, const float* y, int64_t count);

  // out[i] = silu(gate[i]) · up[i] for rows [begin, end); a row holds `width` gates, then `width`
  // ups.
  void (*silu_mul)(const float* gate_up, int64_t width, int64_t begin, int64_t end, float* out);

  // Turn interleaved pairs of the first `rotary` of `head_dim` numbers of `heads` heads: sines and
  // cosines (rotary / 2) are the position's.
  void (*rotate)(float* x, int32_t heads, int32_t head_dim, int32_t rotary, const float* cosines,
                 const float* sines);

  // Put the keys and values (groups, head_dim) of one token into the cache. In both kinds of cache
  // what fp16 cannot hold becomes the largest that it can. In q8, numbers all below about 1e-36
  // become zeros with scale 0, and one that is not a number makes the scale so.
  void (*store)(const float* keys, const float* values, const PagedCache& cache,
                const int32_t* table, int32_t position);

  // Causal attention of one sequence's rows [begin, end) (counted within the sequence) for one
  // group of keys and values: queries (rows of the step, stride `q_stride`, heads_per_group heads
  // of this group from `q_offset`) against the cache's positions 0 … start + row. `scratch` holds
  // attention_scratch(…) floats. out has the queries' layout with `out_stride`: the head h of row r
  // stands at (first + r) * stride + q_offset + h * head_dim in both. The numbers of a q8 cache are
  // used as they are, exactly; scores and weights are multiplied by their tokens' scales.
  void (*attention)(const float* queries, int64_t q_stride, int64_t q_offset,
                    int32_t heads_per_group, const PagedCache& cache, int32_t group,
                    const Sequence& sequence, int32_t begin, int32_t end, float scale,
                    float* scratch, float* out, int64_t out_stride);
};

// Floats of scratch that `attention` needs for so many rows and heads of a context.
size_t attention_scratch(int32_t rows, int32_t heads_per_group, int32_t context, int32_t head_dim);

// The tables of this build, the best that this processor can run first; the last one is portable.
// QINGTAN_ISA=portable (avx2, avxvnni, avx512, neon) chooses one by name; best_kernels throws
// std::invalid_argument where there is none of that name.
int kernel_count();
const Kernels& kernel_table(int index);
const Kernels& best_kernels();

}  // namespace qingtan
