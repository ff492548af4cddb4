#include "model.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "matrix.h"

namespace qingtan {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
constexpr const char* kPlaceNames[kPlaces] = {"qkv", "out", "gate_up", "down"};

// A layer, and the matrices that it lies in.
struct BoundLayer {
  Layer layer;
  std::vector<nb::object> matrices;
};

// A model, what it lies in, and the matrices' memory, each counted once.
class BoundModel {
 public:
  BoundModel(ModelParts parts, const Kernels& kernels, Pool& pool)
      : model(std::move(parts), kernels, pool) {}

  void keep(const nb::object& matrix) {
    const Matrix& its = nb::cast<const Matrix&>(matrix);
    if (counted_.insert(its.weights().data).second) {
      bytes_ += its.bytes();
    }
    kept_.push_back(matrix);
  }

  size_t bytes() const { return bytes_; }

  Model model;

 private:
  std::vector<nb::object> kept_;
  std::set<const uint8_t*> counted_;
  size_t bytes_ = 0;
};

const Weights& weights_of(const std::string& name, nb::handle matrix, int64_t n, int64_t k) {
  require(nb::isinstance<Matrix>(matrix), name.c_str(), "must be a Matrix");
  const Weights& weights = nb::cast<const Matrix&>(matrix).weights();
  const int64_t shape[] = {weights.n, weights.k};
  const int64_t wanted[] = {n, k};
  require((n == kAny || n == shape[0]) && (k == kAny || k == shape[1]), name.c_str(),
          "must have the shape " + checks::shape_text(wanted, 2) + ", not " +
              checks::shape_text(shape, 2));
  return weights;
}

std::vector<float> vector_of(const char* name, const In& array, int64_t count) {
  require_array(name, array, Type::f32, {count});
  const float* numbers = data_of<float>(array);
  return {numbers, numbers + length(array, 0)};
}

void make_layer(BoundLayer* place, const In& attention_norm, const nb::object& qkv,
                const nb::object& out, const In& mlp_norm, const nb::object& gate_up,
                const nb::object& down, const std::optional<In>& qkv_bias) {
  Layer layer{};
  layer.attention_norm = vector_of("attention_norm", attention_norm, kAny);
  const int64_t width = length(attention_norm, 0);
  layer.qkv = weights_of("qkv", qkv, kAny, width);
  if (qkv_bias) {
    layer.qkv_bias = vector_of("qkv_bias", *qkv_bias, layer.qkv.n);
  }
  layer.out = weights_of("out", out, width, kAny);
  layer.mlp_norm = vector_of("mlp_norm", mlp_norm, width);
  layer.gate_up = weights_of("gate_up", gate_up, kAny, width);
  require(layer.gate_up.n % 2 == 0, "gate_up", "must have as many gates as ups");
  layer.down = weights_of("down", down, width, layer.gate_up.n / 2);
  new (place) BoundLayer{std::move(layer), {qkv, out, gate_up, down}};
}

// By its name: the tables' own class is private to table.cpp.
const Kernels& chosen_kernels(nb::handle table) {
  if (table.is_none()) {
    return best_kernels();
  }
  const nb::object name = nb::getattr(table, "name", nb::none());
  for (int i = 0; nb::isinstance<nb::str>(name) && i < kernel_count(); i++) {
    if (nb::cast<std::string>(name) == kernel_table(i).name) {
      return kernel_table(i);
    }
  }
  throw std::invalid_argument("kernels: must be one of native.tables()");
}

AttentionShape checked_shape(int64_t heads, int64_t groups, int64_t head_dim, int64_t context,
                             double theta) {
  require_between("groups", groups, 1, kMost);
  require_between("heads", heads, 1, kMost);
  require(heads % groups == 0, "heads", "must be a multiple of groups");
  require_between("head_dim", head_dim, 4, kMost);
  require(head_dim % 4 == 0, "head_dim", "must be a multiple of 4");
  require_between("context", context, 1, kMost);
  require(theta > 0 && std::isfinite(theta), "theta", "must be a number above 0");
  return {static_cast<int32_t>(heads), static_cast<int32_t>(groups),
          static_cast<int32_t>(head_dim), static_cast<int32_t>(context), theta};
}

void add_layer(ModelParts& parts, size_t number, nb::handle item,
               std::vector<nb::object>& matrices) {
  const std::string name = "layers[" + std::to_string(number) + "]";
  require(nb::isinstance<BoundLayer>(item), name.c_str(), "must be a Layer");
  const auto& [layer, its] = nb::cast<const BoundLayer&>(item);
  const AttentionShape& shape = parts.shape;
  weights_of(name + ": qkv", its[0], shape.columns(), parts.embedding.k);
  weights_of(name + ": out", its[1], parts.embedding.k, int64_t{shape.heads} * shape.head_dim);
  parts.layers.push_back(layer);
  matrices.insert(matrices.end(), its.begin(), its.end());
}

void make_model(BoundModel* place, int64_t heads, int64_t groups, int64_t head_dim,
                int64_t context, double epsilon, double theta, const nb::object& embedding,
                const nb::sequence& layers, const In& final_norm, const nb::object& head,
                Pool& pool, const nb::object& kernels) {
  ModelParts parts{};
  parts.shape = checked_shape(heads, groups, head_dim, context, theta);
  parts.epsilon = static_cast<float>(epsilon);
  require(parts.epsilon > 0 && std::isfinite(parts.epsilon), "epsilon", "must be a number above 0");
  parts.embedding = weights_of("embedding", embedding, kAny, kAny);
  parts.final_norm = vector_of("final_norm", final_norm, parts.embedding.k);
  parts.head = parts.embedding;
  std::vector<nb::object> matrices{embedding};
  if (!head.is_none()) {
    parts.head = weights_of("head", head, parts.embedding.n, parts.embedding.k);
    matrices.push_back(head);
  }
  for (const nb::handle item : layers) {
    add_layer(parts, parts.layers.size(), item, matrices);
  }
  require(!parts.layers.empty(), "layers", "must not be empty");
  const Kernels& chosen = chosen_kernels(kernels);
  new (place) BoundModel(std::move(parts), chosen, pool);
  for (const nb::object& matrix : matrices) {
    place->keep(matrix);
  }
}

LowRank checked_pair(const std::string& name, nb::handle item, const Weights& matrix,
                     std::vector<nb::object>& matrices) {
  require(nb::isinstance<nb::tuple>(item) && nb::len(item) == 2, name.c_str(),
          "must be a tuple (down, up) or None");
  const nb::object down = item[0];
  const nb::object up = item[1];
  const LowRank pair{weights_of(name + ": down", down, kAny, matrix.k),
                     weights_of(name + ": up", up, matrix.n, kAny)};
  weights_of(name + ": up", up, matrix.n, pair.down.n);
  require(pair.down.format == Format::f32, (name + ": down").c_str(), "must be packed as f32");
  require(pair.up.format == Format::f32, (name + ": up").c_str(), "must be packed as f32");
  matrices.insert(matrices.end(), {down, up});
  return pair;
}

LayerAdapter checked_adapter(const std::string& name, nb::handle item, const Layer& layer,
                             std::vector<nb::object>& matrices) {
  require(nb::isinstance<nb::dict>(item), name.c_str(), "must be a dict");
  LayerAdapter adapter;
  for (const auto& [key, pair] : nb::cast<nb::dict>(item)) {
    size_t place = 0;
    while (place < kPlaces && !key.equal(nb::str(kPlaceNames[place]))) {
      place++;
    }
    require(place < kPlaces, name.c_str(), "its keys must be qkv, out, gate_up or down");
    if (!pair.is_none()) {
      adapter[place] = checked_pair(name + "[" + kPlaceNames[place] + "]", pair,
                                    matrix_at(layer, static_cast<Place>(place)), matrices);
    }
  }
  return adapter;
}

int64_t add_adapter(BoundModel& bound, const nb::sequence& layers) {
  const std::vector<Layer>& own = bound.model.parts().layers;
  require(nb::len(layers) == own.size(), "layers",
          "must be as many as the model's, " + std::to_string(own.size()));
  Adapter adapter;
  std::vector<nb::object> matrices;
  for (const nb::handle item : layers) {
    const size_t number = adapter.size();
    adapter.push_back(checked_adapter("layers[" + std::to_string(number) + "]", item, own[number],
                                      matrices));
  }
  for (const nb::object& matrix : matrices) {
    bound.keep(matrix);
  }
  return bound.model.add_adapter(std::move(adapter));
}

void forward(BoundModel& bound, const In& tokens, const In& sequences, const In& tables,
             const In& rows, Cache& cache, const Out& logits, const In& pooled,
             const Out& hidden) {
  const nb::gil_scoped_release unlocked;
  const Step step = checked_step(bound.model, cache,
                                 {tokens, sequences, tables, rows, logits, pooled, hidden});
  bound.model.forward(step, cache);
}

}  // namespace

void bind_model(nb::module_& module) {
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  // Whether it is one is said by its name, None too.
  const auto matrix = [](const char* name) { return nb::arg(name).none(); };
  nb::class_<BoundLayer>(module, "Layer")
      .def("__init__", make_layer, nb::kw_only(), array("attention_norm"), matrix("qkv"),
           matrix("out"), array("mlp_norm"), matrix("gate_up"), matrix("down"),
           array("qkv_bias").none() = nb::none());
  nb::class_<BoundModel>(module, "Model")
      .def("__init__", make_model, nb::kw_only(), nb::arg("heads"), nb::arg("groups"),
           nb::arg("head_dim"), nb::arg("context"), nb::arg("epsilon"), nb::arg("theta"),
           matrix("embedding"), nb::arg("layers"), array("final_norm"), matrix("head"),
           nb::arg("pool"), nb::arg("kernels").none() = nb::none(), nb::keep_alive<1, 12>())
      .def_prop_ro("bytes", &BoundModel::bytes)
      .def("add_adapter", add_adapter, nb::arg("layers"))
      .def("forward", forward, array("tokens"), array("sequences"), array("tables"),
           array("rows"), nb::arg("cache"), array("logits"), array("pooled"), array("hidden"));
}

}  // namespace qingtan
