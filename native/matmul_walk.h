// How a matrix product walks through its rows, its k and its blocks of weights; the same for every
// instruction set, which adds only the innermost tile.
//
// A tile is up to Kind::kRows rows of activations times one block of 16 weights' rows: each vector
// of weights that is loaded (and unpacked) serves all rows of the tile, whose sums stay in
// registers. Around it, from the inside:
//
//   tiles   of a chunk of rows, while the block's strip stays in the first-level cache;
//   blocks  from begin to end;
//   strips  of k, so long that the chunk's activations fill the scratch memory (which stays in the
//           second-level cache). The sums of a strip that is not the last one wait in `out`;
//   chunks  of rows. Up to kChunkRows rows read the weights once.
//
// Few rows have one strip, and the weights are read from first to last byte in the order in which
// they lie in memory. A row's numbers are always added up in the order of k into one float for each
// output: neither the tile, nor the strip, nor the rows beside it change a bit of the result.
//
// Activations are first copied so that a tile reads them in a line: for each Kind::kUnit values of
// k, Kind::kInputBytes bytes of every row of the tile.
//
// All is in an unnamed namespace: each file that includes this is compiled for another processor
// and must keep its own copy.
#pragma once

#include <cstring>

#include "kernels.h"

namespace qingtan {
namespace {

constexpr int64_t kChunkRows = 96;
constexpr int64_t kScratchBytes = 120 * 1024;
// How far ahead of the weights in use those to come are asked for when they come from memory. They
// are asked into the second-level cache: the first has too few lines on their way at a time.
constexpr int64_t kStreamAhead = 4096;
constexpr int kLine = 64;  // bytes

// Bytes of a block for each value of k: 16 rows with their scales.
constexpr int64_t bytes_per_k(Format format) {
  switch (format) {
    case Format::f32:
      return 4 * kBlockRows;
    case Format::bf16:
      return 2 * kBlockRows;
    case Format::q8:
      return kQ8GroupBytes / kGroup;
    default:
      return kQ4GroupBytes / kGroup;
  }
}

// What a tile is given.
struct Tile {
  const uint8_t* weights;  // the strip of the first block
  int64_t block_bytes;     // from one block to the next
  const uint8_t* next;     // its part of what the next tiles will want, asked for meanwhile:
  int64_t next_step;       // bytes of it for each line of weights in use. A whole line: it is alone
  const uint8_t* input;    // the strip of the rows, packed
  int64_t count;           // values along k in this strip
  float* out;              // of the first row and the first block's first weight
  int64_t stride;
  bool fresh;         // start from zero rather than from `out`
  const float* bias;  // to be added at the end; may be null
};

// Asks for the weights to come, a little with each step of a tile.
class Ahead {
 public:
  explicit Ahead(const Tile& tile)
      : next_(tile.next), wanted_(tile.next), step_(tile.next_step),
        block_bytes_(tile.block_bytes) {}

  // For each `bytes` of the weights in use, of B blocks side by side.
  template <int bytes, int B = 1>
  void go(const uint8_t* weights) {
    if (step_ == kLine) {  // the tile is alone
      stream<bytes, B>(weights + kStreamAhead);
      return;
    }
    for (wanted_ += step_ * bytes / kLine; next_ < wanted_; next_ += kLine) {
      __builtin_prefetch(next_, 0, 2);
    }
  }

 private:
  template <int bytes, int B>
  void stream(const uint8_t* from) {
#pragma GCC unroll 4
    for (int b = 0; b < B; ++b) {
#pragma GCC unroll 9
      for (int line = 0; line < bytes; line += kLine) {
        __builtin_prefetch(from + b * block_bytes_ + line, 0, 2);
      }
    }
  }

  const uint8_t* next_;
  const uint8_t* wanted_;
  int64_t step_;
  int64_t block_bytes_;
};

// A quantized row's part of a unit: its 32 values, then (all rows' values first) the scale, then
// (all rows' scales first) the correction, which takes back that weights are stored with an offset:
// Σ (w − offset) q = Σ w q − offset Σ q.
template <Format format, int offset>
struct QuantizedKind {
  static constexpr Format kFormat = format;
  static constexpr int kUnit = kGroup;
  static constexpr int kInputBytes = kGroup + 8;
  static constexpr int kWeightBytes = static_cast<int>(bytes_per_k(format)) * kGroup;

