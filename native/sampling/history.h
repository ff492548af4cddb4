// The tokens of a request's prompt and text, as far as penalties ask for them.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace qingtan {

struct Penalties {
  double repetition = 1.0;  // divides positive scores of tokens in the prompt or the text,
                            // multiplies negative ones (1909.05858)
  double presence = 0.0;    // taken off the score of every token in the text
  double frequency = 0.0;   // the same, once for each time that it is there
  int64_t no_repeat_ngram = 0;  // no token that would end so many tokens of the text in a row as
                                // they stood in it before; 0 allows all

  bool any() const {
    return repetition != 1.0 || presence != 0.0 || frequency != 0.0 || no_repeat_ngram > 0;
  }
};

class History {
 public:
  // Tokens of the prompt from `vocab` on are none that could be drawn: they are left out.
  // Throws std::invalid_argument: a token is negative.
  History(int32_t vocab, const Penalties& penalties, std::span<const int32_t> prompt);

  bool matters() const { return penalties_.any(); }

  // One more token of the text.
  void take(int32_t token);

  // Undo the last `take`, which took this token.
  void take_back(int32_t token);

  // Penalize scores (vocab): repetition first, then frequency and presence, then n-grams.
  void penalize(float* scores) const;

 private:
  struct Entry {
    int32_t token;
    int32_t times;  // in the text
  };

  Entry& entry(int32_t token);
  void rule_out_ngrams(float* scores) const;

  Penalties penalties_;
  std::vector<Entry> entries_;
  std::unordered_map<int32_t, size_t> places_;  // in entries_
  size_t of_prompt_;                            // the first entries are the prompt's
  std::vector<int32_t> text_;                   // kept where n-grams are looked for
};

}  // namespace qingtan
