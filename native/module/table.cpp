// The tables of kernels, each kernel by its name.
#include "table.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "matrix.h"

namespace qingtan {
namespace {

// A class of our own, so that Python holds no pointer into the tables.
struct Table {
  const Kernels* kernels;
};

std::vector<Table> tables() {
  std::vector<Table> all;
  for (int i = 0; i < kernel_count(); i++) {
    all.push_back({&kernel_table(i)});
  }
  return all;
}

Table best() { return {&best_kernels()}; }

// Rows of activations and their quantized form, as far as it is given.
struct Quantized {
  std::optional<In> q;
  std::optional<In> scales;
  std::optional<In> sums;
};

void quantize(const Table& table, const In& x, const Out& q, const Out& scales, const Out& sums,
              int64_t begin, int64_t end) {
  require_array("x", x, Type::f32, {kAny, kAny});
  const int64_t rows = length(x, 0);
  const int64_t k = length(x, 1);
  require(k % kGroup == 0, "x", "k must be a multiple of 32");
  require_array("q", q, Type::i8, {rows, k});
  require_array("scales", scales, Type::f32, {rows, k / kGroup});
  require_array("sums", sums, Type::i32, {rows, k / kGroup});
  require_range(begin, end, rows);
  table.kernels->quantize(data_of<float>(x), k, begin, end, data_of<int8_t>(q),
                          data_of<float>(scales), data_of<int32_t>(sums));
}

Activations checked_activations(const Weights& weights, const In& x, const Quantized& given) {
  require_array("x", x, Type::f32, {kAny, weights.k});
  Activations input{length(x, 0), weights.k, data_of<float>(x), nullptr, nullptr, nullptr};
  if (weights.format == Format::f32 || weights.format == Format::bf16) {
    return input;
  }
  require(given.q && given.scales && given.sums, "q, scales, sums", "needed for q8 and q4");
  require_array("q", *given.q, Type::i8, {input.rows, weights.k});
  require_array("scales", *given.scales, Type::f32, {input.rows, weights.k / kGroup});
  require_array("sums", *given.sums, Type::i32, {input.rows, weights.k / kGroup});
  input.q = data_of<int8_t>(*given.q);
  input.scales = data_of<float>(*given.scales);
  input.sums = data_of<int32_t>(*given.sums);
  return input;
}

void matmul(const Table& table, const Matrix& matrix, const In& x, const Out& out, int64_t begin,
            int64_t end, const std::optional<In>& bias, const std::optional<In>& q,
            const std::optional<In>& scales, const std::optional<In>& sums) {
  const Weights& weights = matrix.weights();
  const Activations input = checked_activations(weights, x, {q, scales, sums});
  require_array("out", out, Type::f32, {input.rows, kAny});
  require(length(out, 1) >= weights.n, "out", "must have a column for each of the matrix's rows");
  if (bias) {
    require_array("bias", *bias, Type::f32, {weights.n});
  }
  require_range(begin, end, block_count(weights.n));
  table.kernels->matmul(weights, input, bias ? data_of<float>(*bias) : nullptr,
                        data_of<float>(out), length(out, 1), begin, end);
}

void embed(const Table& table, const Matrix& matrix, int64_t row, const Out& out) {
  require_between("row", row, 0, matrix.weights().n - 1);
  require_array("out", out, Type::f32, {matrix.weights().k});
  table.kernels->embed(matrix.weights(), row, data_of<float>(out));
}

void rms_norm(const Table& table, const In& x, const In& weight, float epsilon, const Out& out,
              int64_t begin, int64_t end) {
  require_array("x", x, Type::f32, {kAny, kAny});
  require_array("weight", weight, Type::f32, {length(x, 1)});
  require_array("out", out, Type::f32, {length(x, 0), length(x, 1)});
  require_range(begin, end, length(x, 0));
  table.kernels->rms_norm(data_of<float>(x), data_of<float>(weight), epsilon, length(x, 1), begin,
                          end, data_of<float>(out));
}

void add(const Table& table, const Out& x, const In& y) {
  require_array("x", x, Type::f32, {kAny});
  require_array("y", y, Type::f32, {length(x, 0)});
  table.kernels->add(data_of<float>(x), data_of<float>(y), length(x, 0));
}

void silu_mul(const Table& table, const In& gate_up, const Out& out, int64_t begin, int64_t end) {
  require_array("out", out, Type::f32, {kAny, kAny});
  require_array("gate_up", gate_up, Type::f32, {length(out, 0), 2 * length(out, 1)});
  require_range(begin, end, length(out, 0));
  table.kernels->silu_mul(data_of<float>(gate_up), length(out, 1), begin, end,
                          data_of<float>(out));
}

void rotate(const Table& table, const Out& x, const In& cosines, const In& sines) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  require_array("x", x, Type::f32, {kAny, kAny});
  require_array("cosines", cosines, Type::f32, {kAny});
  require_array("sines", sines, Type::f32, {length(cosines, 0)});
  require_between("x: heads", length(x, 0), 0, most);
  require_between("x: head_dim", length(x, 1), 0, most);
  require(2 * length(cosines, 0) <= length(x, 1), "cosines", "more pairs than the heads have");
  table.kernels->rotate(data_of<float>(x), static_cast<int32_t>(length(x, 0)),
                        static_cast<int32_t>(length(x, 1)),
                        static_cast<int32_t>(2 * length(cosines, 0)), data_of<float>(cosines),
                        data_of<float>(sines));
}

void store(const Table& table, const In& keys, const In& values, const Out& cache_keys,
           const Out& cache_values, const In& blocks, int32_t position,
           const std::optional<Out>& key_scales, const std::optional<Out>& value_scales) {
  require_between("position", position, 0, std::numeric_limits<int32_t>::max() - 1);
  const PagedCache cache = checked_cache({cache_keys, cache_values, key_scales, value_scales},
                                         blocks, int64_t{position} + 1);
  require_array("keys", keys, Type::f32, {cache.groups, cache.head_dim});
  require_array("values", values, Type::f32, {cache.groups, cache.head_dim});
  table.kernels->store(data_of<float>(keys), data_of<float>(values), cache,
                       data_of<int32_t>(blocks), position);
}

// Scratch memory, aligned as vectors like it.
class Scratch {
 public:
  explicit Scratch(size_t floats)
      : data_(static_cast<float*>(operator new(floats * sizeof(float), kAlignment))) {}
  ~Scratch() { operator delete(data_, kAlignment); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  float* data_;
};

// Queries and out, (rows of the step, heads · head_dim and more), hold this group's heads.
void require_heads(const char* name, int64_t columns, int64_t offset, int64_t heads,
                   int32_t head_dim) {
  require(offset + heads * head_dim <= columns, name, "has no room for the group's heads");
}

void attention(const Table& table, const In& queries, int32_t q_offset, int32_t heads_per_group,
               const Out& cache_keys, const Out& cache_values, int32_t group, int32_t first,
               int32_t rows, int32_t start, const In& blocks, float scale, const Out& out,
               int32_t begin, int32_t end, const std::optional<Out>& key_scales,
               const std::optional<Out>& value_scales) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  require_array("queries", queries, Type::f32, {kAny, kAny});
  require_array("out", out, Type::f32, {length(queries, 0), kAny});
  require_between("rows", rows, 0, most);
  require_between("start", start, 0, most - rows);
  require_between("first", first, 0, length(queries, 0) - rows);
  const PagedCache cache = checked_cache({cache_keys, cache_values, key_scales, value_scales},
                                         blocks, int64_t{start} + rows);
  require_between("group", group, 0, cache.groups - 1);
  require_between("heads_per_group", heads_per_group, 1, most);
  require_between("q_offset", q_offset, 0, most);
  require_heads("queries", length(queries, 1), q_offset, heads_per_group, cache.head_dim);
  require_heads("out", length(out, 1), q_offset, heads_per_group, cache.head_dim);
  require_range(begin, end, rows);
  const Scratch scratch(
      attention_scratch(end - begin, heads_per_group, start + rows, cache.head_dim));
  const Sequence sequence{first, rows, start, data_of<int32_t>(blocks)};
  table.kernels->attention(data_of<float>(queries), length(queries, 1), q_offset, heads_per_group,
                           cache, group, sequence, begin, end, scale, scratch.data(),
                           data_of<float>(out), length(out, 1));
}

}  // namespace

