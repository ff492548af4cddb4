// Turning 8 × 8 halves, or 8 × 16 bytes, within each 128-bit lane of a vector: three rounds of
// interleaving.
#pragma once

namespace qingtan {
namespace {

// Numbers of `kBits` from the lower halves of a's and b's lanes, by turns.
template <class V, int kBits>
inline typename V::Halves low(typename V::Halves a, typename V::Halves b) {
  if constexpr (kBits == 8) {
    return V::low8(a, b);
  } else if constexpr (kBits == 16) {
    return V::low16(a, b);
  } else if constexpr (kBits == 32) {
    return V::low32(a, b);
  } else {
    return V::low64(a, b);
  }
}

// From the upper halves.
template <class V, int kBits>
inline typename V::Halves high(typename V::Halves a, typename V::Halves b) {
  if constexpr (kBits == 8) {
    return V::high8(a, b);
  } else if constexpr (kBits == 16) {
    return V::high16(a, b);
  } else if constexpr (kBits == 32) {
    return V::high32(a, b);
  } else {
    return V::high64(a, b);
  }
}

// Before: each lane of v[j] holds numbers of row j, of `kBits` each. After: each lane of v[i] holds
// of the 8 rows number i (halves), or numbers 2i and 2i + 1 (bytes). An instruction set may let
// the last round move lanes as well.
template <class V, int kBits>
inline void transpose_lanes(typename V::Halves (&v)[8]) {
  using H = typename V::Halves;
  constexpr int k1 = kBits, k2 = 2 * kBits, k4 = 4 * kBits;
  const H a0 = low<V, k1>(v[0], v[1]), a1 = high<V, k1>(v[0], v[1]);
  const H a2 = low<V, k1>(v[2], v[3]), a3 = high<V, k1>(v[2], v[3]);
  const H a4 = low<V, k1>(v[4], v[5]), a5 = high<V, k1>(v[4], v[5]);
  const H a6 = low<V, k1>(v[6], v[7]), a7 = high<V, k1>(v[6], v[7]);
  const H b0 = low<V, k2>(a0, a2), b1 = high<V, k2>(a0, a2);
  const H b2 = low<V, k2>(a1, a3), b3 = high<V, k2>(a1, a3);
  const H b4 = low<V, k2>(a4, a6), b5 = high<V, k2>(a4, a6);
  const H b6 = low<V, k2>(a5, a7), b7 = high<V, k2>(a5, a7);
  v[0] = low<V, k4>(b0, b4), v[1] = high<V, k4>(b0, b4);
  v[2] = low<V, k4>(b1, b5), v[3] = high<V, k4>(b1, b5);
  v[4] = low<V, k4>(b2, b6), v[5] = high<V, k4>(b2, b6);
  v[6] = low<V, k4>(b3, b7), v[7] = high<V, k4>(b3, b7);
}

}  // namespace
}  // namespace qingtan
