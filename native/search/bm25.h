// Which passages score highest by bm25, of lists that say which passages hold a term.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qingtan {

// All terms' lists, one after another.
template <class Code>
struct Postings {
  const int32_t* places;  // of passages that hold a term, ascending in each list
  // Which of the weights a term has there: few differ, and a list is read from front to back,
  // while lengths of passages would be looked up all over the memory.
  const Code* codes;
  // times * (k1 + 1) / (times + k1 * (1 - b + b * length / mean length)), above zero.
  std::span<const double> weights;
};

// One term's part of them: from `begin` to below `end`.
struct PostingList {
  int64_t begin;
  int64_t end;
  double idf;
};

struct Scored {
  int32_t place;
  double score;
};

// The passages with the highest sums of idf * weight, added in the order of the lists (Robertson &
// Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009); highest first, of
// equal ones the first place. At most `limit` of them.
//
// Throws std::invalid_argument where a place is below zero, or is met after a much higher one,
// where a code has no weight, and where a product is not above zero.
template <class Code>
std::vector<Scored> best_by_bm25(const Postings<Code>& postings,
                                 std::span<const PostingList> lists, int64_t limit);

}  // namespace qingtan
