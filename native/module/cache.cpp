#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "model.h"

namespace qingtan {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

using Floats = nb::ndarray<nb::numpy, float, nb::ndim<3>>;

CacheShape checked_shape(int64_t layers, int64_t groups, int64_t head_dim, int64_t blocks,
                         int64_t block_tokens, const std::string& number) {
  require(number == "f16" || number == "q8", "number", "must be f16 or q8, not " + number);
  require_between("layers", layers, 1, kMost);
  require_between("groups", groups, 1, kMost);
  require_between("head_dim", head_dim, 4, kMost);
  require(head_dim % 4 == 0, "head_dim", "must be a multiple of 4");
  require_between("block_tokens", block_tokens, 1, kMost);
  require((block_tokens & (block_tokens - 1)) == 0, "block_tokens", "must be a power of two");
  // Blocks of single groups are numbered too.
  require_between("blocks", blocks, 1, kMost / groups);
  const CacheShape shape{static_cast<int32_t>(layers), static_cast<int32_t>(groups),
                         static_cast<int32_t>(head_dim), static_cast<int32_t>(blocks),
                         static_cast<int32_t>(block_tokens),
                         number == "q8" ? CacheNumber::q8 : CacheNumber::f16};
  require(Cache::block_bytes(shape) > 0, "layers, groups, head_dim, block_tokens",
          "a block of so many numbers is too large");
  return shape;
}

void make(Cache* place, int64_t layers, int64_t groups, int64_t head_dim, int64_t blocks,
          int64_t block_tokens, const std::string& number) {
  new (place) Cache(checked_shape(layers, groups, head_dim, blocks, block_tokens, number));
}

int64_t bytes_of_block(int64_t layers, int64_t groups, int64_t head_dim, int64_t block_tokens,
                       const std::string& number) {
  return Cache::block_bytes(checked_shape(layers, groups, head_dim, 1, block_tokens, number));
}

void copy(Cache& cache, int64_t source, int64_t target) {
  require_between("source", source, 0, cache.shape().blocks - 1);
  require_between("target", target, 0, cache.shape().blocks - 1);
  cache.copy(static_cast<int32_t>(source), static_cast<int32_t>(target));
}

void require_place(const Cache& cache, int64_t layer, int64_t tokens, const In& table) {
  require_between("layer", layer, 0, cache.shape().layers - 1);
  require_between("tokens", tokens, 0, kMost);
  require_array("table", table, Type::i32, {kAny});
  require_blocks("table", data_of<int32_t>(table), length(table, 0), tokens, cache);
}

void write(Cache& cache, int64_t layer, const In& keys, const In& values, const In& table) {
  const CacheShape& shape = cache.shape();
  require_array("keys", keys, Type::f32, {shape.groups, kAny, shape.head_dim});
  const int64_t tokens = length(keys, 1);
  require_array("values", values, Type::f32, {shape.groups, tokens, shape.head_dim});
  require_place(cache, layer, tokens, table);
  cache.write(static_cast<int32_t>(layer), data_of<float>(keys), data_of<float>(values), tokens,
              data_of<int32_t>(table));
}

Floats array_of(std::unique_ptr<float[]> numbers, const CacheShape& shape, int64_t tokens) {
  float* data = numbers.get();
  nb::capsule owner(data, [](void* memory) noexcept { delete[] static_cast<float*>(memory); });
  numbers.release();
  return Floats(data,
                {static_cast<size_t>(shape.groups), static_cast<size_t>(tokens),
                 static_cast<size_t>(shape.head_dim)},
                owner);
}

std::pair<Floats, Floats> read(const Cache& cache, int64_t layer, int64_t tokens,
                               const In& table) {
  require_place(cache, layer, tokens, table);
  const CacheShape& shape = cache.shape();
  const auto count = static_cast<size_t>(shape.groups * tokens * shape.head_dim);
  auto keys = std::make_unique<float[]>(count);
  auto values = std::make_unique<float[]>(count);
  cache.read(static_cast<int32_t>(layer), keys.get(), values.get(), tokens,
             data_of<int32_t>(table));
  return {array_of(std::move(keys), shape, tokens), array_of(std::move(values), shape, tokens)};
}

}  // namespace

void bind_cache(nb::module_& module) {
  const nb::call_guard<nb::gil_scoped_release> unlocked;
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  nb::class_<Cache>(module, "Cache")
      .def("__init__", make, nb::arg("layers"), nb::arg("groups"), nb::arg("head_dim"),
           nb::arg("blocks"), nb::arg("block_tokens") = 16, nb::arg("number") = "f16")
      .def_prop_ro("bytes", &Cache::bytes)
      .def_prop_ro("blocks", [](const Cache& cache) { return cache.shape().blocks; })
      .def_prop_ro("block_tokens", [](const Cache& cache) { return cache.shape().block_tokens; })
      .def_static("block_bytes", bytes_of_block, nb::arg("layers"), nb::arg("groups"),
                  nb::arg("head_dim"), nb::arg("block_tokens") = 16, nb::arg("number") = "f16")
      .def("copy", copy, nb::arg("source"), nb::arg("target"), unlocked)
      .def("write", write, nb::arg("layer"), array("keys"), array("values"), array("table"),
           unlocked)
      .def("read", read, nb::arg("layer"), nb::arg("tokens"), array("table"));
}

}  // namespace qingtan
