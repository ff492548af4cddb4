// From rows of numbers, as checkpoints hold them, to the packed formats of kernels.h, and back.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "pool.h"

namespace qingtan {

enum class Number : int32_t { f32 = 0, f16 = 1, bf16 = 2 };

// A matrix (n, k) in a checkpoint's layout: row r begins at data + r * stride numbers.
struct Rows {
  Number number;
  const void* data;
  int64_t n;
  int64_t k;
  int64_t stride;
};

int64_t block_count(int64_t n);

// Bytes of a packed matrix (n, k).
size_t packed_bytes(Format format, int64_t n, int64_t k);

// Whether a matrix of so many columns can be packed: in whole groups where the format has groups.
bool columns_fit(Format format, int64_t k);

// Pack `rows` into out (packed_bytes(…), 64-byte aligned), a part of the blocks on each thread.
//
// q8 takes max|w| / 127 of each group as its scale, rounded to fp16. q4 tries six scales from
// max / −6.6 to max / −8.6 (the number of greatest magnitude comes to lie at the longer, negative
// side), takes for each the numbers to which it rounds the group and the scale that fits those
// best, and keeps the pair of the least squared error: on normal, Laplace and Student's numbers
// within 0.6% of the error that a search of a hundred scales leaves, and 8 to 11% below that of
// max / −8 alone.
//
// Throws std::invalid_argument where a number is not finite or, in a quantized format, so large
// that its scale is no fp16.
void pack(Format format, const Rows& rows, uint8_t* out, Pool& pool);

// What a matrix (n, k) was rounded to elsewhere: weight = level × scale.
struct RoundedRows {
  const int8_t* levels;    // (n, k), q8 from −127 to 127, q4 from −8 to 7
  const uint16_t* scales;  // (n, k / 32), fp16
  int64_t n;
  int64_t k;
};

// Pack levels and scales as they are, into q8 or q4; otherwise as `pack`.
//
// Throws std::invalid_argument where a level is out of range or a scale is not finite.
void pack_rounded(Format format, const RoundedRows& rows, uint8_t* out, Pool& pool);

// The packed matrix as floats: out (n, k).
void unpack(const Weights& weights, float* out, Pool& pool);

}  // namespace qingtan
