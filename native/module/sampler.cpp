#include "sampler.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "checks.h"
#include "sampling/logprobs.h"
#include "sampling/row.h"
#include "sampling/sampler.h"

namespace qingtan {
namespace {

constexpr int64_t kWordBits = 32;

std::vector<Bias> biases_of(const In& ids, const In& values) {
  require_array("bias_ids", ids, Type::i32, {kAny});
  require_array("bias", values, Type::f32, {length(ids, 0)});
  std::vector<Bias> biases;
  for (int64_t i = 0; i < length(ids, 0); i++) {
    biases.push_back({data_of<int32_t>(ids)[i], data_of<float>(values)[i]});
  }
  return biases;
}

void make_sampler(Sampler* place, int32_t vocab, double temperature, double top_p, int64_t top_k,
                  double min_p, double repetition, double presence, double frequency,
                  int64_t no_repeat_ngram, uint64_t seed, const In& bias_ids, const In& bias, const In& prompt) {
  require_array("prompt", prompt, Type::i32, {kAny});
  const SamplerOptions options{vocab,
                               {temperature, top_k, top_p, min_p},
                               {repetition, presence, frequency, no_repeat_ngram},
                               biases_of(bias_ids, bias),
                               seed};
  new (place) Sampler(options, {data_of<int32_t>(prompt), prompt.size()});
}

// What the rows of all samplers lie in.
struct Step {
  const In& logits;
  const In& drafts;
  const std::optional<In>& masks;

  void check(int64_t samplers) const {
    require_array("logits", logits, Type::f32, {kAny, kAny});
    const int64_t rows = length(logits, 0);
    require(rows >= samplers, "logits", "must have a row for every sampler");
    require_array("drafts", drafts, Type::i32, {rows - samplers});
    if (masks) {
      require_array("masks", *masks, Type::i32, {rows, kAny});
    }
  }

  // A sampler's rows: `rows` from `first` on, after which those of `samplers` others came.
  DraftedRows of(const Sampler& sampler, int64_t first, int64_t rows, int64_t samplers) const {
    const int64_t vocab = sampler.vocab();
    require(length(logits, 1) >= vocab, "logits", "must have a column for every token");
    const int64_t columns = masks ? length(*masks, 1) : 0;
    require(!masks || columns >= (vocab + kWordBits - 1) / kWordBits, "masks",
            "must have a bit for every token");
    return {data_of<float>(logits) + first * length(logits, 1),
            length(logits, 1),
            rows,
            data_of<int32_t>(drafts) + (first - samplers),
            masks ? data_of<int32_t>(*masks) + first * columns : nullptr,
            columns};
  }
};

std::vector<int32_t> draw(Sampler& sampler, const In& logits, const In& drafts,
                          const std::optional<In>& masks) {
  const Step step{logits, drafts, masks};
  step.check(1);
  return sampler.draw(step.of(sampler, 0, length(logits, 0), 0));
}

void require_different(std::vector<Sampler*> samplers) {
  std::sort(samplers.begin(), samplers.end());
  require(std::adjacent_find(samplers.begin(), samplers.end()) == samplers.end(), "samplers",
          "must not name one twice");
  require(samplers.empty() || samplers.front() != nullptr, "samplers", "must not be None");
}

std::vector<std::vector<int32_t>> draw_for_all(const std::vector<Sampler*>& samplers,
                                               const In& logits, const In& rows, const In& drafts,
                                               const std::optional<In>& masks, Pool& pool) {
  const auto count = static_cast<int64_t>(samplers.size());
  require_different(samplers);
  require_array("rows", rows, Type::i32, {count});
  const Step step{logits, drafts, masks};
  step.check(count);
  std::vector<DraftedRows> parts;
  int64_t first = 0;
  for (int64_t i = 0; i < count; i++) {
    const int64_t own = data_of<int32_t>(rows)[i];
    require_between("rows", own, 1, length(logits, 0) - first);
    parts.push_back(step.of(*samplers[static_cast<size_t>(i)], first, own, i));
    first += own;
  }
  require(first == length(logits, 0), "rows", "must add up to the rows of logits");
  return draw_all(samplers, parts, pool);
}

std::tuple<double, std::vector<int32_t>, std::vector<double>> logprobs_of(const In& logits,
                                                                          int64_t vocab,
                                                                          int64_t token,
                                                                          int64_t top) {
  require_array("logits", logits, Type::f32, {kAny});
  require_between("vocab", vocab, 1,
                  std::min<int64_t>(length(logits, 0), std::numeric_limits<int32_t>::max()));
  require_between("token", token, 0, vocab - 1);
  require_between("top", top, 0, vocab);
  Logprobs found =
      logprobs(data_of<float>(logits), vocab, static_cast<int32_t>(token), top);
  return {found.token, std::move(found.ids), std::move(found.values)};
}

void translate(const std::exception_ptr& error, void*) {
  try {
    std::rethrow_exception(error);
  } catch (const NotFinite& not_finite) {
    PyErr_SetString(PyExc_FloatingPointError, not_finite.what());
  }
}

}  // namespace

void bind_sampler(nb::module_& module) {
  const nb::call_guard<nb::gil_scoped_release> unlocked;
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  nb::register_exception_translator(translate);
  nb::class_<Sampler>(module, "Sampler")
      .def("__init__", make_sampler, nb::arg("vocab"), nb::kw_only(), nb::arg("temperature"),
           nb::arg("top_p"), nb::arg("top_k"), nb::arg("min_p"), nb::arg("repetition_penalty"),
           nb::arg("presence_penalty"), nb::arg("frequency_penalty"),
           nb::arg("no_repeat_ngram_size"), nb::arg("seed"), array("bias_ids"), array("bias"), array("prompt"))
      .def_prop_ro("drawn", &Sampler::drawn)
      .def("draw", draw, array("logits"), array("drafts"), array("masks").none() = nb::none(),
           unlocked)
      .def("fork", &Sampler::fork, nb::arg("seed"));
  module.def("draw_all", draw_for_all, nb::arg("samplers"), array("logits"), array("rows"),
             array("drafts"), array("masks").none(), nb::arg("pool"), unlocked);
  module.def("logprobs", logprobs_of, array("logits"), nb::arg("vocab"), nb::arg("token"),
             nb::arg("top"), unlocked);
}

}  // namespace qingtan
