#include "attention/attention_pool.h"

#include <stdexcept>
#include <string>

#include "cpu/kernels.h"
#include "parallel.h"

namespace mgnet {
namespace {

constexpr double kMicrosecondsPerElement = 1e-4;  // of a map, in each pass over it

void check(const AttendedMaps& maps) {
  if (maps.count < 0 || maps.channels < 1 || maps.positions < 1) {
    throw std::invalid_argument(
        "count must be at least 0, channels and positions at least 1, got " +
        std::to_string(maps.count) + ", " + std::to_string(maps.channels) + ", " +
        std::to_string(maps.positions));
  }
  const int64_t length = maps.channels_last ? maps.channels : maps.positions;
  const int64_t rows = maps.channels_last ? maps.positions : maps.channels;
  if (rows > 1 && maps.stride_row < length) {
    throw std::invalid_argument("rows must not overlap: stride_row is " +
                                std::to_string(maps.stride_row) + " for rows of " +
                                std::to_string(length));
  }
}

void for_maps(const AttendedMaps& maps, int threads, int passes, size_t scratch_floats,
              void (*run)(const AttendedMaps&, const void*, int64_t, float*), const void* what) {
  check(maps);
  if (maps.count == 0) return;
  const double elements = double(maps.channels) * double(maps.positions) * double(maps.count);
  const int used = useful_threads(passes * kMicrosecondsPerElement * elements, maps.count, threads);
  for_units(maps.count, used, scratch_floats * sizeof(float),
            [&](int64_t first, int64_t last, void* scratch) {
              for (int64_t map = first; map < last; ++map) {
                run(maps, what, map, static_cast<float*>(scratch));
              }
            });
}

}  // namespace

void attention_pool(const AttendedMaps& maps, const Attended& found, int threads) {
  for_maps(
      maps, threads, 2, 0,
      [](const AttendedMaps& all, const void* what, int64_t map, float*) {
        selected_kernels().attention(all, *static_cast<const Attended*>(what), map);
      },
      &found);
}

void attention_pool_backward(const AttendedMaps& maps, const AttendedGradients& gradients,
                             int threads) {
  for_maps(
      maps, threads, 4, static_cast<size_t>(std::max<int64_t>(maps.positions, 0)),
      [](const AttendedMaps& all, const void* what, int64_t map, float* scratch) {
        selected_kernels().attention_backward(all, *static_cast<const AttendedGradients*>(what),
                                              map, scratch);
      },
      &gradients);
}

}  // namespace mgnet
