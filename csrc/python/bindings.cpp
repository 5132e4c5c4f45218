// The Python module mgnet_fast._native: plain functions of integers (pointers, sizes, element
// strides, dtype codes) and a few floats, so that one build serves every version of torch.
//
// A glimpse of one image takes about ten microseconds and a call has some thirty arguments, so the
// kernels are vectorcall functions that read their arguments one after the other; the rest of the
// module is ordinary pybind11. The argument groups, always complete and in this order:
//
//   IMAGE   image_ptr, dtype, B, C, H, W, stride_b, stride_c, stride_h, stride_w, pool_table_ptr
//   REGION  region_ptr, dtype, columns (3|4), stride_n, stride_k, image_index_ptr, N
//   LOGITS  logits_ptr, dtype, stride_n, stride_k, scale_min, scale_max
//   GLIMPSE glimpse_ptr, dtype, h, w, stride_n, stride_c, stride_h, stride_w
//   NORM    scale_ptr, bias_ptr                  double[C] both, or 0 both
//   GRID    align_corners (0|1), padding_mode (0 zeros, 1 border)
//
// dtype codes: 0 float32, 1 float64, 2 float16, 3 bfloat16, 4 uint8 (images only).
// A pointer of 0 means absent where a group says so. pool_table_ptr: 0 or int64 [B, 6] rows of
// (offset in elements, H, W, stride_c, stride_h, stride_w); then image_ptr is the flat buffer, the
// group's W is its number of elements, and the group's H and strides are not used.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "python/arguments.h"
#include "dispatch.h"
#include "fusion.h"

namespace {

using namespace mgnet;

// Releasing the GIL costs a fraction of a microsecond, and may cost a switch to get it back.
constexpr double kReleaseMicroseconds = 20.0;

template <class Work>
void run_kernel(const Job& job, const Work& work) {
  if (estimated_microseconds(job) < kReleaseMicroseconds) {
    work();
  } else {
    pybind11::gil_scoped_release release;
    work();
  }
}

PyObject* forward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("glimpse_forward", values, count, 31);
    const Job job{in.images(), in.regions(), in.glimpses(), in.sampling()};
    const int threads = in.code();
    run_kernel(job, [&] { glimpse_forward(job, threads); });
  });
}

PyObject* backward_region(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("glimpse_backward_region", values, count, 32);
    const Job job{in.images(), in.regions(), in.glimpses(), in.sampling()};
    void* gradient = in.pointer();
    const int threads = in.code();
    run_kernel(job, [&] { glimpse_backward_region(job, gradient, threads); });
  });
}

PyObject* backward_image(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("glimpse_backward_image", values, count, 37);
    const Job job{in.images(), in.regions(), in.glimpses(), in.sampling()};
    const ImageGradient gradient{in.pointer(), in.code(),    in.integer(), in.integer(),
                                 in.integer(), in.integer(), nullptr,      nullptr};
    const int threads = in.code();
    run_kernel(job, [&] { glimpse_backward_image(job, gradient, threads); });
  });
}

PyObject* from_logits_forward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("glimpse_from_logits_forward", values, count, 37);
    const Images images = in.images();
    const Logits logits = in.logits();
    const Job job{images, in.regions(), in.glimpses(), in.sampling()};
    const int threads = in.code();
    run_kernel(job, [&] { glimpse_from_logits_forward(job, logits, threads); });
  });
}

PyObject* from_logits_backward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("glimpse_from_logits_backward", values, count, 42);
    const Images images = in.images();
    const Logits logits = in.logits();
    const Job job{images, in.regions(), in.glimpses(), in.sampling()};
    LogitsGradient gradient{in.pointer(), in.integer(), in.integer(), job.glimpses.data != nullptr,
                            in.real(),    in.pointer()};
    const int threads = in.code();
    run_kernel(job, [&] { glimpse_from_logits_backward(job, logits, gradient, threads); });
  });
}

