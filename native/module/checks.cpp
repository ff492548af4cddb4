#include "checks.h"

#include <array>
#include <limits>
#include <stdexcept>

namespace qingtan {
namespace {

constexpr std::array<const char*, 4> kFormats = {"f32", "bf16", "q8", "q4"};

}  // namespace

namespace checks {

bool has_type(nb::dlpack::dtype dtype, Type type) {
  const auto is = [&](nb::dlpack::dtype_code code, uint8_t bits) {
    return dtype.code == static_cast<uint8_t>(code) && dtype.bits == bits && dtype.lanes == 1;
  };
  switch (type) {
    case Type::f64:
      return is(nb::dlpack::dtype_code::Float, 64);
    case Type::f32:
      return is(nb::dlpack::dtype_code::Float, 32);
    case Type::f16:
      return is(nb::dlpack::dtype_code::Float, 16);
    case Type::u32:
      return is(nb::dlpack::dtype_code::UInt, 32);
    case Type::u16:
      return is(nb::dlpack::dtype_code::UInt, 16);
    case Type::u8:
      return is(nb::dlpack::dtype_code::UInt, 8);
    case Type::i8:
      return is(nb::dlpack::dtype_code::Int, 8);
    case Type::i32:
      return is(nb::dlpack::dtype_code::Int, 32);
  }
  return false;
}

std::string type_name(Type type) {
  switch (type) {
    case Type::f64:
      return "float64";
    case Type::f32:
      return "float32";
    case Type::f16:
      return "float16";
    case Type::u32:
      return "uint32";
    case Type::u16:
      return "uint16";
    case Type::u8:
      return "uint8";
    case Type::i8:
      return "int8";
    case Type::i32:
      return "int32";
  }
  return "";
}

std::string shape_text(const int64_t* lengths, size_t count) {
  std::string text = "(";
  for (size_t i = 0; i < count; i++) {
    text += i == 0 ? "" : ", ";
    text += lengths[i] == kAny ? "any" : std::to_string(lengths[i]);
  }
  return text + ")";
}

}  // namespace checks

void require(bool good, const char* name, const std::string& what) {
  if (!good) {
    throw std::invalid_argument(std::string(name) + ": " + what);
  }
}

void require_between(const char* name, int64_t value, int64_t from, int64_t to) {
  require(from <= value && value <= to, name,
          "must lie from " + std::to_string(from) + " to " + std::to_string(to) + ", not at " +
              std::to_string(value));
}

void require_range(int64_t begin, int64_t end, int64_t limit) {
  require_between("end", end, 0, limit);
  require_between("begin", begin, 0, end);
}

Format format_of(const std::string& name) {
  for (size_t i = 0; i < kFormats.size(); i++) {
    if (name == kFormats[i]) {
      return static_cast<Format>(i);
    }
  }
  throw std::invalid_argument("format: must be f32, bf16, q8 or q4, not " + name);
}

namespace {

// Every position has one of the cache's blocks in the table.
void require_table(const In& table, int64_t positions, int64_t block_tokens, int64_t blocks) {
  require_array("table", table, Type::i32, {kAny});
  require_between("positions", positions, 0, std::numeric_limits<int32_t>::max());
  const int64_t needed = (positions + block_tokens - 1) / block_tokens;
  require(needed <= length(table, 0), "table", "must name a block for every position");
  for (int64_t i = 0; i < needed; i++) {
    require_between("table: block", data_of<int32_t>(table)[i], 0, blocks - 1);
  }
}

// Scales of int8 keys (or values); null for float16, which has none.
float* checked_scales(const char* name, const std::optional<Out>& scales, const Out& keys) {
  const bool q8 = checks::has_type(keys.dtype(), Type::i8);
  require(scales.has_value() == q8, name, q8 ? "needed for int8" : "only for int8");
  if (!q8) {
    return nullptr;
  }
  require_array(name, *scales, Type::f32, {length(keys, 0), length(keys, 1), length(keys, 2)});
  return data_of<float>(*scales);
}

}  // namespace

const char* name_of(Format format) { return kFormats[static_cast<size_t>(format)]; }

PagedCache checked_cache(const CacheArrays& arrays, const In& table, int64_t positions) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  const Out& keys = arrays.keys;
  const bool q8 = checks::has_type(keys.dtype(), Type::i8);
  require(q8 || checks::has_type(keys.dtype(), Type::f16), "cache_keys",
          "must be float16 or int8");
  const Type type = q8 ? Type::i8 : Type::f16;
  require_array("cache_keys", keys, type, {kAny, kAny, kAny, kAny});
  const int64_t blocks = length(keys, 0);
  const int64_t groups = length(keys, 1);
  const int64_t tokens = length(keys, 2);
  const int64_t head_dim = length(keys, 3);
  require_array("cache_values", arrays.values, type, {blocks, groups, tokens, head_dim});
  require_between("cache_keys: groups", groups, 1, most);
  require_between("cache_keys: tokens of a block", tokens, 1, most);
  require((tokens & (tokens - 1)) == 0, "cache_keys", "tokens of a block must be a power of two");
  require_between("cache_keys: head_dim", head_dim, 4, most);
  require(head_dim % 4 == 0, "cache_keys", "head_dim must be a multiple of 4");
  require_table(table, positions, tokens, blocks);
  return {q8 ? CacheNumber::q8 : CacheNumber::f16,
          keys.data(),
          arrays.values.data(),
          checked_scales("cache_key_scales", arrays.key_scales, keys),
          checked_scales("cache_value_scales", arrays.value_scales, keys),
          static_cast<int32_t>(tokens),
          static_cast<int32_t>(groups),
          static_cast<int32_t>(head_dim)};
}

}  // namespace qingtan
