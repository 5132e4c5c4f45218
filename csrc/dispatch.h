// The operations that the bindings and the tests call. They check the job, choose the instruction
// set, spread the work over threads and add up partial sums in a fixed order. Errors are
// std::invalid_argument with a sentence that names the argument.
#pragma once

#include <string>
#include <vector>

#include "job.h"

namespace mgnet {

// Instruction sets compiled in and able to run here, best first. The last is always "portable".
std::vector<std::string> available_isas();
std::string selected_isa();
// For tests and benchmarks; the choice holds for the whole process.
void select_isa(const std::string& name);

// Rough single-thread duration of a forward pass, to decide about threads and the GIL.
double estimated_microseconds(const Job& job);

// Types, sizes and modes: what can be checked before the addresses are known.
void check_layout(const Job& job, bool pooled);
// The same and which addresses are given; reads no memory, which may be that of another device.
void check_job_without_index(const Job& job);
// The same and the values of image_index.
void check_job(const Job& job);

void glimpse_forward(const Job& job, int threads);

// region_gradient: contiguous [count, regions.columns] of the type of the regions.
void glimpse_backward_region(const Job& job, void* region_gradient, int threads);

// Fills the whole gradient of the images; job.glimpses is the incoming gradient. first_of_image and
// glimpse_order of `gradient` are filled in here.
void glimpse_backward_image(const Job& job, ImageGradient gradient, int threads);

struct Logits {  // [count, 3]
  const void* data;
  int type;
  int64_t stride_n, stride_k;
  double scale_min, scale_max;
};

// p = sigmoid(logits), s = p0 * (scale_max - scale_min) + scale_min, (x, y) = (2 p - 1) (1 - s).
// Writes job.regions.data ([count, 3], read back for the sampling, so both see the same rounding).
void glimpse_from_logits_forward(const Job& job, const Logits& logits, int threads);

struct LogitsGradient {
  const void* region_gradient;  // incoming [count, 3] of the type of the regions, or null
  int64_t stride_n, stride_k;
  bool glimpse_gradient;  // false: only the incoming region gradient counts
  double gradient_scale;  // between sigmoid and range map
  void* gradient;         // contiguous [count, 3] of the type of the logits
};

// job.regions must be the regions that the forward pass returned.
void glimpse_from_logits_backward(const Job& job, const Logits& logits,
                                  const LogitsGradient& gradient, int threads);

}  // namespace mgnet
