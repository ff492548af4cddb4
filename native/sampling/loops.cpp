// The passes for any processor, and which ones this processor takes.
#include "loops.h"

#include <string_view>

#include "../kernels.h"
#include "loops_body.h"

namespace qingtan {

const Loops kPortableLoops = kLoops;

// The build defines QINGTAN_<SET>_REST for the sets that it compiles.
const Loops& best_loops() {
  [[maybe_unused]] const std::string_view set = best_kernels().name;
#ifdef QINGTAN_AVX512_REST
  if (set == "avx512") {
    return kAvx512Loops;
  }
#endif
#ifdef QINGTAN_AVX2_REST
  if (set == "avx2") {
    return kAvx2Loops;
  }
#endif
  return kPortableLoops;
}

}  // namespace qingtan