  static void pack(const Activations& input, int64_t row, int rows, int64_t from, int64_t count,
                   uint8_t* to) {
    const int64_t groups = input.k / kGroup;
    const int64_t step = static_cast<int64_t>(rows) * kInputBytes;
    for (int r = 0; r < rows; ++r) {
      const int8_t* q = input.q + (row + r) * input.k + from;
      const float* scales = input.scales + (row + r) * groups + from / kGroup;
      const int32_t* sums = input.sums + (row + r) * groups + from / kGroup;
      uint8_t* values = to + r * kGroup;
      uint8_t* numbers = to + rows * kGroup + r * 4;
      for (int64_t g = 0; g < count / kGroup; ++g) {
        const int32_t correction = -offset * sums[g];
        std::memcpy(values + g * step, q + g * kGroup, kGroup);
        std::memcpy(numbers + g * step, scales + g, 4);
        std::memcpy(numbers + g * step + rows * 4, &correction, 4);
      }
    }
  }

  // The part of row r from its byte `at` on.
  static const uint8_t* values(const uint8_t* unit, int r, int at) {
    return unit + r * kGroup + at;
  }

  template <int R>
  static float scale(const uint8_t* unit, int r) {
    float number;
    std::memcpy(&number, unit + R * kGroup + r * 4, 4);
    return number;
  }

  template <int R>
  static int32_t correction(const uint8_t* unit, int r) {
    int32_t number;
    std::memcpy(&number, unit + R * (kGroup + 4) + r * 4, 4);
    return number;
  }
};

// A row's part of a unit: 32 floats. The last unit of a row is filled with zeros.
template <Format format>
struct FloatKind {
  static constexpr Format kFormat = format;
  static constexpr int kUnit = 32;
  static constexpr int kInputBytes = 4 * kUnit;

  static void pack(const Activations& input, int64_t row, int rows, int64_t from, int64_t count,
                   uint8_t* to) {
    const int64_t step = static_cast<int64_t>(rows) * kInputBytes;
    const int64_t whole = count / kUnit;
    const auto rest = static_cast<size_t>(count % kUnit) * 4;
    for (int r = 0; r < rows; ++r) {
      const float* x = input.x + (row + r) * input.k + from;
      uint8_t* values = to + r * kInputBytes;
      for (int64_t u = 0; u < whole; ++u) {
        std::memcpy(values + u * step, x + u * kUnit, kInputBytes);
      }
      if (rest > 0) {
        std::memset(values + whole * step, 0, kInputBytes);
        std::memcpy(values + whole * step, x + whole * kUnit, rest);
      }
    }
  }

  static const float* value(const uint8_t* unit, int r) {
    return reinterpret_cast<const float*>(unit + r * kInputBytes);
  }
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// A Kind has, beside what is above: kRows, the most rows of a tile; kWide, how many blocks are
// taken side by side when there are one or two rows, so that the sums are enough to hide the
// processor's latency; and template <int R, int B> static void tile(const Tile&).
template <class Kind>
class Walk {
 public:
  Walk(const Weights& weights, const Activations& input, const float* bias, float* out,
       int64_t stride, int64_t begin, int64_t end)
      : weights_(weights), input_(input), bias_(bias), out_(out), stride_(stride), begin_(begin),
        end_(end), block_bytes_(weights.k * kBytes) {}

  void run() {
    if (begin_ * kBlockRows >= weights_.n || begin_ >= end_) {
      return;
    }
    const int64_t chunks = ceil_div(input_.rows, kChunkRows);
    for (int64_t c = 0; c < chunks; ++c) {
      row_ = input_.rows * c / chunks;
      rows_ = input_.rows * (c + 1) / chunks - row_;
      chunk();
    }
  }

 private:
  static constexpr int64_t kBytes = bytes_per_k(Kind::kFormat);

  void chunk() {
    const int64_t units = ceil_div(weights_.k, Kind::kUnit);
    const int64_t strips = ceil_div(units, kScratchBytes / (rows_ * Kind::kInputBytes));
    tiles_ = ceil_div(rows_, Kind::kRows);
    for (int64_t s = 0; s < strips; ++s) {
      from_ = units * s / strips * Kind::kUnit;
      const int64_t to = smaller(units * (s + 1) / strips * Kind::kUnit, weights_.k);
      count_ = to - from_;
      last_ = to == weights_.k;
      for (int64_t t = 0; t < tiles_; ++t) {
        Kind::pack(input_, row_ + tile_row(t), tile_rows(t), from_, count_, packed(t));
      }
      blocks();
    }
  }

