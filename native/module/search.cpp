#include "search.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <utility>
#include <vector>

#include "checks.h"
#include "search/bm25.h"

namespace qingtan {
namespace {

using Lists = std::vector<std::tuple<int64_t, int64_t, double>>;
using Places = std::vector<std::pair<int32_t, double>>;

std::vector<PostingList> checked(const Lists& lists, int64_t entries) {
  std::vector<PostingList> good;
  for (const auto& [begin, end, idf] : lists) {
    require_range(begin, end, entries);
    good.push_back({begin, end, idf});
  }
  return good;
}

template <class Times>
Places best(const In& places, const In& times, const In& norms,
            const std::vector<PostingList>& lists, double k1, int64_t limit) {
  const Postings<Times> postings{data_of<int32_t>(places), data_of<Times>(times),
                                 data_of<double>(norms), length(norms, 0)};
  Places found;
  for (const auto& [place, score] : best_by_bm25(postings, lists, k1, limit)) {
    found.emplace_back(place, score);
  }
  return found;
}

Places best_of_lists(const In& places, const In& times, const In& norms, const Lists& lists,
                     double k1, int64_t limit) {
  const auto of_type = [&](Type type) {
    const bool has = checks::has_type(times.dtype(), type);
    if (has) {
      require_array("times", times, type, {length(places, 0)});
    }
    return has;
  };
  require_array("places", places, Type::i32, {kAny});
  require_array("norms", norms, Type::f64, {kAny});
  require_between("limit", limit, 1, INT32_MAX);
  const std::vector<PostingList> good = checked(lists, length(places, 0));
  if (of_type(Type::u8)) {
    return best<uint8_t>(places, times, norms, good, k1, limit);
  }
  if (of_type(Type::u16)) {
    return best<uint16_t>(places, times, norms, good, k1, limit);
  }
  require(of_type(Type::u32), "times", "must be uint8, uint16 or uint32");
  return best<uint32_t>(places, times, norms, good, k1, limit);
}

}  // namespace

void bind_search(nb::module_& module) {
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  module.def("best_by_bm25", best_of_lists, array("places"), array("times"), array("norms"),
             nb::arg("lists"), nb::arg("k1"), nb::arg("limit"),
             nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace qingtan
