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

template <class Code>
Places best(const In& places, const In& codes, const In& weights,
            const std::vector<PostingList>& lists, int64_t limit) {
  const Postings<Code> postings{
      data_of<int32_t>(places), data_of<Code>(codes),
      {data_of<double>(weights), static_cast<size_t>(length(weights, 0))}};
  Places found;
  for (const auto& [place, score] : best_by_bm25(postings, lists, limit)) {
    found.emplace_back(place, score);
  }
  return found;
}

Places best_of_lists(const In& places, const In& codes, const In& weights, const Lists& lists,
                     int64_t limit) {
  const auto of_type = [&](Type type) {
    const bool has = checks::has_type(codes.dtype(), type);
    if (has) {
      require_array("codes", codes, type, {length(places, 0)});
    }
    return has;
  };
  require_array("places", places, Type::i32, {kAny});
  require_array("weights", weights, Type::f64, {kAny});
  require_between("limit", limit, 1, INT32_MAX);
  const std::vector<PostingList> good = checked(lists, length(places, 0));
  if (of_type(Type::u8)) {
    return best<uint8_t>(places, codes, weights, good, limit);
  }
  if (of_type(Type::u16)) {
    return best<uint16_t>(places, codes, weights, good, limit);
  }
  require(of_type(Type::u32), "codes", "must be uint8, uint16 or uint32");
  return best<uint32_t>(places, codes, weights, good, limit);
}

}  // namespace

void bind_search(nb::module_& module) {
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  module.def("best_by_bm25", best_of_lists, array("places"), array("codes"),
             array("weights"), nb::arg("lists"), nb::arg("limit"),
             nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace qingtan
