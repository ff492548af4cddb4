#include "history.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace qingtan {
namespace {

// Taken off a score, it leaves the token only where a mask allows none that is not ruled out.
constexpr float kRuledOut = 1e4F;

}  // namespace

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
  if (!matters()) {
    return;
  }
  entry(token).times++;
  if (penalties_.no_repeat_ngram > 0) {
    text_.push_back(token);
  }
}

void History::take_back(int32_t token) {
  if (!matters()) {
    return;
  }
  if (penalties_.no_repeat_ngram > 0) {
    text_.pop_back();
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
  if (penalties_.no_repeat_ngram > 0) {
    rule_out_ngrams(scores);
  }
}

void History::rule_out_ngrams(float* scores) const {
  const auto length = static_cast<int64_t>(text_.size());
  const int64_t before = penalties_.no_repeat_ngram - 1;  // tokens that the next one would follow
  for (int64_t end = before; end < length; end++) {
    if (std::equal(text_.end() - before, text_.end(), text_.begin() + (end - before))) {
      scores[text_[static_cast<size_t>(end)]] -= kRuledOut;
    }
  }
}

}  // namespace qingtan
