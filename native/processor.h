// What the processor that runs this, and its operating system, have.
#pragma once

namespace qingtan {

// AVX2, FMA and F16C.
bool has_avx2();

// Those, and AVX-512 F, BW, VL, DQ and VNNI. (Its BF16 is younger: kernels that use it ask for it.)
bool has_avx512();

// Armv8.2's dot product and fp16 arithmetic.
bool has_neon_dotprod();

}  // namespace qingtan
