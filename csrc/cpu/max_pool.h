// A row of a max-pool. NaN wins over numbers, as in PyTorch.
#pragma once

#include "cpu/isa.h"
#include "job.h"

namespace mgnet {
namespace MGNET_ISA {

static void max_pool_row(const PoolShape& s, const float* map, int64_t y, float* output) {
  const int64_t top = y * s.stride - s.padding;
  const int64_t first_row = top < 0 ? 0 : top;
  const int64_t last_row = top + s.kernel < s.height ? top + s.kernel : s.height;
  const int64_t columns = (s.width + 2 * s.padding - s.kernel) / s.stride + 1;
  for (int64_t x = 0; x < columns; ++x, output += s.channels) {
    const int64_t left = x * s.stride - s.padding;
    const int64_t first = left < 0 ? 0 : left;
    const int64_t last = left + s.kernel < s.width ? left + s.kernel : s.width;
    float* MGNET_RESTRICT to = output;
    for (int64_t row = first_row; row < last_row; ++row) {
      for (int64_t column = first; column < last; ++column) {
        const float* MGNET_RESTRICT from = map + (row * s.width + column) * s.channels;
        const bool is_first = row == first_row && column == first;
        for (int64_t c = 0; is_first && c < s.channels; ++c) to[c] = from[c];
        for (int64_t c = 0; !is_first && c < s.channels; ++c) {
          to[c] = from[c] <= to[c] || to[c] != to[c] ? to[c] : from[c];
        }
      }
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
