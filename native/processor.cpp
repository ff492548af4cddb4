#include "processor.h"

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace qingtan {
namespace {

#if defined(__x86_64__) || defined(__i386__)

struct Registers {
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
  uint32_t d = 0;
};

// All zeros where the processor has no such leaf.
Registers leaf(uint32_t number, uint32_t part) {
  Registers r;
  __get_cpuid_count(number, part, &r.a, &r.b, &r.c, &r.d);
  return r;
}

bool has(uint32_t word, int bit) { return (word >> bit & 1u) != 0; }

// Which registers the operating system saves when it changes threads (XCR0).
uint32_t saved_registers() {
  constexpr int osxsave = 27;
  if (!has(leaf(1, 0).c, osxsave)) {
    return 0;
  }
  uint32_t low;
  uint32_t high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool saves_avx() {
  constexpr uint32_t sse_avx = 0x6;
  return (saved_registers() & sse_avx) == sse_avx;
}

bool saves_avx512() {
  constexpr uint32_t sse_avx_avx512 = 0xe6;
  return (saved_registers() & sse_avx_avx512) == sse_avx_avx512;
}

#endif

}  // namespace

#if defined(__x86_64__) || defined(__i386__)

bool has_avx2() {
  const Registers first = leaf(1, 0);
  const bool fma = has(first.c, 12);
  const bool avx = has(first.c, 28);
  const bool f16c = has(first.c, 29);
  return avx && fma && f16c && has(leaf(7, 0).b, 5) && saves_avx();
}

bool has_avxvnni() { return has_avx2() && has(leaf(7, 1).a, 4); }

bool has_avx512() {
  const Registers seven = leaf(7, 0);
  const bool f = has(seven.b, 16);
  const bool dq = has(seven.b, 17);
  const bool bw = has(seven.b, 30);
  const bool vl = has(seven.b, 31);
  const bool vnni = has(seven.c, 11);
  return has_avx2() && f && dq && bw && vl && vnni && saves_avx512();
}

#else

bool has_avx2() { return false; }
bool has_avxvnni() { return false; }
bool has_avx512() { return false; }

#endif

#if defined(__aarch64__) && defined(__linux__)

bool has_neon_dotprod() {
  constexpr unsigned long asimd_half = 1ul << 10;
  constexpr unsigned long asimd_dot_product = 1ul << 20;
  constexpr unsigned long both = asimd_half | asimd_dot_product;
  return (getauxval(AT_HWCAP) & both) == both;
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool has_neon_dotprod() {
  int present = 0;
  size_t size = sizeof present;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &present, &size, nullptr, 0) == 0 &&
         present != 0;
}

#else

bool has_neon_dotprod() { return false; }

#endif

}  // namespace qingtan
