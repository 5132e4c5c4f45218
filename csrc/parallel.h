// Spreads work over threads. Only for objects that are compiled for the baseline instruction set.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#ifdef _OPENMP
#include <omp.h>
#endif

namespace mgnet {

struct AlignedMemory {
  explicit AlignedMemory(size_t bytes)
      : data(
            static_cast<char*>(::operator new(std::max<size_t>(bytes, 64), std::align_val_t(64)))) {
  }
  ~AlignedMemory() { ::operator delete(data, std::align_val_t(64)); }
  AlignedMemory(const AlignedMemory&) = delete;
  AlignedMemory& operator=(const AlignedMemory&) = delete;
  char* data;
};

// True in a process made by fork(). OpenMP's threads stay in the parent, and a parallel
// region in the child would wait for them forever.
inline std::atomic<bool> forked{false};
#if defined(__unix__) || defined(__APPLE__)
inline const int fork_handler = pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
#endif

// Work below this is not worth waking a thread for.
constexpr double kParallelMicroseconds = 50.0;

inline int useful_threads(double microseconds, int64_t units, int threads) {
#ifdef _OPENMP
  if (threads <= 1 || microseconds < kParallelMicroseconds || forked.load()) return 1;
  const double worth = microseconds / (kParallelMicroseconds / 2);
  return static_cast<int>(std::min<double>({double(threads), worth, double(units)}));
#else
  (void)microseconds, (void)units, (void)threads;
  return 1;
#endif
}

// Calls body(first, last, scratch) for contiguous ranges of units. `threads` comes from
// useful_threads; with one thread no parallel region is entered.
template <class Body>
void for_units(int64_t units, int threads, size_t scratch_bytes, const Body& body) {
  const size_t piece = (scratch_bytes + 63) / 64 * 64;
  AlignedMemory memory(piece * static_cast<size_t>(std::max(threads, 1)));
  if (threads <= 1) {
    body(int64_t{0}, units, static_cast<void*>(memory.data));
    return;
  }
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
  {
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    const int64_t first = units * me / team, last = units * (me + 1) / team;
    if (first < last) body(first, last, static_cast<void*>(memory.data + piece * me));
  }
#endif
}

}  // namespace mgnet
