// 2^x and e^x for vectors.
//
// x = n + r with n whole and |r| ≤ 1/2; 2^r is a polynomial of degree 6 with constant 1, whose
// largest relative error was minimised (linear programming over Chebyshev points) to 2e-9 before
// its coefficients were rounded to float. With the rounding of its steps the relative error stays
// below 1.2e-7. Results below 2^-126.5 are 0; x above 127 is not allowed (here x ≤ 0 always).
#pragma once

namespace qingtan {
namespace {

// Adding this makes the float's last bit worth 1, so that its low bits hold round(x) + 127, the
// exponent of 2^round(x) as a float stores it.
constexpr float kRounder = 12582912.0F + 127.0F;

// 2^r for |r| ≤ 1/2.
template <class V>
inline typename V::Floats exp2_fraction(typename V::Floats r) {
  typename V::Floats p = V::set(0x1.41fbbep-13F);
  p = V::fma(p, r, V::set(0x1.5f3e52p-10F));
  p = V::fma(p, r, V::set(0x1.3b2d4cp-7F));
  p = V::fma(p, r, V::set(0x1.c6aee8p-5F));
  p = V::fma(p, r, V::set(0x1.ebfbdcp-3F));
  p = V::fma(p, r, V::set(0x1.62e430p-1F));
  return V::fma(p, r, V::set(1.0F));
}

// 2^x for x ≤ 0; −∞ gives 0, NaN gives NaN.
template <class V>
inline typename V::Floats exp2_negative(typename V::Floats x) {
  x = V::max(V::set(-127.0F), x);
  const typename V::Floats shifted = V::add(x, V::set(kRounder));
  const typename V::Floats r = V::sub(x, V::sub(shifted, V::set(kRounder)));
  return V::mul(exp2_fraction<V>(r), V::power(shifted));
}

// e^x for x ≤ 0. r = x·log2(e) − n needs log2(e) in two parts, or its error would grow with x.
template <class V>
inline typename V::Floats exp_negative(typename V::Floats x) {
  x = V::max(V::set(-88.1F), x);
  const typename V::Floats shifted = V::fma(x, V::set(0x1.715476p+0F), V::set(kRounder));
  const typename V::Floats n = V::sub(shifted, V::set(kRounder));
  typename V::Floats r = V::fma(x, V::set(0x1.715476p+0F), V::sub(V::zero(), n));
  r = V::fma(x, V::set(0x1.4ae0cp-26F), r);
  return V::mul(exp2_fraction<V>(r), V::power(shifted));
}

}  // namespace
}  // namespace qingtan
