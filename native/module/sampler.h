#pragma once

#include <nanobind/nanobind.h>

namespace qingtan {

void bind_sampler(nanobind::module_& module);

}  // namespace qingtan
