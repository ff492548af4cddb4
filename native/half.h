// fp16 and bf16 without any instruction set. The functions are static, so that each file compiled
// with special flags keeps its own copies to itself.
#pragma once

#include <bit>
#include <cstdint>

namespace qingtan {

static inline float from_bf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// To nearest, ties to even. Not a number stays so.
static inline uint16_t to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return static_cast<uint16_t>((bits >> 16) | 0x40u);
  }
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The exponent of fp16 has 15 where that of float has 127. Shifted into a float's place, a denormal
// number comes out right after one subtraction, because 2^-14 is then a normal number.
static inline float from_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  uint32_t bits;
  if (magnitude >= 0x7c00u) {  // infinite, or not a number
    bits = (magnitude << 13) + ((255u - 31u) << 23);
  } else if (magnitude >= 0x0400u) {
    bits = (magnitude << 13) + ((127u - 15u) << 23);
  } else {
    constexpr float smallest_normal = 0x1p-14f;
    const uint32_t raised = (magnitude << 13) + (113u << 23);
    bits = std::bit_cast<uint32_t>(std::bit_cast<float>(raised) - smallest_normal);
  }
  return std::bit_cast<float>(bits | sign);
}

// To nearest, ties to even; what is too large becomes infinite.
static inline uint16_t to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // 65520, half way beyond the largest
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // 2^-14
    const uint32_t rebased = magnitude - ((127u - 15u) << 23);
    half = (rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13;
  } else {
    // Adding 1/2 makes the processor round at 2^-24, the step of denormal numbers.
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    half = std::bit_cast<uint32_t>(sum) - std::bit_cast<uint32_t>(0.5f);
  }
  return static_cast<uint16_t>(half | sign);
}

}  // namespace qingtan
