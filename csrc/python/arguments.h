// Reads the arguments of a native call: a plan, addresses and numbers. The layout of each function
// is described at the head of bindings.cpp.
#pragma once

#include <pybind11/pybind11.h>

#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch.h"

namespace {

using namespace mgnet;

struct PythonErrorSet {};

class Arguments {
 public:
  Arguments(const char* function, PyObject* const* values, Py_ssize_t count, Py_ssize_t expected)
      : next_(values) {
    if (count != expected) {
      PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, got %zd", function, expected, count);
      throw PythonErrorSet{};
    }
  }

  PyObject* object() { return *next_++; }
  int64_t integer() {
    const long long value = PyLong_AsLongLong(object());
    if (value == -1 && PyErr_Occurred()) throw PythonErrorSet{};
    return value;
  }
  int code() {
    const int64_t value = integer();
    return value < INT32_MIN || value > INT32_MAX ? -1 : static_cast<int>(value);
  }
  void* pointer() { return reinterpret_cast<void*>(static_cast<intptr_t>(integer())); }
  double real() {
    const double value = PyFloat_AsDouble(object());
    if (value == -1.0 && PyErr_Occurred()) throw PythonErrorSet{};
    return value;
  }
  Arguments group(const char* name, Py_ssize_t expected) {
    PyObject* tuple = object();
    if (!PyTuple_Check(tuple)) {
      PyErr_Format(PyExc_TypeError, "%s must be a tuple, got %s", name, Py_TYPE(tuple)->tp_name);
      throw PythonErrorSet{};
    }
    return {name, PySequence_Fast_ITEMS(tuple), PyTuple_GET_SIZE(tuple), expected};
  }
  std::vector<PyObject*> objects(const char* name) {
    PyObject* tuple = object();
    if (!PyTuple_Check(tuple)) {
      PyErr_Format(PyExc_TypeError, "%s must be a tuple, got %s", name, Py_TYPE(tuple)->tp_name);
      throw PythonErrorSet{};
    }
    PyObject** items = PySequence_Fast_ITEMS(tuple);
    return {items, items + PyTuple_GET_SIZE(tuple)};
  }

 private:
  PyObject* const* next_;
};

// A call without its addresses: everything that calls with tensors of the same layout share.
struct Plan {
  Job job{};
  bool pooled = false;
  Logits logits{nullptr, -1, 0, 0, 0, 0};
  LogitsGradient logits_gradient{};
  ImageGradient image_gradient{nullptr, -1, 0, 0, 0, 0, nullptr, nullptr};
};

constexpr char kPlanName[] = "mgnet_fast._native.plan";

// The head of every call: the plan, then the addresses of the image, the pool's table, the region,
// the image_index, the normalization and the glimpse.
class Call : public Arguments {
 public:
  Call(const char* function, PyObject* const* values, Py_ssize_t count, Py_ssize_t others)
      : Arguments(function, values, count, 7 + others) {
    const void* found = PyCapsule_GetPointer(object(), kPlanName);
    if (!found) {
      PyErr_Format(PyExc_TypeError, "%s: the first argument must be a plan", function);
      throw PythonErrorSet{};
    }
    plan = *static_cast<const Plan*>(found);
    job = plan.job;
    job.images.data = pointer();
    job.images.pool = static_cast<const int64_t*>(pointer());
    job.regions.data = pointer();
    job.regions.image_index = static_cast<const int64_t*>(pointer());
    job.sampling.scale = static_cast<const double*>(pointer());
    if (job.sampling.scale) job.sampling.bias = job.sampling.scale + job.images.channels;
    job.glimpses.data = pointer();
    if (plan.pooled != (job.images.pool != nullptr)) {
      throw std::invalid_argument("the plan and the call must agree on whether there is a pool");
    }
    if (job.regions.count > 0) require_address(job.regions.data, "region");
  }

  bool reads_pixels() const {
    return job.regions.count > 0 && job.images.channels > 0 && job.glimpses.height > 0 &&
           job.glimpses.width > 0;
  }
  void require_pixels() const {
    if (!reads_pixels()) return;
    require_address(job.images.data, "image");
    require_address(job.glimpses.data, "glimpse");
  }
  Logits logits() {
    Logits logits = plan.logits;
    logits.data = pointer();
    if (job.regions.count > 0) require_address(logits.data, "logits");
    return logits;
  }
  LogitsGradient logits_gradient() {
    LogitsGradient gradient = plan.logits_gradient;
    gradient.region_gradient = pointer();
    gradient.glimpse_gradient = job.glimpses.data != nullptr;
    gradient.gradient = written("logits gradient");
    return gradient;
  }
  ImageGradient image_gradient() {
    ImageGradient gradient = plan.image_gradient;
    gradient.data = pointer();
    const Images& images = job.images;
    if (images.count * images.channels > 0) require_address(gradient.data, "image gradient");
    if (reads_pixels()) require_address(job.glimpses.data, "glimpse");
    return gradient;
  }
  // One row for each region.
  void* written(const char* name) {
    void* address = pointer();
    if (job.regions.count > 0) require_address(address, name);
    return address;
  }

  Plan plan;
  Job job;

 private:
  static void require_address(const void* address, const char* name) {
    if (!address) throw std::invalid_argument(std::string(name) + " must have an address, got 0");
  }
};

template <class Body>
PyObject* guarded(const Body& body) {
  try {
    return body();
  } catch (const PythonErrorSet&) {
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

// Reads a call, with so many arguments behind its head, and runs it.
template <class Body>
PyObject* called(const char* function, PyObject* const* values, Py_ssize_t count, Py_ssize_t others,
                 const Body& body) {
  return guarded([&] {
    Call call(function, values, count, others);
    body(call);
    Py_RETURN_NONE;
  });
}

PyCFunction as_method(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace
