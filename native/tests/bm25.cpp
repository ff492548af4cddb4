// Lists of passages in and out of order, for the sanitizers to watch:
// cmake -DQINGTAN_MODULE=OFF -DQINGTAN_TESTS=ON -DQINGTAN_SANITIZE=address,undefined.
#include "search/bm25.h"

#include <algorithm>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <vector>

#include "expect.h"

namespace {

using namespace qingtan;
using testing::expect;

constexpr int32_t kPassages = 20000;  // several windows
constexpr size_t kWeights = 200;

// Vectors without a number to spare, so that a step beyond them is seen.
struct Case {
  explicit Case(std::mt19937& random) : weights(kWeights) {
    for (double& weight : weights) {
      weight = static_cast<double>(1 + random() % 100) / 50;
    }
    constexpr double idfs[] = {1e-6, 0.7, 6.0};
    for (auto list = random() % 5; list-- > 0;) {
      const auto begin = static_cast<int64_t>(places.size());
      int32_t place = static_cast<int32_t>(random() % 100);
      for (; place < kPassages; place += 1 + static_cast<int32_t>(random() % 900)) {
        places.push_back(place);
        codes.push_back(static_cast<uint8_t>(random() % kWeights));
      }
      lists.push_back({begin, static_cast<int64_t>(places.size()), idfs[random() % 3]});
    }
  }

  std::vector<Scored> best(int64_t limit) const {
    return best_by_bm25<uint8_t>({places.data(), codes.data(), weights}, lists, limit);
  }

  std::vector<int32_t> places;
  std::vector<uint8_t> codes;
  std::vector<double> weights;
  std::vector<PostingList> lists;
};

void in_order(std::mt19937& random) {
  const Case made(random);
  const std::vector<Scored> all = made.best(kPassages);
  std::vector<int32_t> places = made.places;
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  expect(all.size() == places.size(), "every passage once");
  expect(std::is_sorted(all.begin(), all.end(),
                        [](const Scored& a, const Scored& b) { return a.score > b.score; }),
         "highest first");
  const std::vector<Scored> few = made.best(7);
  expect(few.size() == std::min<size_t>(7, all.size()), "no more than asked for");
  for (size_t i = 0; i < few.size(); i++) {
    expect(few[i].place == all[i].place, "the first of all");
  }
}

void out_of_order(std::mt19937& random) {
  Case made(random);
  for (int32_t& place : made.places) {
    if (random() % 4 == 0) {
      place = static_cast<int32_t>(random());
    }
  }
  for (uint8_t& code : made.codes) {
    code = random() % 1000 ? code : 255;
  }
  try {
    made.best(10);
  } catch (const std::invalid_argument&) {
  }
}

}  // namespace

int main() {
  std::mt19937 random(1);
  for (int i = 0; i < 1000; i++) {
    in_order(random);
    out_of_order(random);
  }
  std::puts("ok");
}
