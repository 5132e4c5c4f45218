// The path of glimpses that need the filter. A unit is a few rows of one channel, or of all
// channels where those of a pixel lie side by side.
#pragma once

#include "cpu/filter/columns.h"
#include "cpu/filter/rows.h"

namespace mgnet {
namespace MGNET_ISA {

enum { kUnitRows = 16 };  // of the glimpse

// Whether a job, of one glimpse, takes this path.
static bool filter_takes(const Job& job) {
  if (!job.sampling.antialias) return false;
  return needs_filter(job, read_region(job.regions, 0));
}

MGNET_INLINE int64_t row_units(const Job& job) {
  return (job.glimpses.height + kUnitRows - 1) / kUnitRows;
}

static int64_t filter_units(const Job& job) {
  const int64_t together = channels_together(job.images);
  return together == 0 ? 0 : job.images.channels / together * row_units(job);
}

// What a unit computes.
struct FilterUnit {
  int64_t channel, together, first_row, last_row;
};

MGNET_INLINE FilterUnit filter_unit(const Job& job, int64_t unit) {
  const int64_t per_channel = row_units(job);
  FilterUnit out;
  out.together = channels_together(job.images);
  out.channel = unit / per_channel;
  out.first_row = unit % per_channel * kUnitRows;
  out.last_row = smaller(out.first_row + kUnitRows, job.glimpses.height);
  return out;
}

template <class Element>
MGNET_INLINE PixelRows pixel_rows(const Job& job, const FilterUnit& unit,
                                  const FilterTables<typename Element::Real>& tables) {
  const Images& images = job.images;
  const int64_t columns = tables.last_column - tables.first_column;
  PixelRows rows;
  rows.data = (const typename Element::Stored*)images.data + unit.channel * images.stride_c +
              tables.first_column * images.stride_w;
  rows.stride_h = images.stride_h;
  rows.stride = unit.together > 1 ? 1 : images.stride_w;
  // Whole vectors, as far as the image goes: what is beyond the last column is not used.
  enum { kWhole = 128 };
  rows.elements = smaller((columns * unit.together + kWhole - 1) / kWhole * kWhole,
                          (images.width - tables.first_column) * unit.together);
  return rows;
}

template <class Real>
MGNET_INLINE void begin_sums(RowSums<Real>* sums) {
  for (int k = 0; k < kHalves; ++k) sums[k].first = 1, sums[k].last = 0;
}

template <class Element>
static void forward_filtered(const Job& job, int64_t first, int64_t last, void* memory) {
  using Real = typename Element::Real;
  Arena arena{(char*)memory, 0};
  FilterScratch<Real> scratch = take_filter_scratch<Real>(arena, job);
  FilterTables<Real>& tables = scratch.tables;
  fill_filter_tables(tables, job, read_region(job.regions, 0), image_source(job.images, 0));
  const int64_t columns = tables.last_column - tables.first_column;
  for (int64_t u = first; u < last; ++u) {
    const FilterUnit unit = filter_unit(job, u);
    const PixelRows pixels = pixel_rows<Element>(job, unit, tables);
    begin_sums(scratch.sums);
    for (int64_t i = unit.first_row; i < unit.last_row; ++i) {
      const FilterTap<Real>& row = tables.rows[i];
      const bool sees = !is_empty(row) && columns > 0;
      const Real* line = nullptr;
      if (sees) {
        int of[kHalves];
        filter_rows<Element>(row, pixels, scratch, scratch.sums, of);
        line = split_channels(scratch.lines[0], unit.together, columns, scratch.channels,
                              scratch.channel_stride);
      }
      for (int64_t c = 0; c < unit.together; ++c) {
        const int64_t channel = unit.channel + c;
        const Constants<Real> constants = constants_of<Real>(job, channel);
        if (sees) {
          filter_columns(tables.dots, line + c * scratch.channel_stride, job.glimpses.width,
                         scratch.row);
          if (job.sampling.scale) {
            const Real bias = constants.bias * row.total;
            for (int64_t j = 0; j < job.glimpses.width; ++j) {
              scratch.row[j] =
                  multiply_add(constants.scale, scratch.row[j], bias * tables.dots.totals[j]);
            }
          }
        } else {
          for (int64_t j = 0; j < job.glimpses.width; ++j) scratch.row[j] = (Real)0;
        }
        store_row(job.glimpses.type, scratch.row, job.glimpses.data,
                  glimpse_row_offset(job.glimpses, 0, channel, i), job.glimpses.stride_w,
                  job.glimpses.width);
      }
    }
  }
}

// The share of a row in the derivatives by the region's scale and place along x.
template <class Real>
static void add_along_x(const Job& job, const FilterTables<Real>& tables, const Real* line,
                        const Real* gradient, double scale, double bias, double* to) {
  ColumnSums<Real> along = ColumnSums<Real>::along(line, tables.first_column);
  for (int64_t j = 0; j < job.glimpses.width; ++j) {
    const FilterTap<Real>& column = tables.columns[j];
    ColumnSums<Real>::move(along, column);
    const double value = (double)gradient[j];
    to[0] += value * (scale * (double)ColumnSums<Real>::filtered(along, column.by_scale) +
                      bias * (double)column.total_by_scale);
    to[2] += value * (scale * (double)ColumnSums<Real>::filtered(along, column.by_shift) +
                      bias * (double)column.total_by_shift);
  }
}

template <class Real>
static double weighted_sum(const ColumnDots<Real>& dots, int64_t count, const Real* samples,
                           const Real* gradient, double scale, double bias) {
  double sum = 0.0;
  for (int64_t j = 0; j < count; ++j) {
    sum += (double)gradient[j] * (scale * (double)samples[j] + bias * (double)dots.totals[j]);
  }
  return sum;
}

template <class Element>
static void backward_region_filtered(const Job& job, int64_t first, int64_t last, double* sums,
                                     void* memory) {
  using Real = typename Element::Real;
  Arena arena{(char*)memory, 0};
  FilterScratch<Real> scratch = take_filter_scratch<Real>(arena, job);
  FilterTables<Real>& tables = scratch.tables;
  fill_filter_tables(tables, job, read_region(job.regions, 0), image_source(job.images, 0));
  const int64_t columns = tables.last_column - tables.first_column;
  for (int64_t u = first; u < last; ++u) {
    double* to = sums + u * kRegionSums;
    for (int k = 0; k < kRegionSums; ++k) to[k] = 0.0;
    const FilterUnit unit = filter_unit(job, u);
    const PixelRows pixels = pixel_rows<Element>(job, unit, tables);
    begin_sums(scratch.sums);
    for (int64_t i = unit.first_row; columns > 0 && i < unit.last_row; ++i) {
      const FilterTap<Real>& row = tables.rows[i];
      if (is_empty(row)) continue;
      int of[kHalves];
      filter_rows<Element>(row, pixels, scratch, scratch.sums, of);
      const Line<Real>* kinds[3] = {row.weight, row.by_scale, row.by_shift};
      for (int k = 1; k < 3; ++k) {
        combine(scratch.lines[k], pixels.elements, kinds[k], scratch.sums[of[kBefore]],
                scratch.sums[of[kBehind]]);
      }
      const double totals[3] = {row.total, row.total_by_scale, row.total_by_shift};
      for (int k = 0; k < 3; ++k) {
        const Real* lines = split_channels(scratch.lines[k], unit.together, columns,
                                           scratch.channels, scratch.channel_stride);
        for (int64_t c = 0; c < unit.together; ++c) {
          const int64_t channel = unit.channel + c;
          const Constants<Real> constants = constants_of<Real>(job, channel);
          load_row(job.glimpses.type, scratch.row, job.glimpses.data,
                   glimpse_row_offset(job.glimpses, 0, channel, i), job.glimpses.stride_w,
                   job.glimpses.width);
          const Real* line = lines + c * scratch.channel_stride;
          const double bias = (double)constants.bias * totals[k];
          if (k == 0) {
            add_along_x(job, tables, line, scratch.row, (double)constants.scale, bias, to);
          } else {
            filter_columns(tables.dots, line, job.glimpses.width, scratch.samples);
            to[k == 1 ? 1 : 3] += weighted_sum(tables.dots, job.glimpses.width, scratch.samples,
                                               scratch.row, (double)constants.scale, bias);
          }
        }
      }
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
