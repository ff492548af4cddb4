#include "history.h"

#include <stdexcept>
#include <string>

namespace qingtan {

History::History(int32_t vocab, const Penalties& penalties, std::span<const int32_t> prompt)
    : penalties_(penalties) {
  for (const int32_t token : prompt) {
    if (token < 0) {
      throw std::invalid_argument("prompt: " + std::to_string(token) + " is no token");
    }
    if (penalties.repetition != 1.0 && token < vocab) {
      entry(token);
    }
  }
  of_prompt_ = entries_.size();
}

History::Entry& History::entry(int32_t token) {
  const auto [place, is_new] = places_.try_emplace(token, entries_.size());
  if (is_new) {
    entries_.push_back({token, 0});
  }
  return entries_[place->second];
}

void History::take(int32_t token) {
  if (matters()) {
    entry(token).times++;
  }
}

void History::take_back(int32_t token) {
  if (!matters()) {
    return;
  }
  const size_t place = places_.at(token);
  if (--entries_[place].times == 0 && place >= of_prompt_) {
    entries_.pop_back();  // the last one: what came after it was taken back before
    places_.erase(token);
  }
}

void History::penalize(float* scores) const {
  for (const Entry& entry : entries_) {
    double score = static_cast<double>(scores[entry.token]);
    score = score > 0.0 ? score / penalties_.repetition : score * penalties_.repetition;
    if (entry.times > 0) {
      score -= penalties_.presence + penalties_.frequency * entry.times;
    }
    scores[entry.token] = static_cast<float>(score);
  }
}

}  // namespace qingtan
