// All kernels but the matrices' for AVX-512: the templates of native/rest with its vectors.
#include "rest_vector.h"

#include "../rest/attention.h"
#include "../rest/simple.h"
#include "../tables.h"

namespace qingtan {

void fill_rest_avx512(Kernels& kernels) {
  kernels.rms_norm = rms_norm<Avx512>;
  kernels.add = add<Avx512>;
  kernels.silu_mul = silu_mul<Avx512>;
  kernels.rotate = rotate<Avx512>;
  kernels.store = store<Avx512>;
  kernels.attention = attention<Avx512>;
}

}  // namespace qingtan
