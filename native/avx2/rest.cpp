// All kernels but the matrices' for AVX2: the templates of native/rest with its vectors.
#include "rest_vector.h"

#include "../rest/attention.h"
#include "../rest/simple.h"
#include "../tables.h"

namespace qingtan {

void fill_rest_avx2(Kernels& kernels) {
  kernels.rms_norm = rms_norm<Avx2>;
  kernels.add = add<Avx2>;
  kernels.silu_mul = silu_mul<Avx2>;
  kernels.rotate = rotate<Avx2>;
  kernels.store = store<Avx2>;
  kernels.attention = attention<Avx2>;
}

}  // namespace qingtan
