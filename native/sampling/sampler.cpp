#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>

#include "random.h"

namespace qingtan {
namespace {

constexpr int64_t kWordBits = 32;

void require(bool good, const char* what) {
  if (!good) {
    throw std::invalid_argument(what);
  }
}

void check(const SamplerOptions& options) {
  const Filters& filters = options.filters;
  require(options.vocab >= 1, "vocab: must be at least 1");
  require(filters.temperature >= 0.0 && std::isfinite(filters.temperature),
          "temperature: must be finite and not negative");
  require(filters.top_k >= 0, "top_k: must not be negative");
  require(0.0 <= filters.top_p && filters.top_p <= 1.0, "top_p: must lie from 0 to 1");
  require(0.0 <= filters.min_p && filters.min_p <= 1.0, "min_p: must lie from 0 to 1");
  const Penalties& penalties = options.penalties;
  require(penalties.repetition > 0.0 && std::isfinite(penalties.repetition),
          "repetition_penalty: must be finite and above 0");
  require(std::isfinite(penalties.presence), "presence_penalty: must be finite");
  require(std::isfinite(penalties.frequency), "frequency_penalty: must be finite");
  require(penalties.no_repeat_ngram >= 0, "no_repeat_ngram_size: must not be negative");
  for (const Bias& bias : options.biases) {
    require(0 <= bias.token && bias.token < options.vocab,
            "bias_ids: must be tokens of the vocabulary");
    require(std::isfinite(bias.value), "bias: must be finite");
  }
}

SamplerOptions checked(const SamplerOptions& options) {
  check(options);
  return options;
}

// Copy the scores that the mask allows, −∞ for the others. False if it allows none.
bool apply_mask(const float* logits, int64_t count, const int32_t* mask, float* scores) {
  constexpr float nothing = -std::numeric_limits<float>::infinity();
  uint32_t any = 0;
  for (int64_t begin = 0; begin < count; begin += kWordBits) {
    const int64_t bits = std::min(kWordBits, count - begin);
    const auto last = static_cast<uint32_t>(uint64_t{0xffffffff} >> (kWordBits - bits));
    const uint32_t word = static_cast<uint32_t>(mask[begin / kWordBits]) & last;
    any |= word;
    if (word == 0) {
      std::fill_n(scores + begin, bits, nothing);
    } else if (word == last) {
      std::copy_n(logits + begin, bits, scores + begin);
    } else {
      for (int64_t i = 0; i < bits; i++) {
        scores[begin + i] = ((word >> i) & 1) != 0 ? logits[begin + i] : nothing;
      }
    }
  }
  return any != 0;
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options, std::span<const int32_t> prompt)
    : options_(checked(options)), history_(options.vocab, options.penalties, prompt),
      loops_(&best_loops()) {}

std::vector<int32_t> Sampler::draw(const DraftedRows& rows) {
  std::vector<int32_t> tokens;
  try {
    for (int64_t row = 0; row < rows.rows; row++) {
      const int32_t* mask = rows.masks ? rows.masks + row * rows.mask_stride : nullptr;
      tokens.push_back(draw_one(rows.logits + row * rows.stride, mask));
      if (row + 1 < rows.rows && tokens.back() != rows.drafts[row]) {
        break;
      }
    }
  } catch (...) {
    take_back(tokens);
    throw;
  }
  return tokens;
}

int32_t Sampler::draw_one(const float* logits, const int32_t* mask) {
  Scratch& scratch = Scratch::of_thread();
  const float* scores = logits;
  if (mask != nullptr || !options_.biases.empty() || history_.matters()) {
    // Before masks and penalties, or they would hide what is not finite.
    const Row finite(logits, options_.vocab, *loops_, scratch);
    scores = adjusted(logits, mask, scratch.scores);
  }
  const uint64_t state = generator_of(options_.seed, static_cast<uint64_t>(drawn_));
  const int32_t token = choose(scores, options_.vocab, options_.filters, state, *loops_, scratch);
  history_.take(token);
  drawn_++;
  return token;
}

const float* Sampler::adjusted(const float* logits, const int32_t* mask,
                               std::vector<float>& scores) const {
  if (mask == nullptr) {
    std::copy_n(logits, options_.vocab, scores.begin());
  } else if (!apply_mask(logits, options_.vocab, mask, scores.data())) {
    throw std::invalid_argument("masks: no token is allowed");
  }
  for (const Bias& bias : options_.biases) {
    scores[static_cast<size_t>(bias.token)] += bias.value;
  }
  history_.penalize(scores.data());
  return scores.data();
}

void Sampler::take_back(std::span<const int32_t> tokens) {
  for (size_t i = tokens.size(); i-- > 0;) {
    history_.take_back(tokens[i]);
  }
  drawn_ -= static_cast<int64_t>(tokens.size());
}

Sampler Sampler::fork(uint64_t seed) const {
  Sampler copy = *this;
  copy.options_.seed = seed;
  return copy;
}

std::vector<std::vector<int32_t>> draw_all(std::span<Sampler* const> samplers,
                                           std::span<const DraftedRows> rows, Pool& pool) {
  std::vector<std::vector<int32_t>> tokens(samplers.size());
  std::vector<std::exception_ptr> errors(samplers.size());
  pool.run(static_cast<int64_t>(samplers.size()), [&](int64_t part, int) {
    const auto i = static_cast<size_t>(part);
    try {
      tokens[i] = samplers[i]->draw(rows[i]);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  });
  const auto error = std::find_if(errors.begin(), errors.end(),
                                  [](const auto& one) { return one != nullptr; });
  if (error != errors.end()) {
    for (size_t i = 0; i < samplers.size(); i++) {
      samplers[i]->take_back(tokens[i]);
    }
    std::rethrow_exception(*error);
  }
  return tokens;
}

}  // namespace qingtan
