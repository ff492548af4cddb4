#include "scratch.h"

#include <algorithm>

#include "../kernels.h"

namespace qingtan {

// For any table: the portable kernel keeps the scores of one query.
size_t attention_scratch(int32_t rows, int32_t heads_per_group, int32_t context, int32_t head_dim) {
  return std::max(tiled_attention_scratch(rows, heads_per_group, head_dim),
                  static_cast<size_t>(std::max(context, 0)));
}

}  // namespace qingtan
