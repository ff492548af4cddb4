#include "search/bm25.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>

namespace qingtan {
namespace {

// Sums are kept for so many passages at a time: they stay near, and lists are changed seldom.
constexpr size_t kWindow = 8192;

bool better(const Scored& a, const Scored& b) {
  return a.score > b.score || (a.score == b.score && a.place < b.place);
}

// The best so far; the worst of them is on top of a heap.
class Best {
 public:
  explicit Best(int64_t limit) : limit_(static_cast<size_t>(limit)) {}

  void offer(const Scored& scored) {
    if (kept_.size() < limit_) {
      kept_.push_back(scored);
      std::push_heap(kept_.begin(), kept_.end(), better);
    } else if (better(scored, kept_.front())) {
      std::pop_heap(kept_.begin(), kept_.end(), better);
      kept_.back() = scored;
      std::push_heap(kept_.begin(), kept_.end(), better);
    }
  }

  std::vector<Scored> sorted() {
    std::sort_heap(kept_.begin(), kept_.end(), better);
    return std::move(kept_);
  }

 private:
  size_t limit_;
  std::vector<Scored> kept_;
};

// Sums of the passages from `first` on, as many as a window has.
class Window {
 public:
  // Adds a list's part that lies in the window, and moves its beginning behind that.
  template <class Code>
  void add(const Postings<Code>& postings, PostingList& list, int32_t first) {
    int64_t at = list.begin;
    size_t count = count_;
    for (; at < list.end; at++) {
      const int32_t place = postings.places[at];
      const auto slot = static_cast<uint64_t>(int64_t{place} - first);
      if (slot >= kWindow) {
        require(place > first, "places: must be ascending, and not below zero");
        break;
      }
      require(postings.codes[at] < postings.weights.size(), "codes: must be of weights");
      const double more = list.idf * postings.weights[postings.codes[at]];
      require(more > 0, "weights: must be above zero, like all idf");
      touched_[count] = static_cast<uint32_t>(slot);
      count += sums_[slot] == 0 ? 1 : 0;
      sums_[slot] += more;
    }
    count_ = count;
    list.begin = at;
  }

  // Offers all sums, and forgets them.
  void give(Best& best, int32_t first) {
    for (size_t i = 0; i < count_; i++) {
      const uint32_t slot = touched_[i];
      best.offer({first + static_cast<int32_t>(slot), sums_[slot]});
      sums_[slot] = 0;
    }
    count_ = 0;
  }

 private:
  static void require(bool good, const char* what) {
    if (!good) {
      throw std::invalid_argument(what);
    }
  }

  std::array<double, kWindow> sums_{};
  std::array<uint32_t, kWindow + 1> touched_;  // the last is written to, never counted
  size_t count_ = 0;
};

}  // namespace

template <class Code>
std::vector<Scored> best_by_bm25(const Postings<Code>& postings,
                                 std::span<const PostingList> lists, int64_t limit) {
  std::vector<PostingList> left(lists.begin(), lists.end());
  Best best(limit);
  Window window;
  while (true) {
    std::erase_if(left, [](const PostingList& list) { return list.begin >= list.end; });
    if (left.empty()) {
      return best.sorted();
    }
    int32_t first = std::numeric_limits<int32_t>::max();
    for (const PostingList& list : left) {
      first = std::min(first, postings.places[list.begin]);
    }
    if (first < 0) {
      throw std::invalid_argument("places: must not be negative");
    }
    for (PostingList& list : left) {
      window.add(postings, list, first);
    }
    window.give(best, first);
  }
}

template std::vector<Scored> best_by_bm25(const Postings<uint8_t>&, std::span<const PostingList>,
                                          int64_t);
template std::vector<Scored> best_by_bm25(const Postings<uint16_t>&, std::span<const PostingList>,
                                          int64_t);
template std::vector<Scored> best_by_bm25(const Postings<uint32_t>&, std::span<const PostingList>,
                                          int64_t);

}  // namespace qingtan
