// What this machine can do at most, on so many threads: bytes read from memory, operations with
// float32 (a fused multiply-add counts as two) and with int8 numbers, each a second. One line of
// JSON. The best of a few short runs, each about as long as a step of a model.
//
//   g++ -std=c++20 -O3 -march=native -pthread ceilings.cpp -o ceilings && ./ceilings THREADS
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int kChains = 12;  // as many as hide the latency, and fit into registers
constexpr int kRuns = 3;
constexpr int64_t kBufferBytes = int64_t{1} << 29;  // beyond any cache
constexpr int64_t kSteps = 8'000'000;

using Floats = float __attribute__((vector_size(kBytes)));
using Clock = std::chrono::steady_clock;
using Words = uint64_t __attribute__((vector_size(kBytes)));

volatile double sink;

// Lets the compiler know nothing of a value: no work on it is merged, or taken out of a loop.
template <typename Vector>
Vector hide(Vector value) {
#if defined(__x86_64__)
  asm volatile("" : "+x"(value));
#else
  asm volatile("" : "+w"(value));
#endif
  return value;
}

double read_memory(const uint8_t* data, int64_t bytes) {
  const auto* words = reinterpret_cast<const Words*>(data);
  Words sums[4] = {};
  for (int64_t i = 0; i < bytes / kBytes; i += 4) {
    for (int j = 0; j < 4; ++j) {
      sums[j] ^= words[i + j];
    }
  }
  return static_cast<double>((sums[0] ^ sums[1] ^ sums[2] ^ sums[3])[0]);
}

double multiply_floats() {
  Floats chains[kChains] = {};
  const Floats factor = hide(Floats{});
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      chains[i] = hide(chains[i] * factor + factor);
    }
  }
  Floats sum = {};
  for (const Floats& chain : chains) {
    sum += chain;
  }
  return static_cast<double>(sum[0]);
}

// One vector of unsigned times signed bytes, added to 32-bit sums by fours; and how many bytes.
#if defined(__AVX512VNNI__)
using Sums = __m512i;
constexpr int kProducts = 64;
Sums dot(Sums sums, Sums left, Sums right) { return _mm512_dpbusd_epi32(sums, left, right); }
#elif defined(__AVXVNNI__)
using Sums = __m256i;
constexpr int kProducts = 32;
Sums dot(Sums sums, Sums left, Sums right) { return _mm256_dpbusd_avx_epi32(sums, left, right); }
#elif defined(__AVX2__)
using Sums = __m256i;
constexpr int kProducts = 32;
Sums dot(Sums sums, Sums left, Sums right) {
  const Sums pairs = _mm256_maddubs_epi16(left, right);
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#elif defined(__ARM_FEATURE_DOTPROD)
using Sums = int32x4_t;
constexpr int kProducts = 16;
Sums dot(Sums sums, Sums left, Sums right) {
  return vdotq_s32(sums, vreinterpretq_s8_s32(left), vreinterpretq_s8_s32(right));
}
#else
#error "no int8 products are known for this processor"
#endif

double multiply_bytes() {
  Sums chains[kChains] = {};
  Sums left = {};
  const Sums right = hide(Sums{});
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      left = hide(left);
      chains[i] = hide(dot(chains[i], left, right));
    }
  }
  for (int i = 1; i < kChains; ++i) {
    chains[0] += chains[i];
  }
  return static_cast<double>(chains[0][0]);
}

// The least seconds of runs in which all threads work at once, by their own clocks: the thread that
// waits for them may be late.
double least_seconds(int threads, const std::function<double(int)>& work) {
  double least = 1e9;
  for (int run = 0; run < kRuns; ++run) {
    std::barrier ready(threads);
    std::vector<Clock::time_point> starts(static_cast<size_t>(threads)), ends(starts);
    std::vector<std::thread> workers;
    for (int thread = 0; thread < threads; ++thread) {
      workers.emplace_back([&, thread] {
        ready.arrive_and_wait();
        starts[static_cast<size_t>(thread)] = Clock::now();
        sink = work(thread);
        ends[static_cast<size_t>(thread)] = Clock::now();
      });
    }
    for (std::thread& worker : workers) {
      worker.join();
    }
    const auto first = *std::min_element(starts.begin(), starts.end());
    const auto last = *std::max_element(ends.begin(), ends.end());
    const std::chrono::duration<double> seconds = last - first;
    least = std::min(least, seconds.count());
  }
  return least;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  const int64_t part = kBufferBytes / threads / (4 * kBytes) * (4 * kBytes);
  auto* data = static_cast<uint8_t*>(std::aligned_alloc(4096, kBufferBytes));
  if (data == nullptr) {
    return 1;
  }
  std::fill(data, data + kBufferBytes, uint8_t{1});
  const double read =
      least_seconds(threads, [&](int thread) { return read_memory(data + thread * part, part); });
  const double floats = least_seconds(threads, [](int) { return multiply_floats(); });
  const double bytes = least_seconds(threads, [](int) { return multiply_bytes(); });
  const double steps = 2.0 * threads * kChains * static_cast<double>(kSteps);
  std::printf("{\"read\": %.4g, \"float32\": %.4g, \"int8\": %.4g}\n",
              static_cast<double>(part * threads) / read, steps * (kBytes / 4) / floats,
              steps * kProducts / bytes);
  std::free(data);
}