void bind_tables(nb::module_& module) {
  const nb::call_guard<nb::gil_scoped_release> unlocked;
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  nb::class_<Table>(module, "Kernels")
      .def_prop_ro("name", [](const Table& table) { return table.kernels->name; })
      .def("quantize", quantize, array("x"), array("q"), array("scales"), array("sums"),
           nb::arg("begin"), nb::arg("end"), unlocked)
      .def("matmul", matmul, nb::arg("matrix"), array("x"), array("out"), nb::arg("begin"),
           nb::arg("end"), array("bias").none() = nb::none(), array("q").none() = nb::none(),
           array("scales").none() = nb::none(), array("sums").none() = nb::none(), unlocked)
      .def("embed", embed, nb::arg("matrix"), nb::arg("row"), array("out"), unlocked)
      .def("rms_norm", rms_norm, array("x"), array("weight"), nb::arg("epsilon"), array("out"),
           nb::arg("begin"), nb::arg("end"), unlocked)
      .def("add", add, array("x"), array("y"), unlocked)
      .def("silu_mul", silu_mul, array("gate_up"), array("out"), nb::arg("begin"), nb::arg("end"),
           unlocked)
      .def("rotate", rotate, array("x"), array("cosines"), array("sines"), unlocked)
      .def("store", store, array("keys"), array("values"), array("cache_keys"),
           array("cache_values"), array("table"), nb::arg("position"),
           array("cache_key_scales").none() = nb::none(),
           array("cache_value_scales").none() = nb::none(), unlocked)
      .def("attention", attention, array("queries"), nb::arg("q_offset"),
           nb::arg("heads_per_group"), array("cache_keys"), array("cache_values"),
           nb::arg("group"), nb::arg("first"), nb::arg("rows"), nb::arg("start"), array("table"),
           nb::arg("scale"), array("out"), nb::arg("begin"), nb::arg("end"),
           array("cache_key_scales").none() = nb::none(),
           array("cache_value_scales").none() = nb::none(), unlocked);
  module.def("tables", tables);
  module.def("best", best);
}

}  // namespace qingtan
