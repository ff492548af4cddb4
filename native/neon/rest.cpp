// All kernels but the matrices' for Arm: the templates of native/rest with its vectors.
#include "rest_vector.h"

#include "../rest/attention.h"
#include "../rest/simple.h"
#include "../tables.h"

namespace qingtan {

void fill_rest_neon(Kernels& kernels) {
  kernels.rms_norm = rms_norm<Neon>;
  kernels.add = add<Neon>;
  kernels.silu_mul = silu_mul<Neon>;
  kernels.rotate = rotate<Neon>;
  kernels.store = store<Neon>;
  kernels.attention = attention<Neon>;
}

}  // namespace qingtan
