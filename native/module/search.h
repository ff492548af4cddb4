#pragma once

#include <nanobind/nanobind.h>

namespace qingtan {

void bind_search(nanobind::module_& module);

}  // namespace qingtan
