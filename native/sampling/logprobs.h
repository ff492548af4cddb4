// Logarithms of the probabilities that the model gives tokens.
#pragma once

#include <cstdint>
#include <vector>

namespace qingtan {

struct Logprobs {
  double token;                // that of the token asked for
  std::vector<int32_t> ids;    // the likeliest tokens, the likeliest first, of equals the first
  std::vector<double> values;  // and theirs
};

// Of the softmax of the logits (vocab) as they are. token must lie in the vocabulary; top ≥ 0.
//
// Throws NotFinite, see Row.
Logprobs logprobs(const float* logits, int64_t vocab, int32_t token, int64_t top);

}  // namespace qingtan
