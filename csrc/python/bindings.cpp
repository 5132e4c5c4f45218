// The Python module mgnet_fast._native: plain functions of integers (addresses, sizes, element
// strides, dtype codes) and a few floats, so that one build serves every version of torch.
//
// A small glimpse takes a few microseconds, and so does reading some forty numbers from Python. So
// the numbers are read and checked once, into a plan:
//
//   glimpse_plan(IMAGE, REGION, GLIMPSE, GRID, LOGITS, GRADIENT) -> plan
//
//   IMAGE    (dtype, B, C, H, W, stride_b, stride_c, stride_h, stride_w, pooled)
//   REGION   (dtype, columns (3|4), stride_n, stride_k, N)
//   GLIMPSE  (dtype, h, w, stride_n, stride_c, stride_h, stride_w)
//   GRID     (align_corners (0|1), padding_mode (0 zeros, 1 border), antialias (0|1),
//            clamp_to_region (0|1))
//   LOGITS   None or (dtype, stride_n, stride_k, scale_min, scale_max, gradient_scale,
//            stride_n and stride_k of the incoming gradient of the region)
//   GRADIENT None or (dtype, stride_b, stride_c, stride_h, stride_w) of the image's gradient
//
// dtype codes: 0 float32, 1 float64, 2 float16, 3 bfloat16, 4 uint8 (images only). Where `pooled`
// is 1, the image is the flat buffer of a pool: W is its number of elements, and H and the strides
// are not used. Every call begins with the plan and the addresses
//
//   CALL     plan, image, pool_table, region, image_index, normalization, glimpse
//
// pool_table: int64 [B, 6], rows of (offset in elements, H, W, stride_c, stride_h, stride_w).
// image_index: int64 [N], or 0: region n is of image n. normalization: double [2, C], rows of scale
// and bias, or 0. The functions are vectorcall functions; the rest of the module is pybind11.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "attention/attention_pool.h"
#include "dispatch.h"
#include "fusion.h"
#include "python/arguments.h"
#include "python/convolution_calls.h"

namespace {

using namespace mgnet;

// Releasing the GIL costs a fraction of a microsecond, and may cost a switch to get it back.
constexpr double kReleaseMicroseconds = 20.0;

template <class Work>
void run_kernel(const Job& job, const Work& work) {
  if (!job.sampling.antialias && estimated_microseconds(job) < kReleaseMicroseconds) {
    work();
  } else {
    pybind11::gil_scoped_release release;
    work();
  }
}

void delete_plan(PyObject* capsule) {
  delete static_cast<Plan*>(PyCapsule_GetPointer(capsule, kPlanName));
}

PyObject* glimpse_plan(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments groups("glimpse_plan", values, count, 6);
    auto plan = std::make_unique<Plan>();
    Job& job = plan->job;
    Arguments in = groups.group("IMAGE", 10);
    // Braced lists are evaluated from left to right.
    job.images = {nullptr,      in.code(),    in.integer(), in.integer(),
                  in.integer(), in.integer(), in.integer(), in.integer(),
                  in.integer(), in.integer(), nullptr,      0};
    plan->pooled = in.code() != 0;
    if (plan->pooled) job.images.pool_elements = job.images.width;
    in = groups.group("REGION", 5);
    job.regions = {nullptr,      in.code(), in.code(),   in.integer(),
                   in.integer(), nullptr,   in.integer()};
    in = groups.group("GLIMPSE", 7);
    job.glimpses = {nullptr,      in.code(),    in.integer(), in.integer(),
                    in.integer(), in.integer(), in.integer(), in.integer()};
    in = groups.group("GRID", 4);
    job.sampling = {nullptr, nullptr, in.code() != 0, in.code(), in.code() != 0, in.code() != 0};
    if (values[4] != Py_None) {
      in = groups.group("LOGITS", 8);
      plan->logits = {nullptr, in.code(), in.integer(), in.integer(), in.real(), in.real()};
      plan->logits_gradient.gradient_scale = in.real();
      plan->logits_gradient.stride_n = in.integer();
      plan->logits_gradient.stride_k = in.integer();
    } else {
      groups.object();
    }
    if (values[5] != Py_None) {
      in = groups.group("GRADIENT", 5);
      plan->image_gradient = {nullptr,      in.code(),    in.integer(), in.integer(),
                              in.integer(), in.integer(), nullptr,      nullptr};
    }
    check_layout(job, plan->pooled);
    PyObject* capsule = PyCapsule_New(plan.get(), kPlanName, delete_plan);
    if (capsule) plan.release();
    return capsule;
  });
}

