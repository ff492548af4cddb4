// Draws the tokens of one request.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "../pool.h"
#include "choice.h"
#include "history.h"

namespace qingtan {

struct Bias {
  int32_t token;
  float value;  // added to the token's logit
};

struct SamplerOptions {
  int32_t vocab = 1;  // bounds what is drawn: logits beyond it are padding
  Filters filters;
  Penalties penalties;
  std::vector<Bias> biases;
  uint64_t seed = 0;
};

// Logits of places that follow one another in a request's text. Row i + 1 is right where the token
// drawn from row i is drafts[i].
struct DraftedRows {
  const float* logits;  // (rows, stride)
  int64_t stride;
  int64_t rows;
  const int32_t* drafts;  // (rows − 1)
  const int32_t* masks;   // (rows, mask_stride) words of which bit i, from the lowest, allows token
  int64_t mask_stride;    // 32 word + i; or null
};

class Sampler {
 public:
  // Throws std::invalid_argument naming the option that is out of range.
  Sampler(const SamplerOptions& options, std::span<const int32_t> prompt);

  int32_t vocab() const { return options_.vocab; }

  // How many tokens were drawn.
  int64_t drawn() const { return drawn_; }

  // Draw a token from the first row, and from each next one as long as the token drawn before is
  // the drafted one. Every token is drawn from its own distribution with its own random numbers, so
  // the text is the same as without drafts. Returns the tokens, at least one.
  //
  // The scores are the logits, first masked, then biased, then penalized (vLLM's order), in single
  // precision.
  //
  // Throws NotFinite: a logit is NaN or +∞, or no allowed one is finite; std::invalid_argument: a
  // mask allows no token. Nothing is drawn then.
  std::vector<int32_t> draw(const DraftedRows& rows);

  // Undo the last draws, which gave these tokens.
  void take_back(std::span<const int32_t> tokens);

  // The same state with other random numbers.
  Sampler fork(uint64_t seed) const;

 private:
  int32_t draw_one(const float* logits, const int32_t* mask);
  const float* adjusted(const float* logits, const int32_t* mask, std::vector<float>& scores) const;

  SamplerOptions options_;
  History history_;
  const Loops* loops_;
  int64_t drawn_ = 0;
};

// Each sampler draws from its rows, on any thread. No sampler may be there twice.
//
// Throws what Sampler::draw throws, of several the first; none has drawn anything then.
std::vector<std::vector<int32_t>> draw_all(std::span<Sampler* const> samplers,
                                           std::span<const DraftedRows> rows, Pool& pool);

}  // namespace qingtan
