// The products of attention: a few queries' rows times a tile, in registers.
#pragma once

#include <cstdint>

#include "unroll.h"

namespace qingtan {
namespace {

// A matrix's rows: `length` at a time lie `stride` apart, from each of `parts`.
template <class Number>
struct Rows {
  const Number* const* parts;
  int64_t length;
  int64_t stride;
};

// sums[q][n] += a[q] · b[n], the next number of each.
template <class V, int Q, int N, class Number>
inline void multiply_row(const float* a, int64_t a_stride, const Number* b,
                         typename V::Floats (&sums)[Q][N]) {
  constexpr int64_t w = V::kWidth;
  if constexpr (Q < N) {
    // Few registers: the numbers of a are kept, each vector of b used at once.
    typename V::Floats row[Q];
    QINGTAN_UNROLL
    for (int q = 0; q < Q; ++q) {
      row[q] = V::set(a[q * a_stride]);
    }
    QINGTAN_UNROLL
    for (int n = 0; n < N; ++n) {
      const typename V::Floats column = V::load(b + n * w);
      QINGTAN_UNROLL
      for (int q = 0; q < Q; ++q) {
        sums[q][n] = V::fma(row[q], column, sums[q][n]);
      }
    }
  } else {
    typename V::Floats columns[N];
    QINGTAN_UNROLL
    for (int n = 0; n < N; ++n) {
      columns[n] = V::load(b + n * w);
    }
    QINGTAN_UNROLL
    for (int q = 0; q < Q; ++q) {
      const typename V::Floats x = V::set(a[q * a_stride]);
      QINGTAN_UNROLL
      for (int n = 0; n < N; ++n) {
        sums[q][n] = V::fma(x, columns[n], sums[q][n]);
      }
    }
  }
}

// c[q][n] = Σ_k a[q][k] · b[k][n] for Q rows and N vectors of columns; with kAdd, c[q][n] ·
// factors[q] and then the sum. b is `rows` from `column` on; it may be of halves, which are made
// floats as they are read. Each number is one chain of fused steps in the order of k, whatever Q
// and N.
template <class V, int Q, int N, bool kAdd, class Number>
QINGTAN_SEPARATE void multiply_part(const float* a, int64_t a_stride, const Rows<Number>& rows,
                                    int64_t column, int64_t depth, const float* factors, float* c,
                                    int64_t c_stride) {
  constexpr int64_t w = V::kWidth;
  const int64_t length = rows.length, stride = rows.stride;
  const Number* const* parts = rows.parts;
  typename V::Floats sums[Q][N];
  QINGTAN_UNROLL
  for (int q = 0; q < Q; ++q) {
    QINGTAN_UNROLL
    for (int n = 0; n < N; ++n) {
      sums[q][n] =
          kAdd ? V::mul(V::load(c + q * c_stride + n * w), V::set(factors[q])) : V::zero();
    }
  }
  for (int64_t begin = 0; begin < depth; begin += length) {
    const Number* b = *parts++ + column;
    const float* end = a + (depth - begin < length ? depth - begin : length);
    for (; a < end; ++a, b += stride) {
      multiply_row<V>(a, a_stride, b, sums);
    }
  }
  QINGTAN_UNROLL
  for (int q = 0; q < Q; ++q) {
    QINGTAN_UNROLL
    for (int n = 0; n < N; ++n) {
      V::store(c + q * c_stride + n * w, sums[q][n]);
    }
  }
}

// The same for any number of vectors.
template <class V, int Q, bool kAdd, class Number>
inline void multiply(const float* a, int64_t a_stride, const Rows<Number>& b, int64_t depth,
                     const float* factors, float* c, int64_t c_stride, int64_t vectors) {
  constexpr int64_t w = V::kWidth;
  int64_t n = 0;
  for (; n + 4 <= vectors; n += 4) {
    multiply_part<V, Q, 4, kAdd>(a, a_stride, b, n * w, depth, factors, c + n * w, c_stride);
  }
  if (vectors - n == 3) {
    multiply_part<V, Q, 3, kAdd>(a, a_stride, b, n * w, depth, factors, c + n * w, c_stride);
  } else if (vectors - n == 2) {
    multiply_part<V, Q, 2, kAdd>(a, a_stride, b, n * w, depth, factors, c + n * w, c_stride);
  } else if (vectors - n == 1) {
    multiply_part<V, Q, 1, kAdd>(a, a_stride, b, n * w, depth, factors, c + n * w, c_stride);
  }
}

}  // namespace
}  // namespace qingtan
