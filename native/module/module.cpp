// The Python module qingtan.native._native.
#include <nanobind/nanobind.h>

#include "matrix.h"
#include "model.h"
#include "pool.h"
#include "sampler.h"
#include "search.h"
#include "table.h"

namespace qingtan {
namespace {

// Python functions take turns, each needs the interpreter; what they call need not.
void run(Pool& pool, int64_t parts, const nb::callable& function) {
  require_between("parts", parts, 0, INT64_MAX / 2);
  const nb::gil_scoped_release release;
  pool.run(parts, [&](int64_t part, int thread) {
    const nb::gil_scoped_acquire acquire;
    function(part, thread);
  });
}

void make_pool(Pool* place, int threads, int spin_microseconds, bool pin) {
  new (place) Pool({threads, spin_microseconds, pin});
}

void bind_pool(nb::module_& module) {
  const Pool::Options options;
  nb::class_<Pool>(module, "Pool")
      .def("__init__", make_pool, nb::arg("threads"),
           nb::arg("spin_microseconds") = options.spin_microseconds,
           nb::arg("pin") = options.pin)
      .def_prop_ro("threads", &Pool::threads)
      .def("run", run, nb::arg("parts"), nb::arg("function"));
  module.def("usable_processors", usable_processors);
}

}  // namespace
}  // namespace qingtan

NB_MODULE(_native, module) {
  // A model that is still there when Python ends, in a variable of a script, is no leak.
  nanobind::set_leak_warnings(false);
  qingtan::bind_pool(module);
  qingtan::bind_matrix(module);
  qingtan::bind_tables(module);
  qingtan::bind_cache(module);
  qingtan::bind_model(module);
  qingtan::bind_sampler(module);
  qingtan::bind_search(module);
}
