// The functions of convolutions and of whole backbones: a plan for one size of map, and its calls.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>
#include <vector>

#include "convolutions/backbone.h"
#include "convolutions/convolution.h"
#include "python/arguments.h"

namespace {

using namespace mgnet;

template <class Of>
constexpr const char* kCapsuleName = nullptr;
template <>
constexpr const char* kCapsuleName<ConvolutionPlan> = "mgnet_fast._native.convolution_plan";
template <>
constexpr const char* kCapsuleName<BackbonePlan> = "mgnet_fast._native.backbone_plan";

template <class Of>
PyObject* in_capsule(std::unique_ptr<Of> plan) {
  PyObject* capsule = PyCapsule_New(plan.get(), kCapsuleName<Of>, [](PyObject* made) {
    delete static_cast<Of*>(PyCapsule_GetPointer(made, kCapsuleName<Of>));
  });
  if (capsule) plan.release();
  return capsule;
}

template <class Of>
const Of& plan_of(const char* function, PyObject* capsule) {
  const void* found = PyCapsule_GetPointer(capsule, kCapsuleName<Of>);
  if (!found) {
    PyErr_Format(PyExc_TypeError, "%s: the first argument must be a plan", function);
    throw PythonErrorSet{};
  }
  return *static_cast<const Of*>(found);
}

float* floats(Arguments& in) { return static_cast<float*>(in.pointer()); }

ConvolutionShape convolution_shape(Arguments in) {
  // Braced lists are evaluated from left to right.
  return {in.integer(), in.integer(),   in.integer(), in.integer(), in.integer(),
          in.integer(), in.integer(),   in.integer(), in.integer(), in.integer(),
          in.code(),    in.code() != 0, in.code()};
}

PyObject* convolution_plan(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("convolution_plan", values, count, 1);
    return in_capsule(plan_convolution(convolution_shape(in.group("CONVOLUTION", 13))));
  });
}

PyObject* convolution(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("convolution", values, count, 9);
    const auto& plan = plan_of<ConvolutionPlan>("convolution", in.object());
    const ConvolutionCall call = {floats(in), in.integer(), in.pointer(), floats(in),
                                  floats(in), floats(in),   floats(in)};
    const int threads = in.code();
    {
      pybind11::gil_scoped_release release;
      plan.run(call, threads);
    }
    Py_RETURN_NONE;
  });
}

BackboneStep backbone_step(PyObject* values) {
  Arguments in("STEP", &values, 1, 1);
  in = in.group("STEP", 8);
  BackboneStep step{};
  PyObject* shape = in.object();
  if (shape != Py_None) {
    Arguments of("STEP", &shape, 1, 1);
    step.convolution = plan_convolution(convolution_shape(of.group("CONVOLUTION", 13)));
  }
  step.weight = in.pointer();
  step.scale = floats(in);
  step.bias = floats(in);
  shape = in.object();
  if (shape != Py_None) {
    Arguments of("STEP", &shape, 1, 1);
    of = of.group("POOL", 6);
    step.pool = {of.integer(), of.integer(), of.integer(),
                 of.integer(), of.integer(), of.integer()};
  }
  step.input = in.integer();
  step.other = in.integer();
  step.output = in.integer();
  return step;
}

PyObject* backbone_plan(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("backbone_plan", values, count, 5);
    std::vector<BackboneStep> steps;
    for (PyObject* step : in.objects("STEPS")) steps.push_back(backbone_step(step));
    std::vector<int64_t> buffers;
    for (PyObject* size : in.objects("BUFFERS")) {
      buffers.push_back(Arguments("BUFFERS", &size, 1, 1).integer());
    }
    const int64_t input = in.integer(), pixels = in.integer(), features = in.integer();
    return in_capsule(std::make_unique<BackbonePlan>(std::move(steps), std::move(buffers), input,
                                                     pixels, features));
  });
}

PyObject* backbone(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("backbone", values, count, 5);
    const auto& plan = plan_of<BackbonePlan>("backbone", in.object());
    const float* input = floats(in);
    const int64_t images = in.integer();
    float* output = floats(in);
    const int threads = in.code();
    {
      pybind11::gil_scoped_release release;
      plan.run(input, images, output, threads);
    }
    Py_RETURN_NONE;
  });
}

}  // namespace