PyObject* step_fusion(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("fusion_step", values, count, 26);
    const auto numbers = [&] { return static_cast<const float*>(in.pointer()); };
    FusionStep step;
    step.feature = numbers();
    step.region = numbers();
    step.length = static_cast<const int64_t*>(in.pointer());
    step.slots = in.integer();
    step.places = in.integer();
    step.width = in.integer();
    step.classes = in.integer();
    step.tokens = static_cast<float*>(in.pointer());
    step.stride_slot = in.integer();
    step.stride_place = in.integer();
    for (const float** weight : {&step.key_query, &step.key_bias, &step.out_value, &step.out_bias,
                                 &step.norm_weight, &step.norm_bias, &step.class_weight,
                                 &step.class_bias, &step.locate_weight, &step.locate_bias}) {
      *weight = numbers();
    }
    step.epsilon = in.real();
    step.scale_min = in.real();
    step.scale_max = in.real();
    step.logits = static_cast<float*>(in.pointer());
    step.following = static_cast<float*>(in.pointer());
    const int threads = in.code();
    pybind11::gil_scoped_release release;
    fusion_step(step, threads);
  });
}

PyMethodDef kernel_methods[] = {
    {"glimpse_forward", as_method(forward), METH_FASTCALL,
     "IMAGE, REGION, GLIMPSE (written), NORM, GRID, threads"},
    {"glimpse_backward_region", as_method(backward_region), METH_FASTCALL,
     "IMAGE, REGION, GLIMPSE (incoming gradient), NORM, GRID, region_gradient_ptr (contiguous "
     "[N, columns], dtype of region, written), threads"},
    {"glimpse_backward_image", as_method(backward_image), METH_FASTCALL,
     "IMAGE (image_ptr unused), REGION, GLIMPSE (incoming gradient), NORM, GRID, "
     "image_gradient_ptr (written whole), dtype, stride_b, stride_c, stride_h, stride_w, threads"},
    {"glimpse_from_logits_forward", as_method(from_logits_forward), METH_FASTCALL,
     "IMAGE, LOGITS, REGION (3 columns, written), GLIMPSE (written), NORM, GRID, threads"},
    {"glimpse_from_logits_backward", as_method(from_logits_backward), METH_FASTCALL,
     "IMAGE, LOGITS, REGION (as the forward pass wrote it), GLIMPSE (incoming gradient, "
     "glimpse_ptr "
     "0: none), NORM, GRID, incoming_region_gradient_ptr (or 0), stride_n, stride_k, "
     "gradient_scale, logits_gradient_ptr (contiguous [N, 3], dtype of logits, written), threads"},
    {"fusion_step", as_method(step_fusion), METH_FASTCALL,
     "feature_ptr, region_ptr, length_ptr, slots, places, width, classes, tokens_ptr (written), "
     "stride_slot, stride_place, key_query_ptr, key_bias_ptr, out_value_ptr, out_bias_ptr, "
     "norm_weight_ptr, norm_bias_ptr, class_weight_ptr, class_bias_ptr, locate_weight_ptr, "
     "locate_bias_ptr, epsilon, scale_min, scale_max, logits_ptr (written), following_ptr "
     "(written), threads; float32 and contiguous but for the strides of tokens"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

#if defined(MGNET_HAS_CUDA)
namespace mgnet {
void add_cuda_functions(pybind11::module_& module);
}
#endif

PYBIND11_MODULE(_native, module) {
  module.doc() = "Native kernels of mgnet_fast; pointers, sizes and element strides as integers.";
  if (PyModule_AddFunctions(module.ptr(), kernel_methods) != 0) throw pybind11::error_already_set();
  module.def("available_isas", &available_isas, "Instruction sets usable here, best first.");
  module.def("selected_isa", &selected_isa, "The instruction set in use.");
  module.def("select_isa", &select_isa, pybind11::arg("name"),
             "Chooses the instruction set for the whole process (tests and benchmarks).");
#if defined(MGNET_HAS_CUDA)
  add_cuda_functions(module);
  module.attr("cuda") = true;
#else
  module.attr("cuda") = false;
#endif
#ifdef _OPENMP
  module.attr("openmp") = true;
#else
  module.attr("openmp") = false;
#endif
}
