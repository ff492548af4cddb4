#include "../loops_body.h"

namespace qingtan {

const Loops kAvx2Loops = kLoops;

}  // namespace qingtan
