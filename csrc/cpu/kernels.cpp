// The kernels of one instruction set. The build compiles this file once for each, with the target
// flags of that set and MGNET_ISA_AVX512, MGNET_ISA_AVX2 or neither defined.
#include "cpu/kernels.h"

#include "cpu/attention.h"
#include "cpu/convolution/part.h"
#include "cpu/convolution/winograd.h"
#include "cpu/dense.h"
#include "cpu/filter/paths.h"
#include "cpu/generic.h"
#include "cpu/image_gradient.h"
#include "cpu/max_pool.h"

#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
#define MGNET_VECTORS
#include "cpu/interleaved.h"
#include "cpu/planar.h"
#include "cpu/simd_avx2.h"
#include "cpu/simd_avx2_narrow.h"
#endif
#if defined(MGNET_ISA_AVX512)
#include "cpu/simd_avx512.h"
#endif

namespace mgnet {
namespace MGNET_ISA {
namespace {

// One way to compute a job: all of a job's units go the same way.
struct Path {
  int64_t (*units_per_glimpse)(const Job&);
  size_t (*scratch_bytes)(const Job&);
  void (*forward)(const Job&, int64_t, int64_t, void*);
  void (*backward_region)(const Job&, int64_t, int64_t, double*, void*);
};

int64_t one_unit_per_channel(const Job& job) { return job.images.channels; }

template <class Real>
size_t plane_scratch_bytes(const Job& job) {
  Arena arena{nullptr, 0};
  take_plane_scratch<Real>(arena, job);
  return arena.used;
}

template <class Element>
constexpr Path kGenericPath = {one_unit_per_channel, plane_scratch_bytes<typename Element::Real>,
                               forward_generic<Element>, backward_region_generic<Element>};

template <class Element>
size_t filter_scratch_bytes(const Job& job) {
  Arena arena{nullptr, 0};
  take_filter_scratch<typename Element::Real>(arena, job);
  return arena.used;
}

template <class Element>
constexpr Path kFilterPath = {filter_units, filter_scratch_bytes<Element>,
                              forward_filtered<Element>, backward_region_filtered<Element>};

#if defined(MGNET_VECTORS)
template <class Lanes>
size_t planar_scratch_bytes(const Job& job) {
  Arena arena{nullptr, 0};
  take_planar_scratch<Lanes>(arena, job);
  return arena.used;
}

size_t interleaved_scratch_bytes(const Job& job) {
  Arena arena{nullptr, 0};
  take_interleaved_scratch(arena, job);
  return arena.used;
}

template <class Lanes>
constexpr Path kPlanarPath = {one_unit_per_channel, planar_scratch_bytes<Lanes>,
                              forward_planar<Lanes>, backward_region_planar<Lanes>};

int64_t one_unit_per_chunk(const Job& job) { return interleaved_chunks(job); }

template <class Pixels>
constexpr Path kInterleavedPath = {one_unit_per_chunk, interleaved_scratch_bytes,
                                   forward_interleaved<Pixels>,
                                   backward_region_interleaved<Pixels>};

const Path* vector_path(const Job& job) {
  if (interleaved_takes(job)) {
    switch (job.images.type) {
      case kFloat32:
        return &kInterleavedPath<FloatPixels>;
      case kFloat16:
        return &kInterleavedPath<Float16Pixels>;
      case kBFloat16:
        return &kInterleavedPath<BFloat16Pixels>;
      default:
        return &kInterleavedPath<BytePixels>;
    }
  }
#if defined(MGNET_ISA_AVX512)
  if (planar_takes<Lanes16>(job)) return &kPlanarPath<Lanes16>;
#endif
  if (planar_takes<Lanes8>(job)) return &kPlanarPath<Lanes8>;
  if (planar_takes<NarrowLanes8<BFloat16Pairs>>(job)) {
    return &kPlanarPath<NarrowLanes8<BFloat16Pairs>>;
  }
  if (planar_takes<NarrowLanes8<Float16Pairs>>(job)) {
    return &kPlanarPath<NarrowLanes8<Float16Pairs>>;
  }
  if (planar_takes<NarrowLanes8<BytePairs>>(job)) return &kPlanarPath<NarrowLanes8<BytePairs>>;
  return nullptr;
}
#endif

template <class Element>
constexpr const Path& path_for_any(bool filter) {
  return filter ? kFilterPath<Element> : kGenericPath<Element>;
}

const Path& path_of(const Job& job) {
  const bool filter = filter_takes(job);
#if defined(MGNET_VECTORS)
  if (!filter) {
    if (const Path* path = vector_path(job)) return *path;
  }
#endif
  switch (job.images.type) {
    case kFloat32:
      return path_for_any<Float32>(filter);
    case kFloat64:
      return path_for_any<Float64>(filter);
    case kFloat16:
      return path_for_any<Float16>(filter);
    case kBFloat16:
      return path_for_any<BFloat16>(filter);
    default:
      return path_for_any<UInt8>(filter);
  }
}

int64_t units_per_glimpse(const Job& job) { return path_of(job).units_per_glimpse(job); }

size_t scratch_bytes(const Job& job) { return path_of(job).scratch_bytes(job); }

void forward(const Job& job, int64_t first, int64_t last, void* scratch) {
  path_of(job).forward(job, first, last, scratch);
}

void backward_region(const Job& job, int64_t first, int64_t last, double* sums, void* scratch) {
  path_of(job).backward_region(job, first, last, sums, scratch);
}

size_t image_scratch_bytes(const Job& job, const ImageGradient& gradient) {
  Arena arena{nullptr, 0};
  take_glimpse_tables<double>(arena, job);
  take_image_row_scratch<double>(arena, job);
  if (job.sampling.antialias) take_scatter_scratch<double>(arena, job);
  Arena::take<float>(arena, plane_scratch_pixels(job, gradient));
  return arena.used;
}

void backward_image(const Job& job, const ImageGradient& gradient, int64_t first, int64_t last,
                    void* scratch) {
  if (gradient.type == kFloat64) {
    backward_image_planes<double>(job, gradient, first, last, scratch);
  } else {
    backward_image_planes<float>(job, gradient, first, last, scratch);
  }
}

}  // namespace

extern const Kernels kernels = {
    MGNET_ISA_NAME,     units_per_glimpse,         scratch_bytes,  forward,
    backward_region,    image_scratch_bytes,       backward_image, dense,
    SumLanes::kBlocks,  convolution_scratch_bytes, convolve,       max_pool_row,
    winograd_transform, winograd_convolve,         attention,      attention_backward};

}  // namespace MGNET_ISA
}  // namespace mgnet