  void blocks() {
    const int64_t whole = smaller(end_, weights_.n / kBlockRows);
    int64_t block = begin_;
    if constexpr (Kind::kWide > 1) {
      for (; rows_ <= 2 && block + Kind::kWide <= whole; block += Kind::kWide) {
        if (rows_ == 1) {
          Kind::template tile<1, Kind::kWide>(tile_of(block, 0));
        } else {
          Kind::template tile<2, Kind::kWide>(tile_of(block, 0));
        }
      }
    }
    for (; block < whole; ++block) {
      for (int64_t t = 0; t < tiles_; ++t) {
        call(tile_of(block, t), tile_rows(t));
      }
    }
    if (block < end_ && block * kBlockRows < weights_.n) {
      edge(block);
    }
  }

  // The last block where it has fewer than 16 rows: its sums stay in edge_, and what exists of it
  // goes to `out` at the end.
  void edge(int64_t block) {
    const int64_t columns = weights_.n - block * kBlockRows;
    const auto bytes = static_cast<size_t>(columns) * sizeof(float);
    float bias[kBlockRows] = {};
    if (bias_ != nullptr) {
      std::memcpy(bias, bias_ + block * kBlockRows, bytes);
    }
    for (int64_t t = 0; t < tiles_; ++t) {
      Tile tile = tile_of(block, t);
      tile.out = edge_ + tile_row(t) * kBlockRows;
      tile.stride = kBlockRows;
      tile.bias = tile.bias != nullptr ? bias : nullptr;
      call(tile, tile_rows(t));
    }
    for (int64_t r = 0; last_ && r < rows_; ++r) {
      std::memcpy(out_ + (row_ + r) * stride_ + block * kBlockRows, edge_ + r * kBlockRows, bytes);
    }
  }

  Tile tile_of(int64_t block, int64_t t) {
    const uint8_t* weights = weights_.data + block * block_bytes_ + from_ * kBytes;
    // One tile alone gets its weights straight from memory and asks for those a little ahead. Of
    // several, each asks for a part of the next block's strip: memory cannot keep up with one tile.
    const uint8_t* next = weights + block_bytes_ + count_ * kBytes * t / tiles_;
    return {.weights = weights,
            .block_bytes = block_bytes_,
            .next = next,
            .next_step = ceil_div(kLine, tiles_),
            .input = packed(t),
            .count = count_,
            .out = out_ + (row_ + tile_row(t)) * stride_ + block * kBlockRows,
            .stride = stride_,
            .fresh = from_ == 0,
            .bias = last_ && bias_ != nullptr ? bias_ + block * kBlockRows : nullptr};
  }

  template <int R = Kind::kRows>
  static void call(const Tile& tile, int rows) {
    if (rows == R) {
      Kind::template tile<R, 1>(tile);
    } else if constexpr (R > 1) {
      call<R - 1>(tile, rows);
    }
  }

  // Rows are dealt out evenly to as few tiles as will do.
  int64_t tile_row(int64_t t) const { return rows_ * t / tiles_; }
  int tile_rows(int64_t t) const { return static_cast<int>(tile_row(t + 1) - tile_row(t)); }
  uint8_t* packed(int64_t t) {
    return scratch_ + tile_row(t) * Kind::kInputBytes * ceil_div(count_, Kind::kUnit);
  }

  const Weights& weights_;
  const Activations& input_;
  const float* bias_;
  float* out_;
  int64_t stride_;
  int64_t begin_;
  int64_t end_;
  int64_t block_bytes_;
  int64_t row_ = 0;  // the chunk
  int64_t rows_ = 0;
  int64_t tiles_ = 0;
  int64_t from_ = 0;  // the strip
  int64_t count_ = 0;
  bool last_ = false;
  alignas(64) float edge_[kChunkRows * kBlockRows];
  alignas(64) uint8_t scratch_[kScratchBytes];
};

}  // namespace
}  // namespace qingtan
