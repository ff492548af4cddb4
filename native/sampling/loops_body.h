// The passes of loops.h, included by one file for each instruction set. Plain loops over arrays of
// fixed lengths, which compilers turn into vectors.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "loops.h"
#include "random.h"

namespace qingtan {
namespace {

constexpr int64_t kLanes = 16;

// Call each(x's block, its number); the last block is filled up with −∞.
template <class Each>
inline void each_block(const float* x, int64_t count, Each each) {
  const int64_t whole = count / kBlock;
  for (int64_t block = 0; block < whole; block++) {
    each(x + block * kBlock, block);
  }
  if (const int64_t rest = count % kBlock; rest != 0) {
    float last[kBlock];
    for (int64_t i = 0; i < kBlock; i++) {
      last[i] = i < rest ? x[whole * kBlock + i] : -std::numeric_limits<float>::infinity();
    }
    each(last, whole);
  }
}

inline float greatest_of(const float* x) {
  float lanes[kLanes];
  for (int64_t l = 0; l < kLanes; l++) {
    const float a = x[l] < x[l + 16] ? x[l + 16] : x[l];
    const float b = x[l + 32] < x[l + 48] ? x[l + 48] : x[l + 32];
    lanes[l] = a < b ? b : a;
  }
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t l = 0; l < half; l++) {
      lanes[l] = lanes[l] < lanes[l + half] ? lanes[l + half] : lanes[l];
    }
  }
  return lanes[0];
}

bool maxima(const float* x, int64_t count, float* greatest) {
  int32_t bad[kLanes] = {};
  each_block(x, count, [&](const float* block, int64_t number) {
    greatest[number] = greatest_of(block);
    for (int64_t i = 0; i < kBlock; i += kLanes) {
      for (int64_t l = 0; l < kLanes; l++) {
        bad[l] |= block[i + l] <= std::numeric_limits<float>::max() ? 0 : 1;
      }
    }
  });
  int32_t any = 0;
  for (const int32_t lane : bad) {
    any |= lane;
  }
  return any == 0;
}

// e^x for x ≤ 0 as in the Cephes library's expf, to about 1e-7 of the result; 0 below −88.
// x = n·ln 2 + r; ln 2 in two parts, the first of which has so few bits that n times it is exact.
inline float exp_negative(float x) {
  constexpr float rounder = 12582912.0F + 127.0F;  // makes the last bits round(x) + 127
  x = x > -88.1F ? x : -88.1F;
  const float shifted = x * 0x1.715476p+0F + rounder;
  const float n = shifted - rounder;
  const float r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float power = std::bit_cast<float>(std::bit_cast<uint32_t>(shifted) << 23);
  return (p * (r * r) + r + 1.0F) * power;
}

// A sum in double precision of sums of four floats each.
struct Sum {
  double lanes[kLanes] = {};

  void add(const float* block) {
    float four[kLanes];
    for (int64_t l = 0; l < kLanes; l++) {
      four[l] = (block[l] + block[l + 16]) + (block[l + 32] + block[l + 48]);
    }
    for (int64_t l = 0; l < kLanes; l++) {
      lanes[l] += static_cast<double>(four[l]);
    }
  }

  double value() const {
    double sum = 0.0;
    for (const double lane : lanes) {
      sum += lane;
    }
    return sum;
  }
};

double weigh(const float* x, int64_t count, Scale scale, float* w) {
  Sum sum;
  each_block(x, count, [&](const float* block, int64_t number) {
    float weights[kBlock];
    for (int64_t i = 0; i < kBlock; i++) {
      weights[i] = exp_negative((block[i] - scale.greatest) * scale.inverse);
    }
    sum.add(weights);
    for (int64_t i = 0; w != nullptr && i < kBlock; i++) {
      w[number * kBlock + i] = weights[i];
    }
  });
  return sum.value();
}

double sum_above(const float* x, const float* w, int64_t count, float least) {
  Sum sum;
  each_block(x, count, [&](const float* block, int64_t number) {
    float weights[kBlock];
    for (int64_t i = 0; i < kBlock; i++) {
      const float weight = w[number * kBlock + i];
      weights[i] = block[i] > least ? weight : 0.0F;
    }
    sum.add(weights);
  });
  return sum.value();
}

int64_t next_contender(const float* w, const int32_t* ids, int64_t block, int64_t blocks,
                       uint64_t state, float reach) {
  for (; block < blocks; block++) {
    int32_t hit = 0;
    for (int64_t i = block * kBlock; i < (block + 1) * kBlock; i++) {
      const uint64_t bits = output(state, static_cast<uint32_t>(ids[i]));
      hit |= below_exponential(bits) <= reach * w[i] ? 1 : 0;
    }
    if (hit != 0) {
      break;
    }
  }
  return block;
}

constexpr Loops kLoops = {maxima, weigh, sum_above, next_contender};

}  // namespace
}  // namespace qingtan
