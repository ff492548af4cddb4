// The passes over whole rows of scores, compiled for several instruction sets. All of them compute
// the same bits: nothing is contracted, and sums are added up in the same order.
#pragma once

#include <cstdint>

namespace qingtan {

constexpr int64_t kBlock = 64;  // scores that are looked at together

constexpr int64_t blocks_of(int64_t count) { return (count + kBlock - 1) / kBlock; }

// A score's weight is e^((score − greatest) · inverse), `inverse` that of the temperature.
struct Scale {
  float greatest;
  float inverse;
};

struct Loops {
  // The greatest of each block of x (count). False where any is NaN or +∞.
  bool (*maxima)(const float* x, int64_t count, float* greatest);

  // The sum of the weights of x (count); where w is given, they are written there, to the end of
  // the last block (zeros beyond count). −∞ and what lies 88 below the greatest weighs nothing.
  double (*weigh)(const float* x, int64_t count, Scale scale, float* w);

  // The sum of those weights whose score is above `least`.
  double (*sum_above)(const float* x, const float* w, int64_t count, float least);

  // The next block, from `block`, in which some weight's quotient exponential / weight may be at
  // most `reach`; `blocks` where there is none. `state` is the draw's generator. w and ids are
  // whole blocks.
  int64_t (*next_contender)(const float* w, const int32_t* ids, int64_t block, int64_t blocks,
                            uint64_t state, float reach);
};

extern const Loops kPortableLoops;
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;

// Those that belong to best_kernels(), so QINGTAN_ISA chooses them too.
const Loops& best_loops();

}  // namespace qingtan
