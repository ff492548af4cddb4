// Which tables this build has and which of them this processor can run.
#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "processor.h"
#include "tables.h"

// The build defines QINGTAN_<SET>_MATMUL and QINGTAN_<SET>_REST for the halves that it compiles.

namespace qingtan {
namespace {

// What a set does not have it takes from the one before it, and first of all from the portable one.
Kernels portable() {
  Kernels kernels{};
  kernels.name = "portable";
  fill_matmul_portable(kernels);
  fill_rest_portable(kernels);
  return kernels;
}

#if defined(QINGTAN_AVX2_MATMUL) || defined(QINGTAN_AVX2_REST)
#define QINGTAN_AVX2
Kernels avx2() {
  Kernels kernels = portable();
  kernels.name = "avx2";
#ifdef QINGTAN_AVX2_MATMUL
  fill_matmul_avx2(kernels);
#endif
#ifdef QINGTAN_AVX2_REST
  fill_rest_avx2(kernels);
#endif
  return kernels;
}
#endif

#if defined(QINGTAN_AVX2) && defined(QINGTAN_AVXVNNI_MATMUL)
#define QINGTAN_AVXVNNI
Kernels avxvnni() {
  Kernels kernels = avx2();
  kernels.name = "avxvnni";
  fill_matmul_avxvnni(kernels);
  return kernels;
}
#endif

#if defined(QINGTAN_AVX512_MATMUL) || defined(QINGTAN_AVX512_REST)
#define QINGTAN_AVX512
Kernels avx512() {
#ifdef QINGTAN_AVX2
  Kernels kernels = avx2();
#else
  Kernels kernels = portable();
#endif
  kernels.name = "avx512";
#ifdef QINGTAN_AVX512_MATMUL
  fill_matmul_avx512(kernels);
#endif
#ifdef QINGTAN_AVX512_REST
  fill_rest_avx512(kernels);
#endif
  return kernels;
}
#endif

#if defined(QINGTAN_NEON_MATMUL) || defined(QINGTAN_NEON_REST)
#define QINGTAN_NEON
Kernels neon() {
  Kernels kernels = portable();
  kernels.name = "neon";
#ifdef QINGTAN_NEON_MATMUL
  fill_matmul_neon(kernels);
#endif
#ifdef QINGTAN_NEON_REST
  fill_rest_neon(kernels);
#endif
  return kernels;
}
#endif

std::vector<Kernels> runnable() {
  std::vector<Kernels> tables;
#ifdef QINGTAN_AVX512
  if (has_avx512()) {
    tables.push_back(avx512());
  }
#endif
#ifdef QINGTAN_AVXVNNI
  if (has_avxvnni()) {
    tables.push_back(avxvnni());
  }
#endif
#ifdef QINGTAN_AVX2
  if (has_avx2()) {
    tables.push_back(avx2());
  }
#endif
#ifdef QINGTAN_NEON
  if (has_neon_dotprod()) {
    tables.push_back(neon());
  }
#endif
  tables.push_back(portable());
  return tables;
}

const std::vector<Kernels>& tables() {
  static const std::vector<Kernels> all = runnable();
  return all;
}

std::string names() {
  std::string text;
  for (const Kernels& table : tables()) {
    text += text.empty() ? "" : ", ";
    text += table.name;
  }
  return text;
}

}  // namespace

int kernel_count() { return static_cast<int>(tables().size()); }

const Kernels& kernel_table(int index) { return tables().at(static_cast<size_t>(index)); }

const Kernels& best_kernels() {
  const char* wanted = std::getenv("QINGTAN_ISA");
  if (wanted == nullptr || *wanted == '\0') {
    return tables().front();
  }
  const auto is_wanted = [&](const Kernels& table) { return wanted == std::string(table.name); };
  const auto found = std::find_if(tables().begin(), tables().end(), is_wanted);
  if (found == tables().end()) {
    throw std::invalid_argument("QINGTAN_ISA=" + std::string(wanted) +
                                ": this processor and build have " + names());
  }
  return *found;
}

}  // namespace qingtan
