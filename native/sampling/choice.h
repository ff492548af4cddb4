// Which token of a row of scores is drawn.
#pragma once

#include <cstdint>

#include "row.h"

namespace qingtan {

// The filters, in the order in which they apply (that of transformers): temperature, top_k, top_p,
// min_p.
struct Filters {
  // Divides the scores; 0 takes the likeliest token, of several the first.
  double temperature = 1.0;
  // Keep so many of the likeliest tokens, of equals the first; 0 keeps all.
  int64_t top_k = 0;
  // Keep the fewest of the likeliest that have this part of the probability, and those that are as
  // likely as the least likely of them (1904.09751).
  double top_p = 1.0;
  // Keep those of at least this part of the likeliest one's probability (2407.01082).
  double min_p = 0.0;
};

// Draw a token from the softmax of the scores that the filters leave, with the random numbers of
// the generator `state` (random.h): the one for which score / temperature + Gumbel number is
// greatest (Maddison, Tarlow & Minka, "A* sampling", 2014), of several the first.
//
// Throws NotFinite, see Row.
int32_t choose(const float* scores, int64_t count, const Filters& filters, uint64_t state,
               const Loops& loops, Scratch& scratch);

}  // namespace qingtan
