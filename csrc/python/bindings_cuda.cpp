// The CUDA functions of mgnet_fast._native. Groups of arguments as in bindings.cpp, without pools;
// all addresses are of the device. Every function ends with
//
//   QUEUE   device, stream_ptr
//
// and launches there without waiting, so an image_index out of range cannot raise: it gives NaN.
#include "python/arguments.h"
#include "gpu/glimpse_cuda.h"
#include "gpu/gpu_plan.h"

namespace {

CudaQueue queue_of(Arguments& in) {
  const int device = in.code();
  return {device, in.pointer()};
}

GpuLogits gpu_logits(const Logits& logits) {
  return {logits.data,     logits.type,      logits.stride_n,
          logits.stride_k, logits.scale_min, logits.scale_max};
}

PyObject* forward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("cuda_glimpse_forward", values, count, 32);
    const Job job{in.images(), in.regions(), in.glimpses(), in.sampling()};
    check_job_without_index(job);
    cuda_forward(plan_forward(job, GpuLogits{}), queue_of(in));
  });
}

PyObject* from_logits_forward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("cuda_glimpse_from_logits_forward", values, count, 38);
    const Images images = in.images();
    const Logits logits = in.logits();
    const Job job{images, in.regions(), in.glimpses(), in.sampling()};
    check_job_without_index(job);
    cuda_forward(plan_forward(job, gpu_logits(logits)), queue_of(in));
  });
}

PyObject* backward_region(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("cuda_glimpse_backward_region", values, count, 34);
    const Job job{in.images(), in.regions(), in.glimpses(), in.sampling()};
    check_job_without_index(job);
    const GpuRegionSums sums = plan_region_sums(job, static_cast<double*>(in.pointer()));
    GpuRegionGradient call{};
    call.sums = sums.sums;
    call.tiles = sums.tiles_high * sums.tiles_wide;
    call.count = job.regions.count;
    call.columns = job.regions.columns;
    call.type = job.regions.type;
    call.gradient = in.pointer();
    const CudaQueue queue = queue_of(in);
    cuda_region_sums(sums, queue);
    cuda_region_gradient(call, queue);
  });
}

PyObject* from_logits_backward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("cuda_glimpse_from_logits_backward", values, count, 44);
    const Images images = in.images();
    const Logits logits = in.logits();
    const Job job{images, in.regions(), in.glimpses(), in.sampling()};
    check_job_without_index(job);
    const GpuRegionSums sums = plan_region_sums(job, static_cast<double*>(in.pointer()));
    GpuRegionGradient call{};
    call.sums = sums.sums;
    call.tiles = sums.tiles_high * sums.tiles_wide;
    call.count = job.regions.count;
    call.columns = 3;
    call.type = logits.type;
    call.logits = gpu_logits(logits);
    call.incoming = in.pointer();
    call.incoming_type = job.regions.type;
    call.incoming_stride_n = in.integer();
    call.incoming_stride_k = in.integer();
    call.gradient_scale = in.real();
    call.gradient = in.pointer();
    const CudaQueue queue = queue_of(in);
    cuda_region_sums(sums, queue);
    cuda_region_gradient(call, queue);
  });
}

PyObject* backward_image(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("cuda_glimpse_backward_image", values, count, 40);
    const Job job{in.images(), in.regions(), in.glimpses(), in.sampling()};
    check_job_without_index(job);
    const ImageGradient gradient{in.pointer(),
                                 in.code(),
                                 in.integer(),
                                 in.integer(),
                                 in.integer(),
                                 in.integer(),
                                 static_cast<const int64_t*>(in.pointer()),
                                 static_cast<const int64_t*>(in.pointer())};
    cuda_image_gradient(plan_image_gradient(job, gradient), queue_of(in));
  });
}

PyMethodDef cuda_methods[] = {
    {"cuda_glimpse_forward", as_method(forward), METH_FASTCALL,
     "IMAGE, REGION, GLIMPSE (written), NORM, GRID, QUEUE"},
    {"cuda_glimpse_from_logits_forward", as_method(from_logits_forward), METH_FASTCALL,
     "IMAGE, LOGITS, REGION (3 columns, written), GLIMPSE (written), NORM, GRID, QUEUE"},
    {"cuda_glimpse_backward_region", as_method(backward_region), METH_FASTCALL,
     "IMAGE, REGION, GLIMPSE (incoming gradient), NORM, GRID, sums_ptr (scratch, double "
     "[N, cuda_tiles(h, w), 4]), region_gradient_ptr (contiguous [N, columns], written), QUEUE"},
    {"cuda_glimpse_from_logits_backward", as_method(from_logits_backward), METH_FASTCALL,
     "IMAGE, LOGITS, REGION (as the forward pass wrote it), GLIMPSE (incoming gradient), NORM, "
     "GRID, sums_ptr, incoming_region_gradient_ptr (or 0), stride_n, stride_k, gradient_scale, "
     "logits_gradient_ptr (contiguous [N, 3], written), QUEUE"},
    {"cuda_glimpse_backward_image", as_method(backward_image), METH_FASTCALL,
     "IMAGE (image_ptr unused), REGION, GLIMPSE (incoming gradient), NORM, GRID, "
     "image_gradient_ptr (written whole), dtype, stride_b, stride_c, stride_h, stride_w, "
     "first_of_image_ptr (int64 [B + 1]), glimpse_order_ptr (int64 [N]; 0 both: one each), QUEUE"},
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
