// The random numbers of sampling: one for every (seed, how many tokens were drawn before, token
// id), computed from the three alone. The same request draws the same text whatever runs beside it
// and however its tokens fall into steps.
//
// They are outputs of SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014): the seed's generator gives each draw a generator, and that one's
// output number id is the token's.
#pragma once

#include <cmath>
#include <cstdint>

namespace qingtan {
namespace {

constexpr uint64_t kGamma = 0x9e3779b97f4a7c15;

inline uint64_t mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// Output number `index` of the generator that begins at `state`.
inline uint64_t output(uint64_t state, uint64_t index) {
  return mix64(state + (index + 1) * kGamma);
}

// The generator of a draw. The seed is mixed first: people give small ones.
inline uint64_t generator_of(uint64_t seed, uint64_t drawn) { return output(mix64(seed), drawn); }

// A number of the exponential distribution with mean 1 from 52 bits, never 0 and never infinite.
// Its negative logarithm has Gumbel's distribution.
inline double exponential(uint64_t bits) {
  return -std::log1p(-(static_cast<double>(bits >> 12) + 0.5) * 0x1p-52);
}

// Below (or at) the exponential of the same bits, as −log(1 − u) ≥ u; and cheap.
inline float below_exponential(uint64_t bits) {
  return static_cast<float>(static_cast<int32_t>(bits >> 40)) * 0x1p-24F;
}

}  // namespace
}  // namespace qingtan
