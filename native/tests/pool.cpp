// The pool under load, for the sanitizers to watch:
// cmake -DQINGTAN_MODULE=OFF -DQINGTAN_TESTS=ON -DQINGTAN_SANITIZE=thread.
#include "pool.h"

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "expect.h"

namespace {

using qingtan::Pool;
using qingtan::testing::expect;

// Plain numbers, so that a part that runs twice, or is not over when run returns, is a race.
void every_part_runs_once(Pool& pool, int64_t parts) {
  std::vector<int> counts(static_cast<size_t>(parts), 0);
  pool.run(parts, [&](int64_t part, int thread) {
    expect(0 <= thread && thread < pool.threads(), "thread numbers");
    counts[static_cast<size_t>(part)]++;
  });
  for (const int count : counts) {
    expect(count == 1, "every part once");
  }
}

void threads_have_scratch_of_their_own(Pool& pool) {
  std::vector<int64_t> sums(static_cast<size_t>(pool.threads()), 0);
  pool.run(1000, [&](int64_t part, int thread) { sums[static_cast<size_t>(thread)] += part; });
  int64_t sum = 0;
  for (const int64_t one : sums) {
    sum += one;
  }
  expect(sum == 999 * 1000 / 2, "sums by thread");
}

void errors_come_out(Pool& pool) {
  for (int i = 0; i < 100; i++) {
    bool thrown = false;
    try {
      pool.run(50, [](int64_t part, int) {
        if (part % 7 == 3) {
          throw std::runtime_error("part");
        }
      });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    expect(thrown, "an error comes out");
  }
}

void nested_calls_are_refused(Pool& pool) {
  bool thrown = false;
  try {
    pool.run(4, [&](int64_t, int) { pool.run(1, [](int64_t, int) {}); });
  } catch (const std::logic_error&) {
    thrown = true;
  }
  expect(thrown, "a nested call is refused");
}

void callers_take_turns(Pool& pool) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; i++) {
    callers.emplace_back([&] {
      for (int j = 0; j < 200; j++) {
        every_part_runs_once(pool, 9);
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
}

// Jobs that come while the workers watch, fall asleep and sleep, as they learn how long to watch.
void pauses_lose_no_work(Pool& pool) {
  for (const int longest : {60, 600, 2000, 60}) {
    for (int i = 0; i < 300; i++) {
      std::this_thread::sleep_for(std::chrono::microseconds(i % 60 * longest / 60));
      every_part_runs_once(pool, 5);
    }
  }
}

// Parts long enough for the caller to fall asleep before the last worker is done.
void long_parts_wake_the_caller(Pool& pool) {
  for (int i = 0; i < 20; i++) {
    std::vector<int> done(4, 0);
    pool.run(4, [&](int64_t part, int) {
      std::this_thread::sleep_for(std::chrono::microseconds(200 * part));
      done[static_cast<size_t>(part)] = 1;
    });
    expect(done == std::vector<int>(4, 1), "long parts");
  }
}

}  // namespace

int main() {
  for (const int threads : {1, 2, 4}) {
    for (const int spin : {0, 30}) {
      for (const bool pin : {false, true}) {
        Pool pool({threads, spin, pin});
        for (const int64_t parts : {0, 1, 2, 100, 3}) {
          every_part_runs_once(pool, parts);
        }
        threads_have_scratch_of_their_own(pool);
        errors_come_out(pool);
        nested_calls_are_refused(pool);
        callers_take_turns(pool);
        pauses_lose_no_work(pool);
        long_parts_wake_the_caller(pool);
      }
    }
  }
  for (int i = 0; i < 100; i++) {
    Pool pool({3, 30, false});  // ended while its workers may still be starting
  }
  std::puts("ok");
}
