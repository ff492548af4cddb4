#include "../loops_body.h"

namespace qingtan {

const Loops kAvx512Loops = kLoops;

}  // namespace qingtan