PyObject* forward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return called("glimpse_forward", values, count, 1, [](Call& call) {
    call.require_pixels();
    const int threads = call.code();
    run_kernel(call.job, [&] { glimpse_forward(call.job, threads); });
  });
}

PyObject* backward_region(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return called("glimpse_backward_region", values, count, 2, [](Call& call) {
    call.require_pixels();
    void* gradient = call.written("region gradient");
    const int threads = call.code();
    run_kernel(call.job, [&] { glimpse_backward_region(call.job, gradient, threads); });
  });
}

PyObject* backward_image(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return called("glimpse_backward_image", values, count, 2, [](Call& call) {
    const ImageGradient gradient = call.image_gradient();
    const int threads = call.code();
    run_kernel(call.job, [&] { glimpse_backward_image(call.job, gradient, threads); });
  });
}

PyObject* from_logits_forward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return called("glimpse_from_logits_forward", values, count, 2, [](Call& call) {
    call.require_pixels();
    const Logits logits = call.logits();
    const int threads = call.code();
    run_kernel(call.job, [&] { glimpse_from_logits_forward(call.job, logits, threads); });
  });
}

PyObject* from_logits_backward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return called("glimpse_from_logits_backward", values, count, 4, [](Call& call) {
    if (call.job.glimpses.data) call.require_pixels();
    const Logits logits = call.logits();
    const LogitsGradient gradient = call.logits_gradient();
    const int threads = call.code();
    run_kernel(call.job,
               [&] { glimpse_from_logits_backward(call.job, logits, gradient, threads); });
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
    {
      pybind11::gil_scoped_release release;
      fusion_step(step, threads);
    }
    Py_RETURN_NONE;
  });
}

AttendedMaps attended_maps(Arguments& in) {
  AttendedMaps maps;
  maps.data = static_cast<const float*>(in.pointer());
  maps.count = in.integer();
  maps.channels = in.integer();
  maps.positions = in.integer();
  maps.channels_last = in.integer() != 0;
  maps.stride_image = in.integer();
  maps.stride_row = in.integer();
  maps.query = static_cast<const float*>(in.pointer());
  maps.stride_query = in.integer();
  return maps;
}

PyObject* pool_attention(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("attention_pool", values, count, 12);
    const AttendedMaps maps = attended_maps(in);
    Attended found;
    found.pooled = static_cast<float*>(in.pointer());
    found.weights = static_cast<float*>(in.pointer());
    const int threads = in.code();
    {
      pybind11::gil_scoped_release release;
      attention_pool(maps, found, threads);
    }
    Py_RETURN_NONE;
  });
}

PyObject* pool_attention_backward(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("attention_pool_backward", values, count, 15);
    const AttendedMaps maps = attended_maps(in);
    AttendedGradients gradients;
    gradients.weights = static_cast<const float*>(in.pointer());
    gradients.from_pooled = static_cast<const float*>(in.pointer());
    gradients.from_weights = static_cast<const float*>(in.pointer());
    gradients.maps = static_cast<float*>(in.pointer());
    gradients.query = static_cast<float*>(in.pointer());
    const int threads = in.code();
    {
      pybind11::gil_scoped_release release;
      attention_pool_backward(maps, gradients, threads);
    }
    Py_RETURN_NONE;
  });
}

