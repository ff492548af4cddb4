// Threads that work on parts of one job after another.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace qingtan {

// Processors that this process may use.
int usable_processors();

// `threads` threads, of which the caller of `run` is one. Workers that find nothing to do watch for
// work for a moment and then sleep; a job does not wait for those that have not woken by its end.
// Where the work has lately come soon after that moment they watch longer, for waking takes long;
// where it has not, others may need the processor.
class Pool {
 public:
  struct Options {
    int threads = 1;
    int spin_microseconds = 30;  // how long an idle thread watches at least before it sleeps
    bool pin = false;            // tie each worker to a processor of its own (Linux)
  };

  // Throws std::invalid_argument: no thread at all, or a negative time.
  explicit Pool(const Options& options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Call function(part, thread) once for each part from 0 to `parts` − 1, on any thread and in any
  // order, and return when all are done; thread, from 0 to threads() − 1, is for scratch memory.
  // After an exception no more parts are begun, and the first one is thrown here. Jobs of several
  // callers run one after the other.
  //
  // Throws std::logic_error where it is called from within a part, of whichever pool.
  template <class Function>
  void run(int64_t parts, Function&& function) {
    using Bare = std::remove_reference_t<Function>;
    run_job(parts, const_cast<void*>(static_cast<const void*>(&function)),
            [](void* context, int64_t part, int thread) {
              (*static_cast<Bare*>(context))(part, thread);
            });
  }

 private:
  using Call = void (*)(void* context, int64_t part, int thread);
  class Patience;

  // One word says which job is the last, whether threads may still join it, and how many workers
  // have and are not done: a worker joins all at once or not at all.
  static constexpr uint64_t kOpen = uint64_t{1} << 31;
  static constexpr uint64_t kCount = kOpen - 1;
  static constexpr int kNumberShift = 32;

  void end_workers();
  void run_job(int64_t parts, void* context, Call call);
  void work(int thread);
  void take_parts(int thread);
  void open();
  void close();
  bool join(uint64_t& last);
  void leave();
  void wait_for_work(uint64_t last, Patience& patience);
  bool anything_new(uint64_t last) const;

  // Watch `done` for a moment; false if it did not come true.
  template <class Condition>
  static bool watch(Condition&& done, std::chrono::nanoseconds moment);

  const std::chrono::nanoseconds moment_;
  std::mutex callers_;

  // The job: written before it is opened, read by those that joined.
  void* context_ = nullptr;
  Call call_ = nullptr;
  int64_t parts_ = 0;
  std::exception_ptr error_;
  std::mutex error_lock_;

  alignas(64) std::atomic<int64_t> next_ = 0;
  alignas(64) std::atomic<uint64_t> state_ = 0;
  alignas(64) std::atomic<int> sleepers_ = 0;
  std::atomic<bool> caller_sleeps_ = false;
  std::atomic<bool> stop_ = false;
  std::mutex sleep_;
  std::condition_variable wake_;
  std::condition_variable done_;

  std::vector<std::thread> workers_;
};

}  // namespace qingtan
