// The kernels of one instruction set. The build compiles this file once for each, with the target
// flags of that set and MGNET_ISA_AVX512, MGNET_ISA_AVX2 or neither defined.
#include "kernels.h"

#include "generic.h"
#include "image_gradient.h"
#include "planar.h"

#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
#define MGNET_VECTORS
#endif

#if defined(MGNET_ISA_AVX512)
#include "simd_avx512.h"
#elif defined(MGNET_ISA_AVX2)
#include "simd_avx2.h"
#endif

namespace mgnet {
namespace MGNET_ISA {
namespace {

int64_t units_per_glimpse(const Job& job) { return job.images.channels; }

size_t scratch_bytes(const Job& job) {
  Arena arena{nullptr, 0};
  take_plane_scratch<double>(arena, job);
  size_t bytes = arena.used;
#if defined(MGNET_VECTORS)
  arena.used = 0;
  take_planar_scratch<Lanes8>(arena, job);
  bytes = bytes > arena.used ? bytes : arena.used;
#endif
#if defined(MGNET_ISA_AVX512)
  arena.used = 0;
  take_planar_scratch<Lanes16>(arena, job);
  bytes = bytes > arena.used ? bytes : arena.used;
#endif
  return bytes;
}

void forward(const Job& job, int64_t first, int64_t last, void* scratch) {
#if defined(MGNET_ISA_AVX512)
  if (planar_takes<Lanes16>(job)) return forward_planar<Lanes16>(job, first, last, scratch);
#endif
#if defined(MGNET_VECTORS)
  if (planar_takes<Lanes8>(job)) return forward_planar<Lanes8>(job, first, last, scratch);
#endif
  switch (job.images.type) {
    case kFloat32:
      return forward_generic<Float32>(job, first, last, scratch);
    case kFloat64:
      return forward_generic<Float64>(job, first, last, scratch);
    case kFloat16:
      return forward_generic<Float16>(job, first, last, scratch);
    case kBFloat16:
      return forward_generic<BFloat16>(job, first, last, scratch);
    default:
      return forward_generic<UInt8>(job, first, last, scratch);
  }
}

void backward_region(const Job& job, int64_t first, int64_t last, double* sums, void* scratch) {
#if defined(MGNET_ISA_AVX512)
  if (planar_takes<Lanes16>(job)) {
    return backward_region_planar<Lanes16>(job, first, last, sums, scratch);
  }
#endif
#if defined(MGNET_VECTORS)
  if (planar_takes<Lanes8>(job)) {
    return backward_region_planar<Lanes8>(job, first, last, sums, scratch);
  }
#endif
  switch (job.images.type) {
    case kFloat32:
      return backward_region_generic<Float32>(job, first, last, sums, scratch);
    case kFloat64:
      return backward_region_generic<Float64>(job, first, last, sums, scratch);
    case kFloat16:
      return backward_region_generic<Float16>(job, first, last, sums, scratch);
    case kBFloat16:
      return backward_region_generic<BFloat16>(job, first, last, sums, scratch);
    default:
      return backward_region_generic<UInt8>(job, first, last, sums, scratch);
  }
}

size_t image_scratch_bytes(const Job& job, const ImageGradient& gradient) {
  Arena arena{nullptr, 0};
  take_glimpse_tables<double>(arena, job);
  take_image_row_scratch<double>(arena, job);
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

extern const Kernels kernels = {MGNET_ISA_NAME,  units_per_glimpse,   scratch_bytes, forward,
                                backward_region, image_scratch_bytes, backward_image};

}  // namespace MGNET_ISA
}  // namespace mgnet
