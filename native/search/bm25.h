// Which passages score highest by bm25, of lists that say which passages hold a term.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qingtan {

// All terms' lists, one after another.
template <class Times>
struct Postings {
  const int32_t* places;  // of passages that hold a term, ascending in each list
  const Times* times;     // how often they hold it, at least once
  const double* norms;    // of every passage: k1 * (1 - b + b * length / mean length)
  int64_t passages;
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

// The passages with the highest sums of idf * (times * (k1 + 1) / (times + norm)), added in the
// order of the lists (Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and
// Beyond", 2009); highest first, of equal ones the first place. At most `limit` of them.
//
// Throws std::invalid_argument where a place is no passage's, or is met after a much higher one.
template <class Times>
std::vector<Scored> best_by_bm25(const Postings<Times>& postings,
                                 std::span<const PostingList> lists, double k1, int64_t limit);

}  // namespace qingtan
