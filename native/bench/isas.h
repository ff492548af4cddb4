// The tables that a stand-alone program has been linked with.
#pragma once

#include <vector>

#include "../processor.h"
#include "../tables.h"

namespace qingtan::bench {

struct Isa {
  const char* name;
  void (*fill)(Kernels&);
};

inline std::vector<Isa> isas() {
  std::vector<Isa> found;
#if defined(__x86_64__)
  if (has_avx2()) {
    found.push_back({"avx2", fill_matmul_avx2});
  }
  if (has_avxvnni()) {
    found.push_back({"avxvnni", fill_matmul_avxvnni});
  }
  if (has_avx512()) {
    found.push_back({"avx512", fill_matmul_avx512});
  }
#else
  found.push_back({"neon", fill_matmul_neon});
#endif
  return found;
}

inline const char* format_name(Format format) {
  const char* names[] = {"f32", "bf16", "q8", "q4"};
  return names[static_cast<int>(format)];
}

}  // namespace qingtan::bench
