// What comes from Python is checked here, before any kernel sees it: kernels trust what they get.
// Everything throws std::invalid_argument (ValueError in Python), naming the argument.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

#include "kernels.h"

namespace qingtan {

namespace nb = nanobind;

using In = nb::ndarray<nb::ro, nb::device::cpu>;
using Out = nb::ndarray<nb::device::cpu>;

enum class Type { f64, f32, f16, u32, u16, u8, i8, i32 };

constexpr int64_t kAny = -1;  // a length that the shape leaves open

// Throws std::invalid_argument("name: what") unless `good`.
void require(bool good, const char* name, const std::string& what);

// 0 ≤ begin ≤ end ≤ limit.
void require_range(int64_t begin, int64_t end, int64_t limit);

// from ≤ value ≤ to.
void require_between(const char* name, int64_t value, int64_t from, int64_t to);

Format format_of(const std::string& name);
const char* name_of(Format format);

namespace checks {
bool has_type(nb::dlpack::dtype dtype, Type type);
std::string type_name(Type type);
std::string shape_text(const int64_t* lengths, size_t count);
}  // namespace checks

// An array in C order, of this type and shape.
template <class Array>
void require_array(const char* name, const Array& array, Type type,
                   std::initializer_list<int64_t> shape) {
  require(checks::has_type(array.dtype(), type), name, "must be " + checks::type_name(type));
  bool fits = array.ndim() == shape.size();
  const int64_t* wanted = shape.begin();
  for (size_t i = 0; fits && i < shape.size(); i++) {
    fits = wanted[i] == kAny || static_cast<int64_t>(array.shape(i)) == wanted[i];
  }
  require(fits, name,
          "must have the shape " + checks::shape_text(wanted, shape.size()) + ", not " +
              checks::shape_text(array.shape_ptr(), array.ndim()));
  if (array.size() == 0) {
    return;  // whose steps say nothing
  }
  int64_t step = 1;
  for (size_t i = array.ndim(); i-- > 0;) {
    const int64_t length = static_cast<int64_t>(array.shape(i));
    require(length <= 1 || array.stride(i) == step, name, "must be contiguous, in C order");
    step *= length;
  }
}

template <class T>
const T* data_of(const In& array) {
  return static_cast<const T*>(array.data());
}

template <class T>
T* data_of(const Out& array) {
  return static_cast<T*>(array.data());
}

// Length of dimension i.
template <class Array>
int64_t length(const Array& array, size_t i) {
  return static_cast<int64_t>(array.shape(i));
}

// A cache's keys and values (blocks, groups, block_tokens, head_dim), float16, or int8 with their
// scales (blocks, groups, block_tokens).
struct CacheArrays {
  const Out& keys;
  const Out& values;
  const std::optional<Out>& key_scales;
  const std::optional<Out>& value_scales;
};

// The cache, and that every position below `positions` has a block of it in the table.
PagedCache checked_cache(const CacheArrays& arrays, const In& table, int64_t positions);

}  // namespace qingtan
