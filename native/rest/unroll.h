// Loops that must be unrolled so that arrays of vectors become registers, functions that must stay
// separate so that the compiler has all registers for their loop, and prefetching.
#pragma once

#if defined(__clang__)
#define QINGTAN_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define QINGTAN_UNROLL _Pragma("GCC unroll 8")
#else
#define QINGTAN_UNROLL
#endif

#if defined(__GNUC__)
#define QINGTAN_SEPARATE __attribute__((noinline))
#define QINGTAN_PREFETCH(address) __builtin_prefetch(address, 0, 2)
#else
#define QINGTAN_SEPARATE
#define QINGTAN_PREFETCH(address) static_cast<void>(address)
#endif
