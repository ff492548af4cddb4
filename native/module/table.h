#pragma once

#include <nanobind/nanobind.h>

namespace qingtan {

void bind_tables(nanobind::module_& module);

}  // namespace qingtan
