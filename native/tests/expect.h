// A test that ends at the first thing that is wrong.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace qingtan::testing {

inline void expect(bool good, const char* what) {
  if (!good) {
    std::fprintf(stderr, "failed: %s\n", what);
    std::exit(1);
  }
}

}  // namespace qingtan::testing
