// What the gradient of a filtered glimpse gives to its image.
#pragma once

#include "cpu/filter/tables.h"
#include "cpu/generic.h"

namespace mgnet {
namespace MGNET_ISA {

template <class Real>
struct ScatterScratch {
  FilterTables<Real> tables;
  Real* line;
};

template <class Real>
MGNET_INLINE ScatterScratch<Real> take_scatter_scratch(Arena& arena, const Job& job) {
  ScatterScratch<Real> scratch;
  scratch.tables = take_filter_tables<Real>(arena, job);
  scratch.line = Arena::take<Real>(arena, job.images.width);
  return scratch;
}

// Adds what a glimpse's gradient gives to one plane of its image's gradient.
template <class Real>
static void scatter_filtered(const Job& job, int64_t n, int64_t channel, Real* plane,
                             int64_t stride_h, int64_t stride_w, const FilterTables<Real>& tables,
                             Real* row, Real* line) {
  const Real scale = constants_of<Real>(job, channel).scale;
  const int64_t first = tables.first_column, columns = tables.last_column - first;
  if (columns == 0) return;
  for (int64_t i = 0; i < job.glimpses.height; ++i) {
    const FilterTap<Real>& tap = tables.rows[i];
    if (is_empty(tap)) continue;
    load_row(job.glimpses.type, row, job.glimpses.data,
             glimpse_row_offset(job.glimpses, n, channel, i), job.glimpses.stride_w,
             job.glimpses.width);
    for (int64_t x = 0; x < columns; ++x) line[x] = (Real)0;
    for (int64_t j = 0; j < job.glimpses.width; ++j) {
      const FilterTap<Real>& column = tables.columns[j];
      const Real value = row[j] * scale;
      for (int half = 0; half < kHalves; ++half) {
        Real* to = line + (column.edge[half] - first);
        const int64_t count = column.edge[half + 1] - column.edge[half];
        const Line<Real> weight = column.weight[half];
        for (int64_t k = 0; k < count; ++k) {
          to[k] = multiply_add(value, multiply_add(weight.step, (Real)k, weight.start), to[k]);
        }
      }
    }
    for (int half = 0; half < kHalves; ++half) {
      for (int64_t y = tap.edge[half]; y < tap.edge[half + 1]; ++y) {
        const Line<Real> along = tap.weight[half];
        const Real weight = multiply_add(along.step, (Real)(y - tap.edge[half]), along.start);
        Real* to = plane + y * stride_h + first * stride_w;
        if (stride_w == 1) {
          for (int64_t x = 0; x < columns; ++x) to[x] = multiply_add(weight, line[x], to[x]);
        } else {
          for (int64_t x = 0; x < columns; ++x) {
            to[x * stride_w] = multiply_add(weight, line[x], to[x * stride_w]);
          }
        }
      }
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
