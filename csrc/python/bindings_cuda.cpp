// The CUDA functions of mgnet_fast._native: plans and calls as in bindings.cpp, without pools. All
// addresses are of the device. Every function ends with
//
//   QUEUE   device, stream
//
// and launches there without waiting, so an image_index out of range cannot raise: it gives NaN.
#include "gpu/glimpse_cuda.h"
#include "gpu/plan.h"
#include "python/arguments.h"

namespace {

CudaQueue queue_of(Call& call) {
  const int device = call.code();
  return {device, call.pointer()};
}

GpuLogits gpu_logits(const Logits& logits) {
  return {logits.data,     logits.type,      logits.stride_n,
          logits.stride_k, logits.scale_min, logits.scale_max};
}

template <class Body>
PyObject* launched(const char* function, PyObject* const* values, Py_ssize_t count,
                   Py_ssize_t others, const Body& body) {
  return called(function, values, count, others + 2, [&](Call& call) {
    if (call.plan.pooled) throw std::invalid_argument("the CUDA kernels take no pools");
    check_job_without_index(call.job);
    body(call);
  });
}

// The bilinear samples, then those of the glimpses that need the filter.
void run_forward(const Call& call, const GpuLogits& logits, const CudaQueue& queue) {
  cuda_forward(plan_forward(call.job, logits), queue);
  if (call.job.sampling.antialias) cuda_filtered_forward(plan_filtered_forward(call.job), queue);
}

// The sums of each tile, then what is made of them.
void run_backward(Call& call, double* sums, GpuRegionGradient gradient) {
  const GpuRegionSums tiles = plan_region_sums(call.job, sums);
  gradient.sums = tiles.sums;
  gradient.tiles = tiles.tiles_high * tiles.tiles_wide;
  gradient.count = call.job.regions.count;
  const CudaQueue queue = queue_of(call);
  cuda_region_sums(tiles, queue);
  if (call.job.sampling.antialias) cuda_filtered_sums(tiles, queue);
  cuda_region_gradient(gradient, queue);
}

PyObject* forward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return launched("cuda_glimpse_forward", values, count, 0, [](Call& call) {
    call.require_pixels();
    run_forward(call, GpuLogits{}, queue_of(call));
  });
}

PyObject* from_logits_forward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return launched("cuda_glimpse_from_logits_forward", values, count, 1, [](Call& call) {
    call.require_pixels();
    const GpuLogits logits = gpu_logits(call.logits());
    run_forward(call, logits, queue_of(call));
  });
}

PyObject* backward_region(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return launched("cuda_glimpse_backward_region", values, count, 2, [](Call& call) {
    call.require_pixels();
    GpuRegionGradient gradient{};
    gradient.gradient = call.written("region gradient");
    gradient.columns = call.job.regions.columns;
    gradient.type = call.job.regions.type;
    run_backward(call, static_cast<double*>(call.written("sums")), gradient);
  });
}

PyObject* from_logits_backward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return launched("cuda_glimpse_from_logits_backward", values, count, 4, [](Call& call) {
    call.require_pixels();
    const Logits logits = call.logits();
    const LogitsGradient wanted = call.logits_gradient();
    GpuRegionGradient gradient{};
    gradient.gradient = wanted.gradient;
    gradient.columns = 3;
    gradient.type = logits.type;
    gradient.logits = gpu_logits(logits);
    gradient.incoming = wanted.region_gradient;
    gradient.incoming_type = call.job.regions.type;
    gradient.incoming_stride_n = wanted.stride_n;
    gradient.incoming_stride_k = wanted.stride_k;
    gradient.gradient_scale = wanted.gradient_scale;
    run_backward(call, static_cast<double*>(call.written("sums")), gradient);
  });
}

PyObject* backward_image(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return launched("cuda_glimpse_backward_image", values, count, 3, [](Call& call) {
    ImageGradient gradient = call.image_gradient();
    gradient.first_of_image = static_cast<const int64_t*>(call.pointer());
    gradient.glimpse_order = static_cast<const int64_t*>(call.pointer());
    const GpuImageGradient tiles = plan_image_gradient(call.job, gradient);
    const CudaQueue queue = queue_of(call);
    if (call.job.sampling.antialias) {
      cuda_filtered_image_gradient(tiles, queue);
    } else {
      cuda_image_gradient(tiles, queue);
    }
  });
}

PyMethodDef cuda_methods[] = {
    {"cuda_glimpse_forward", as_method(forward), METH_FASTCALL, "CALL (glimpse written), QUEUE"},
    {"cuda_glimpse_from_logits_forward", as_method(from_logits_forward), METH_FASTCALL,
     "CALL (region and glimpse written), logits, QUEUE"},
    {"cuda_glimpse_backward_region", as_method(backward_region), METH_FASTCALL,
     "CALL (glimpse: the incoming gradient), region_gradient (contiguous [N, columns], written), "
     "sums (scratch, double [N, cuda_tiles(h, w), 4]), QUEUE"},
    {"cuda_glimpse_from_logits_backward", as_method(from_logits_backward), METH_FASTCALL,
     "CALL (region: as the forward pass wrote it, glimpse: the incoming gradient), logits, "
     "incoming gradient of the region or 0, logits_gradient (contiguous [N, 3], written), sums, "
     "QUEUE"},
    {"cuda_glimpse_backward_image", as_method(backward_image), METH_FASTCALL,
     "CALL (image not read, glimpse: the incoming gradient), image_gradient (written whole), "
     "first_of_image (int64 [B + 1]), glimpse_order (int64 [N]; 0 both: one each), QUEUE"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

namespace mgnet {

void add_cuda_functions(pybind11::module_& module) {
  if (PyModule_AddFunctions(module.ptr(), cuda_methods) != 0) throw pybind11::error_already_set();
  module.def("cuda_problem", &cuda_problem, "Why no CUDA kernel can run here, or ''.");
  module.def(
      "cuda_tiles",
      [](int64_t height, int64_t width) {
        return pieces(height, kTileRows) * pieces(width, kTileColumns);
      },
      pybind11::arg("height"), pybind11::arg("width"), "Tiles of a glimpse of this size.");
}

}  // namespace mgnet