PyMethodDef kernel_methods[] = {
    {"glimpse_plan", as_method(glimpse_plan), METH_FASTCALL,
     "IMAGE, REGION, GLIMPSE, GRID, LOGITS, GRADIENT"},
    {"glimpse_forward", as_method(forward), METH_FASTCALL, "CALL (glimpse written), threads"},
    {"glimpse_backward_region", as_method(backward_region), METH_FASTCALL,
     "CALL (glimpse: the incoming gradient), region_gradient (contiguous [N, columns], dtype of "
     "region, written), threads"},
    {"glimpse_backward_image", as_method(backward_image), METH_FASTCALL,
     "CALL (image not read, glimpse: the incoming gradient), image_gradient (written whole), "
     "threads"},
    {"glimpse_from_logits_forward", as_method(from_logits_forward), METH_FASTCALL,
     "CALL (region, of 3 columns, and glimpse written), logits, threads"},
    {"glimpse_from_logits_backward", as_method(from_logits_backward), METH_FASTCALL,
     "CALL (region: as the forward pass wrote it, glimpse: the incoming gradient or 0), logits, "
     "incoming gradient of the region or 0, logits_gradient (contiguous [N, 3], dtype of logits, "
     "written), threads"},
    {"fusion_step", as_method(step_fusion), METH_FASTCALL,
     "feature_ptr, region_ptr, length_ptr, slots, places, width, classes, tokens_ptr (written), "
     "stride_slot, stride_place, key_query_ptr, key_bias_ptr, out_value_ptr, out_bias_ptr, "
     "norm_weight_ptr, norm_bias_ptr, class_weight_ptr, class_bias_ptr, locate_weight_ptr, "
     "locate_bias_ptr, epsilon, scale_min, scale_max, logits_ptr (written), following_ptr "
     "(written), threads; float32 and contiguous but for the strides of tokens"},
    {"convolution_plan", as_method(convolution_plan), METH_FASTCALL,
     "CONVOLUTION (channels, outputs, kernel_h, kernel_w, stride_h, stride_w, padding_h, "
     "padding_w, height, width (of the input), weight type (0 float32, 1 float16, 2 int8), relu "
     "(0|1)) -> plan"},
    {"convolution", as_method(convolution), METH_FASTCALL,
     "plan, input_ptr ([images, height, width, channels]), images, weight_ptr ([blocks, kernel_h, "
     "kernel_w, channels, 16]), scale_ptr and bias_ptr ([blocks * 16]), other_ptr or 0 (as the "
     "output), output_ptr ([images, out_h, out_w, outputs], written), threads; float32 but for "
     "the weights"},
    {"backbone_plan", as_method(backbone_plan), METH_FASTCALL,
     "STEPS (CONVOLUTION or None, weight_ptr, scale_ptr, bias_ptr, POOL (channels, height, width, "
     "kernel, stride, padding) or None, buffers that it reads, adds (or -1) and writes: 0 is the "
     "input), BUFFERS (floats of an image, from number 1 on), floats of an input, pixels and "
     "features of the last map -> plan; the weights must live as long"},
    {"backbone", as_method(backbone), METH_FASTCALL,
     "plan, input_ptr, images, output_ptr ([images, features], written), threads"},
    {"attention_pool", as_method(pool_attention), METH_FASTCALL,
     "MAPS, pooled_ptr (contiguous [count, channels], written), weights_ptr (contiguous [count, "
     "positions], written), threads; all float32. MAPS: map_ptr, count, channels, positions, "
     "channels_last, stride_image, stride_row, query_ptr, stride_query"},
    {"attention_pool_backward", as_method(pool_attention_backward), METH_FASTCALL,
     "MAPS, weights_ptr, incoming gradients of the pooled vectors and of the weights (or 0), "
     "gradient of the maps (in their layout, rows without gaps, written; or 0), gradient of the "
     "query (contiguous [count, channels], written), threads; all float32 and contiguous"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

#if defined(MGNET_HAS_CUDA)
namespace mgnet {
void add_cuda_functions(pybind11::module_& module);
}
#endif

PYBIND11_MODULE(_native, module) {
  module.doc() = "Native kernels of mgnet_fast; addresses, sizes and element strides as integers.";
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
