#include "matrix.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <nanobind/stl/string.h>

#include <cstdint>
#include <limits>
#include <string>

namespace qingtan {
namespace {

std::string columns_text(int64_t k) {
  return "must be a whole number of pairs (bf16) or of groups of 32 (q8, q4), not " +
         std::to_string(k);
}

Rows checked_rows(const In& rows, Format format) {
  Number number = Number::f32;
  Type type = Type::f32;
  const nb::dlpack::dtype given = rows.dtype();
  if (checks::has_type(given, Type::f16)) {
    number = Number::f16;
    type = Type::f16;
  } else if (checks::has_type(given, Type::u16)) {
    number = Number::bf16;
    type = Type::u16;
  }
  require(checks::has_type(given, type), "rows", "must be float32, float16, or bf16 as uint16");
  require_array("rows", rows, type, {kAny, kAny});
  const int64_t n = length(rows, 0);
  const int64_t k = length(rows, 1);
  require(n > 0, "rows", "must not be empty");
  require(columns_fit(format, k), "rows", "k " + columns_text(k));
  return {number, rows.data(), n, k, k};
}

// Packed bytes of a matrix (n, k), in int64 even where n and k are nonsense.
int64_t checked_bytes(Format format, int64_t n, int64_t k) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  require_between("n", n, 1, most);
  require_between("k", k, 1, most);
  require(columns_fit(format, k), "k", columns_text(k));
  return static_cast<int64_t>(packed_bytes(format, n, k));
}

using Bytes = nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>>;
using Floats = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

Bytes bytes_of(const Matrix& matrix) {
  return Bytes(matrix.weights().data, {matrix.bytes()}, nb::find(matrix));
}

void unpack_into(const Matrix& matrix, const Out& out, Pool& pool) {
  require_array("out", out, Type::f32, {matrix.weights().n, matrix.weights().k});
  unpack(matrix.weights(), data_of<float>(out), pool);
}

}  // namespace

// Large matrices lie on large pages where the system has them: fewer addresses to look up make
// steps of several sequences 5% faster.
Matrix::Memory Matrix::allocate(size_t bytes) {
  constexpr size_t large_page = size_t{2} << 20;
  const auto alignment = bytes < large_page ? kAlignment : std::align_val_t{large_page};
  Memory memory(new (alignment) uint8_t[bytes], Free{alignment});
#if defined(__linux__)
  madvise(memory.get(), bytes / large_page * large_page, MADV_HUGEPAGE);  // a wish, no more
#endif
  return memory;
}

Matrix::Matrix(Format format, int64_t n, int64_t k)
    : data_(allocate(packed_bytes(format, n, k))),
      weights_{format, n, k, data_.get()} {}

Matrix::Matrix(const In& rows, const std::string& format, Pool& pool) : weights_{} {
  const Format packed = format_of(format);
  const Rows source = checked_rows(rows, packed);
  *this = Matrix(packed, source.n, source.k);
  pack(packed, source, data_.get(), pool);
}

Matrix Matrix::from_levels(const In& levels, const In& scales, const std::string& format,
                           Pool& pool) {
  const Format packed = format_of(format);
  require(packed == Format::q8 || packed == Format::q4, "format", "must be q8 or q4");
  require_array("levels", levels, Type::i8, {kAny, kAny});
  const int64_t n = length(levels, 0);
  const int64_t k = length(levels, 1);
  require(n > 0, "levels", "must not be empty");
  require(columns_fit(packed, k), "levels", "k " + columns_text(k));
  require_array("scales", scales, Type::f16, {n, k / kGroup});
  Matrix matrix(packed, n, k);
  pack_rounded(packed, {data_of<int8_t>(levels), data_of<uint16_t>(scales), n, k},
               matrix.data_.get(), pool);
  return matrix;
}

// What the bytes mean is not checked: any of them are some finite level, and a scale that is not
// finite gives results that are not, no more. To look at them all would read a whole file that is
// only mapped.
Matrix Matrix::from_packed(const In& data, const std::string& format, int64_t n, int64_t k) {
  const Format packed = format_of(format);
  const int64_t bytes = checked_bytes(packed, n, k);
  require_array("data", data, Type::u8, {bytes});
  const uint8_t* start = data_of<uint8_t>(data);
  require(reinterpret_cast<uintptr_t>(start) % static_cast<size_t>(kAlignment) == 0, "data",
          "must begin at a multiple of 64 bytes");
  return Matrix(data, {packed, n, k, start});
}

void bind_matrix(nb::module_& module) {
  nb::class_<Matrix>(module, "Matrix")
      .def(nb::init<const In&, const std::string&, Pool&>(), nb::arg("rows").noconvert(),
           nb::arg("format"), nb::arg("pool"), nb::call_guard<nb::gil_scoped_release>())
      .def_static("from_levels", &Matrix::from_levels, nb::arg("levels").noconvert(),
                  nb::arg("scales").noconvert(), nb::arg("format"), nb::arg("pool"),
                  nb::call_guard<nb::gil_scoped_release>())
      .def_static("from_packed", &Matrix::from_packed, nb::arg("data").noconvert(),
                  nb::arg("format"), nb::arg("n"), nb::arg("k"))
      .def_static(
          "packed_bytes",
          [](const std::string& format, int64_t n, int64_t k) {
            return checked_bytes(format_of(format), n, k);
          },
          nb::arg("format"), nb::arg("n"), nb::arg("k"))
      .def_prop_ro("format", [](const Matrix& m) { return name_of(m.weights().format); })
      .def_prop_ro("shape",
                   [](const Matrix& m) { return nb::make_tuple(m.weights().n, m.weights().k); })
      .def_prop_ro("data", bytes_of)
      .def("unpack", unpack_into, nb::arg("out").noconvert(), nb::arg("pool"),
           nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace qingtan
