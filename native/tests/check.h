// What the tests of kernels have in common. A test says what is wrong and ends with 1, or "ok".
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <random>
#include <string>

#include "kernels.h"

namespace qingtan::testing {

using Random = std::mt19937;

inline int failures = 0;

inline void expect(bool good, const Kernels& kernels, const std::string& what) {
  if (!good && ++failures <= 20) {
    std::printf("wrong, %s: %s\n", kernels.name, what.c_str());
  }
}

// Numbers on the heap, each byte 0xA5 at first (of floats, finite and unlike any result). What is
// written beyond them is found by the address sanitizer, which finds what is read as well, or else
// by the bytes that follow them.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t count)
      : count_(count), data_(static_cast<T*>(operator new(bytes() + kGuard, kAlignment))) {
    std::memset(static_cast<void*>(data_), kUnwritten, bytes() + kGuard);
  }
  ~Guarded() { operator delete(data_, kAlignment); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  int64_t size() const { return count_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

  bool intact() const {
    return all_unwritten(reinterpret_cast<const uint8_t*>(data_ + count_), kGuard);
  }

  // Nothing has been written to `count` numbers from the one at `begin`.
  bool unwritten(int64_t begin, int64_t count) const {
    return all_unwritten(reinterpret_cast<const uint8_t*>(data_ + begin),
                         static_cast<size_t>(count) * sizeof(T));
  }

  bool operator==(const Guarded& other) const {
    return count_ == other.count_ && std::memcmp(data_, other.data_, bytes()) == 0;
  }

  void fill(Random& random, float deviation = 1.0F) {
    std::normal_distribution<float> numbers(0.0F, deviation);
    for (int64_t i = 0; i < count_; ++i) {
      data_[i] = numbers(random);
    }
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  static constexpr uint8_t kUnwritten = 0xA5;
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kGuard = 0;
#else
  static constexpr size_t kGuard = 256;
#endif

  static bool all_unwritten(const uint8_t* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      if (bytes[i] != kUnwritten) {
        return false;
      }
    }
    return true;
  }

  size_t bytes() const { return static_cast<size_t>(count_) * sizeof(T); }

  int64_t count_;
  T* data_;
};

using Floats = Guarded<float>;

// Runs `test(kernels)` for every table that this processor can run.
template <class Test>
int for_each_table(Test&& test) {
  for (int i = 0; i < kernel_count(); ++i) {
    test(kernel_table(i));
    std::printf("%s done\n", kernel_table(i).name);
  }
  std::puts(failures == 0 ? "ok" : "failed");
  return failures == 0 ? 0 : 1;
}

}  // namespace qingtan::testing
