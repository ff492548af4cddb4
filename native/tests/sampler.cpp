// The sampler on random rows of many sizes, for the sanitizers to watch:
// cmake -DQINGTAN_MODULE=OFF -DQINGTAN_TESTS=ON -DQINGTAN_SANITIZE=address,undefined.
#include "sampling/sampler.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

#include "expect.h"
#include "sampling/logprobs.h"

namespace {

using namespace qingtan;
using testing::expect;

constexpr int64_t kRows = 3;

// Rows without a number to spare, so that a step beyond them is seen.
struct Case {
  Case(std::mt19937& random, int32_t vocab)
      : words((vocab + 31) / 32),
        logits(static_cast<size_t>(kRows * vocab)),
        masks(static_cast<size_t>(kRows * words)) {
    std::normal_distribution<float> normal(0.0F, 3.0F);
    for (float& logit : logits) {
      logit = random() % 8 == 0 ? -std::numeric_limits<float>::infinity() : normal(random);
    }
    for (int64_t row = 0; row < kRows; row++) {
      logits[static_cast<size_t>(row * vocab)] = 1.0F;  // the first token is always possible
    }
    for (int32_t& word : masks) {
      word = static_cast<int32_t>(random()) | 1;
    }
  }

  int64_t words;
  std::vector<float> logits;
  std::vector<int32_t> masks;
  std::vector<int32_t> drafts = {0, 0};
};

// From 0 on, below `count`.
int32_t below(std::mt19937& random, uint32_t count) {
  return static_cast<int32_t>(random() % count);
}

SamplerOptions options_of(std::mt19937& random, int32_t vocab) {
  SamplerOptions options;
  options.vocab = vocab;
  options.filters.temperature = 0.25 * below(random, 7);
  options.filters.top_k = random() % 2 == 0 ? 0 : below(random, 100);
  options.filters.top_p = random() % 2 == 0 ? 1.0 : 0.01 * below(random, 100);
  options.filters.min_p = random() % 2 == 0 ? 0.0 : 0.01 * below(random, 100);
  if (random() % 2 == 0) {
    options.penalties = {1.1, 0.5, -0.25, below(random, 3)};
    options.biases = {{vocab - 1, 1.0F}};
  }
  options.seed = random();
  return options;
}

// Drafted rows and one row after the other give the same text.
void drafts_change_nothing(std::mt19937& random, int32_t vocab) {
  Case one(random, vocab);
  const bool masked = random() % 2 == 0;
  const int32_t* masks = masked ? one.masks.data() : nullptr;
  const std::vector<int32_t> prompt = {0, vocab - 1, vocab};
  Sampler plain(options_of(random, vocab), prompt);
  Sampler drafted = plain.fork(7);
  plain = plain.fork(7);
  const std::vector<int32_t> tokens =
      drafted.draw({one.logits.data(), vocab, kRows, one.drafts.data(), masks, one.words});
  for (size_t i = 0; i < tokens.size(); i++) {
    const auto row = static_cast<int64_t>(i);
    const float* logits = one.logits.data() + row * vocab;
    const int32_t* mask = masked ? masks + row * one.words : nullptr;
    const auto alone = plain.draw({logits, vocab, 1, nullptr, mask, one.words});
    expect(alone == std::vector<int32_t>{tokens[i]}, "drafts change nothing");
    expect(logits[tokens[i]] > -std::numeric_limits<float>::infinity(), "a possible token");
    expect(!mask || ((mask[tokens[i] / 32] >> (tokens[i] % 32)) & 1) != 0, "an allowed token");
  }
  const Logprobs found = logprobs(one.logits.data(), vocab, tokens[0], std::min(vocab, 20));
  expect(found.token <= 0.0 && found.values.front() <= 0.0, "logarithms of probabilities");
}

void failures_leave_no_trace(std::mt19937& random, int32_t vocab) {
  Case good(random, vocab);
  Case bad(random, vocab);
  bad.logits.back() = std::numeric_limits<float>::quiet_NaN();
  Sampler first(options_of(random, vocab), {});
  Sampler second = first.fork(1);
  const std::vector<Sampler*> samplers = {&first, &second};
  const DraftedRows rows{good.logits.data(), vocab, 1, nullptr, nullptr, 0};
  const DraftedRows wrong{bad.logits.data() + 2 * vocab, vocab, 1, nullptr, nullptr, 0};
  Pool pool({2, 30, false});
  bool thrown = false;
  try {
    draw_all(samplers, std::vector<DraftedRows>{rows, wrong}, pool);
  } catch (const NotFinite&) {
    thrown = true;
  }
  expect(thrown && first.drawn() == 0 && second.drawn() == 0, "none has drawn");
  const auto tokens = draw_all(samplers, std::vector<DraftedRows>{rows, rows}, pool);
  expect(first.drawn() == 1 && tokens[0].size() == 1 && tokens[1].size() == 1, "all have drawn");
}

}  // namespace

int main() {
  std::mt19937 random(1);
  for (const int32_t vocab : {1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 1000, 7001}) {
    for (int i = 0; i < 100; i++) {
      drafts_change_nothing(random, vocab);
    }
    failures_leave_no_trace(random, vocab);
  }
  std::puts("ok");
}
