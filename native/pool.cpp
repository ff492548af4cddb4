#include "pool.h"

#include <algorithm>
#include <stdexcept>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace qingtan {
namespace {

thread_local bool inside_a_part = false;

class InsideAPart {
 public:
  InsideAPart() { inside_a_part = true; }
  ~InsideAPart() { inside_a_part = false; }
  InsideAPart(const InsideAPart&) = delete;
  InsideAPart& operator=(const InsideAPart&) = delete;
};

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

#if defined(__linux__)
std::vector<int> allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> processors;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int i = 0; i < CPU_SETSIZE; i++) {
      if (CPU_ISSET(static_cast<size_t>(i), &set)) {
        processors.push_back(i);
      }
    }
  }
  return processors;
}

// The caller's thread is left alone: it is not ours, and its children would inherit the tie. The
// first processor is kept free for it.
void pin(std::thread& worker, int thread) {
  const std::vector<int> processors = allowed_processors();
  if (processors.empty()) {
    return;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(processors[static_cast<size_t>(thread) % processors.size()]), &set);
  pthread_setaffinity_np(worker.native_handle(), sizeof set, &set);
}
#else
void pin(std::thread&, int) {}
#endif

}  // namespace

int usable_processors() {
#if defined(__linux__)
  const int count = static_cast<int>(allowed_processors().size());
#else
  const int count = static_cast<int>(std::thread::hardware_concurrency());
#endif
  return count > 0 ? count : 1;
}

// How long a worker watches: learnt from the waits that outlasted the least of it.
class Pool::Patience {
 public:
  explicit Patience(std::chrono::nanoseconds least) : least_(least) {}

  std::chrono::nanoseconds now() const { return usual_ < kLongest ? 2 * usual_ : least_; }

  void waited(std::chrono::nanoseconds time) {
    if (time > least_) {
      usual_ += (std::min<std::chrono::nanoseconds>(time, 2 * kLongest) - usual_) / 8;
    }
  }

 private:
  // Between two steps of a small model, drawing the next token and telling who waits for it take
  // about so long.
  static constexpr std::chrono::nanoseconds kLongest = std::chrono::microseconds(300);

  const std::chrono::nanoseconds least_;
  std::chrono::nanoseconds usual_ = kLongest;
};

Pool::Pool(const Options& options)
    : moment_(std::chrono::microseconds(options.spin_microseconds)) {
  if (options.threads < 1 || options.spin_microseconds < 0) {
    throw std::invalid_argument("pool: threads must be at least 1, spin_microseconds not negative");
  }
  workers_.reserve(static_cast<size_t>(options.threads) - 1);
  try {
    for (int thread = 1; thread < options.threads; thread++) {
      workers_.emplace_back([this, thread] { work(thread); });
      if (options.pin) {
        pin(workers_.back(), thread);
      }
    }
  } catch (...) {  // the system gives no more threads
    end_workers();
    throw;
  }
}

Pool::~Pool() { end_workers(); }

void Pool::end_workers() {
  {
    const std::lock_guard lock(sleep_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

template <class Condition>
bool Pool::watch(Condition&& done, std::chrono::nanoseconds moment) {
  constexpr int looks_between_times = 16;
  const auto end = std::chrono::steady_clock::now() + moment;
  do {
    for (int i = 0; i < looks_between_times; i++) {
      if (done()) {
        return true;
      }
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

void Pool::run_job(int64_t parts, void* context, Call call) {
  if (inside_a_part) {
    throw std::logic_error("pool: run was called from within a part");
  }
  const std::lock_guard lock(callers_);
  context_ = context;
  call_ = call;
  parts_ = parts;
  error_ = nullptr;
  next_.store(0, std::memory_order_relaxed);
  const bool shared = parts > 1 && !workers_.empty();
  if (shared) {
    open();
  }
  take_parts(0);
  if (shared) {
    close();
  }
  if (error_) {
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void Pool::take_parts(int thread) {
  const InsideAPart inside;
  try {
    for (int64_t part; (part = next_.fetch_add(1, std::memory_order_relaxed)) < parts_;) {
      call_(context_, part, thread);
    }
  } catch (...) {
    next_.store(parts_, std::memory_order_relaxed);
    const std::lock_guard lock(error_lock_);
    if (!error_) {
      error_ = std::current_exception();
    }
  }
}

// Either a worker that goes to sleep is counted before this looks, or it sees the new job: both
// sides write before they read, in the one order of all these (sequentially consistent) accesses.
void Pool::open() {
  const uint64_t number = (state_.load() >> kNumberShift) + 1;
  state_.store(number << kNumberShift | kOpen);
  if (sleepers_.load() > 0) {
    const std::lock_guard lock(sleep_);
    wake_.notify_all();
  }
}

void Pool::close() {
  state_.fetch_and(~kOpen);
  const auto all_left = [this] { return (state_.load() & kCount) == 0; };
  if (watch(all_left, moment_)) {
    return;
  }
  std::unique_lock lock(sleep_);
  caller_sleeps_ = true;
  done_.wait(lock, all_left);
  caller_sleeps_ = false;
}

// Join the open job unless it is the one of number `last`, which becomes its number.
bool Pool::join(uint64_t& last) {
  uint64_t state = state_.load();
  while ((state & kOpen) != 0 && state >> kNumberShift != last) {
    if (state_.compare_exchange_weak(state, state + 1)) {
      last = state >> kNumberShift;
      return true;
    }
  }
  return false;
}

void Pool::leave() {
  const uint64_t before = state_.fetch_sub(1);
  if ((before & (kOpen | kCount)) == 1 && caller_sleeps_.load()) {
    const std::lock_guard lock(sleep_);
    done_.notify_one();
  }
}

bool Pool::anything_new(uint64_t last) const {
  const uint64_t state = state_.load();
  return stop_.load() || ((state & kOpen) != 0 && state >> kNumberShift != last);
}

void Pool::wait_for_work(uint64_t last, Patience& patience) {
  const auto something = [this, last] { return anything_new(last); };
  const auto start = std::chrono::steady_clock::now();
  if (!watch(something, patience.now())) {
    std::unique_lock lock(sleep_);
    sleepers_++;
    wake_.wait(lock, something);
    sleepers_--;
  }
  patience.waited(std::chrono::steady_clock::now() - start);
}

void Pool::work(int thread) {
  uint64_t last = 0;
  Patience patience(moment_);
  while (!stop_.load()) {
    wait_for_work(last, patience);
    if (join(last)) {
      take_parts(thread);
      leave();
    }
  }
}

}  // namespace qingtan
