// What the processor that runs this, and its operating system, have.
#pragma once

namespace qingtan {

// AVX2, FMA and F16C.
bool has_avx2();

// Those, and VNNI's products of bytes in AVX2's registers.
bool has_avxvnni();

// AVX2's, and AVX-512 F, BW, VL, DQ and VNNI. (Its BF16 is younger: kernels that use it ask for it.)
bool has_avx512();

// Armv8.2's dot product and fp16 arithmetic.
bool has_neon_dotprod();

}  // namespace qingtan
