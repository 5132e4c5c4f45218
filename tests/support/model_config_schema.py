"""The part of ``inference.ModelConfig`` that config.pbtxt is written in, as a protobuf message.

Written by hand from the server's published schema: field names, types and values of enumerations.
"""

from __future__ import annotations

from typing import Any

INT32, INT64, UINT64, STRING, ENUM, MESSAGE = 5, 3, 4, 9, 14, 11
ENUMS = {
    "DataType": ("TYPE_INVALID", "TYPE_UINT8", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32"),
    "Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
}
# Message: its fields as (name, type, repeated, name of the type).
MESSAGES = {
    "Input": (
        ("name", STRING, False, ""),
        ("data_type", ENUM, False, "DataType"),
        ("dims", INT64, True, ""),
    ),
    "Output": (
        ("name", STRING, False, ""),
        ("data_type", ENUM, False, "DataType"),
        ("dims", INT64, True, ""),
        ("label_filename", STRING, False, ""),
    ),
    "InstanceGroup": (("count", INT32, False, ""), ("kind", ENUM, False, "Kind")),
    "DynamicBatching": (
        ("preferred_batch_size", INT32, True, ""),
        ("max_queue_delay_microseconds", UINT64, False, ""),
    ),
    "ModelConfig": (
        ("name", STRING, False, ""),
        ("backend", STRING, False, ""),
        ("max_batch_size", INT32, False, ""),
        ("input", MESSAGE, True, "Input"),
        ("output", MESSAGE, True, "Output"),
        ("instance_group", MESSAGE, True, "InstanceGroup"),
        ("dynamic_batching", MESSAGE, False, "DynamicBatching"),
    ),
}


def parse_model_config(text: str) -> Any:
    """The message that ``text`` says; protobuf raises where it is no valid text of the schema."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    file = descriptor_pb2.FileDescriptorProto(name="config.proto", package="x", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind, repeated, of) in enumerate(fields, start=1):
            added = message.field.add(name=field, number=number, type=kind)
            added.label = 3 if repeated else 1
            if of:
                added.type_name = f".x.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("x.ModelConfig"))
    return text_format.Parse(text, kind())
