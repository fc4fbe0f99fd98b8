# SPDX-License-Identifier: GPL-2.0
"""The stream that a VF moves in, taken apart and put together (Documentation/hw/stream.md)."""

import struct

REGISTERS, END, FRAMES, OPTIONAL = 0x0009, 0x0012, 0x8013, 0x8000
RECORD = struct.Struct("<HHIII")
# Where things are in the payload of the first record.
VERSION, OLDEST_READER, FEATURES, MAX_QUEUES, VECTORS, RSS_TABLE = 8, 10, 16, 24, 26, 28


def crc32c(data):
    """Returns the checksum that records have."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def split(data):
    """Returns the records of a stream: (tag, instance, payload)."""
    records = []
    while data:
        tag, instance, length, _, _ = RECORD.unpack_from(data)
        records.append((tag, instance, data[RECORD.size:RECORD.size + length]))
        data = data[RECORD.size + length:]
    return records


def join(records):
    """Returns the stream of records, with numbers, checksums, and count in the last as they must be."""
    data = b""
    for number, (tag, instance, payload) in enumerate(records):
        if tag == END:
            payload = struct.pack("<II", number, 0)
        header = RECORD.pack(tag, instance, len(payload), number, 0)
        data += RECORD.pack(tag, instance, len(payload), number, crc32c(header + payload)) + payload
    return data


def with_header(data, offset, form, value):
    """Returns a stream with another value, of a form of `struct`, in the payload of its first record."""
    (tag, instance, header), *rest = split(data)
    header = bytearray(header)
    struct.pack_into(f"<{form}", header, offset, value)
    return join([(tag, instance, bytes(header)), *rest])
