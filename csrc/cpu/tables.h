// The part of a glimpse that does not depend on the pixels: one table per axis. The map is
// separable, so w + h entries, computed in double, serve all rows, columns and channels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/isa.h"
#include "element.h"
#include "glimpse_math.h"
#include "job.h"
#include "region.h"

namespace mgnet {
namespace MGNET_ISA {

// Tables are padded to whole vectors of the widest instruction set; the padding holds valid taps.
enum { kPadLanes = 16 };

MGNET_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
MGNET_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
MGNET_INLINE int64_t padded(int64_t count) {
  return (count + kPadLanes - 1) / kPadLanes * kPadLanes;
}

// Hands out 64-byte aligned pieces of a thread's scratch memory. With no memory it only counts.
struct Arena {
  char* begin;
  size_t used;
  template <class T>
  MGNET_INLINE T* take(Arena& arena, int64_t count) {
    T* piece = (T*)(arena.begin + arena.used);
    arena.used += ((size_t)count * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
};

template <class Real>
struct AxisTable {
  int32_t* index;
  Real* left;
  Real* right;
  Real* left_slope;
  Real* right_slope;
  Real* weight;  // left + right: 1 inside the image
  Real* slope;   // left_slope + right_slope: 0 inside the image
  double* base;
  double*
      by_scale;  // derivative of a sample's position by the scale: base, where it is not clamped
};

template <class Real>
MGNET_INLINE AxisTable<Real> take_axis_table(Arena& arena, int64_t count, bool clamped) {
  const int64_t size = padded(count);
  AxisTable<Real> table;
  table.index = Arena::take<int32_t>(arena, size);
  table.left = Arena::take<Real>(arena, size);
  table.right = Arena::take<Real>(arena, size);
  table.left_slope = Arena::take<Real>(arena, size);
  table.right_slope = Arena::take<Real>(arena, size);
  table.weight = Arena::take<Real>(arena, size);
  table.slope = Arena::take<Real>(arena, size);
  table.base = Arena::take<double>(arena, size);
  table.by_scale = clamped ? Arena::take<double>(arena, size) : table.base;
  return table;
}

// The positions do not depend on the region: once a call.
template <class Real>
static void fill_base_positions(const AxisTable<Real>& table, int64_t count, bool align_corners) {
  const int64_t entries = padded(count);
  for (int64_t i = 0; i < entries; ++i) {
    table.base[i] = base_position(i, count, align_corners);
  }
}

// A vector of doubles in the compiler's own notation, lowered to what the target has.
#if defined(MGNET_ISA_AVX512)
enum { kDoubles = 8 };
#elif defined(MGNET_ISA_AVX2)
enum { kDoubles = 4 };
#else
enum { kDoubles = 2 };
#endif
typedef double Doubles __attribute__((vector_size(kDoubles * sizeof(double))));

template <class To>
MGNET_INLINE void convert_to(To* to, Doubles from) {
  typedef To Converted __attribute__((vector_size(kDoubles * sizeof(To))));
  *(Converted*)to = __builtin_convertvector(from, Converted);
}

template <class Real, bool kSlopes>
static void fill_axis_table(const AxisTable<Real>& table, double scale, double shift, int64_t size,
                            int64_t count, const Sampling& sampling) {
  const int64_t entries = padded(count);
  const bool align = sampling.align_corners, border = sampling.padding == kBorder;
  const bool clamped = clamps(sampling);
  for (int64_t i = 0; i < entries; i += kDoubles) {
    const Doubles base = *(const Doubles*)(table.base + i);
    Offset<Doubles> offset = {scale * base, base};
    if (clamped) {
      offset = clamped_offset(base, scale, size);
      *(Doubles*)(table.by_scale + i) = offset.by_scale;
    }
    const Doubles pixel = source_pixel(offset.position, shift, size, align);
    const Tap<Doubles> tap = fold_tap(pixel, size, border);
    convert_to(table.index + i, tap.index);
    convert_to(table.left + i, tap.left);
    convert_to(table.right + i, tap.right);
    convert_to(table.weight + i, tap.left + tap.right);
    if (!kSlopes) continue;
    convert_to(table.left_slope + i, tap.left_slope);
    convert_to(table.right_slope + i, tap.right_slope);
    convert_to(table.slope + i, tap.left_slope + tap.right_slope);
  }
}

// The tables of the glimpse that a thread is working on.
template <class Real>
struct GlimpseTables {
  AxisTable<Real> columns, rows;
  Region region;
  Source source;
};

template <class Real>
MGNET_INLINE GlimpseTables<Real> take_glimpse_tables(Arena& arena, const Job& job) {
  GlimpseTables<Real> tables;
  const bool clamped = clamps(job.sampling);
  tables.columns = take_axis_table<Real>(arena, job.glimpses.width, clamped);
  tables.rows = take_axis_table<Real>(arena, job.glimpses.height, clamped);
  if (arena.begin) {
    fill_base_positions(tables.columns, job.glimpses.width, job.sampling.align_corners);
    fill_base_positions(tables.rows, job.glimpses.height, job.sampling.align_corners);
  }
  return tables;
}

template <class Real, bool kSlopes>
static void fill_glimpse_tables(GlimpseTables<Real>& tables, const Job& job, int64_t n) {
  tables.region = read_region(job.regions, n);
  tables.source = image_source(job.images, image_of_glimpse(job.regions, n));
  if (!tables.region.finite) return;
  fill_axis_table<Real, kSlopes>(tables.columns, tables.region.scale_x, tables.region.x,
                                 tables.source.width, job.glimpses.width, job.sampling);
  fill_axis_table<Real, kSlopes>(tables.rows, tables.region.scale_y, tables.region.y,
                                 tables.source.height, job.glimpses.height, job.sampling);
}

}  // namespace MGNET_ISA
}  // namespace mgnet
