"""Variants as values that can be compared: from Parquet's binary encoding, or from the JSON that an engine shows instead.

Numbers are compared as floats of 15 digits, because JSON does not say which kind they are.
"""

import base64
import datetime
import decimal
import json
import struct

import pyarrow

PARTS = {"metadata", "value"}
# Parquet's "Variant Binary Encoding": the numbers of the simple types that the cases hold.
INTEGERS = {3: "<b", 4: "<h", 5: "<i", 6: "<q"}
DECIMALS = {8: 4, 9: 8, 10: 16}


def is_variant(kind):
    return pyarrow.types.is_struct(kind) and {field.name for field in kind} == PARTS


def number(value):
    return float(f"{float(value):.15g}") + 0.0


def unsigned(data, at, width):
    return int.from_bytes(data[at : at + width], "little")


def names(metadata):
    width = (metadata[0] >> 6) + 1
    count = unsigned(metadata, 1, width)
    start = 1 + width * (count + 2)
    ends = [unsigned(metadata, 1 + width * (1 + at), width) for at in range(count + 1)]
    return [metadata[start + ends[at] : start + ends[at + 1]].decode() for at in range(count)]


def moment(microseconds, zone):
    """As Spark writes it: without zeros behind the last digit."""
    text = str(datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=microseconds))
    return (text.rstrip("0") if "." in text else text) + zone


def decoded(data, at, fields):
    kind, about = data[at] & 3, data[at] >> 2
    at += 1
    if kind == 1:
        return data[at : at + about].decode()
    if kind == 0:
        if about < 3:
            return [None, True, False][about]
        if about in INTEGERS:
            return number(struct.unpack_from(INTEGERS[about], data, at)[0])
        if about == 7:
            return number(struct.unpack_from("<d", data, at)[0])
        if about in DECIMALS:
            digits = int.from_bytes(data[at + 1 : at + 1 + DECIMALS[about]], "little", signed=True)
            return number(decimal.Decimal(digits).scaleb(-data[at]))
        if about == 14:
            return float(f"{struct.unpack_from('<f', data, at)[0]:.6g}")
        if about in (15, 16):
            length = unsigned(data, at, 4)
            found = data[at + 4 : at + 4 + length]
            return found.decode() if about == 16 else base64.b64encode(found).decode()
        if about == 11:
            return str(datetime.date(1970, 1, 1) + datetime.timedelta(days=struct.unpack_from("<i", data, at)[0]))
        if about in (12, 13):
            return moment(struct.unpack_from("<q", data, at)[0], "+00:00" if about == 12 else "")
        raise TypeError(f"variants of the simple type {about} cannot be compared")
    offset_width, id_width = (about & 3) + 1, (about >> 2 & 3) + 1
    large = about >> (4 if kind == 2 else 2) & 1
    count_width = 4 if large else 1
    count = unsigned(data, at, count_width)
    at += count_width
    ids = []
    if kind == 2:
        ids = [unsigned(data, at + id_width * index, id_width) for index in range(count)]
        at += id_width * count
    offsets = [unsigned(data, at + offset_width * index, offset_width) for index in range(count)]
    at += offset_width * (count + 1)
    values = [decoded(data, at + offset, fields) for offset in offsets]
    return {fields[name]: value for name, value in zip(ids, values)} if kind == 2 else values


def numbers(value):
    """JSON as Python reads it, its numbers comparable."""
    if isinstance(value, dict):
        return {name: numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [numbers(inner) for inner in value]
    return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def comparable(value):
    """Text that is equal for equal variants."""
    if isinstance(value, str):
        value = numbers(json.loads(value))
    else:
        value = of_parts(value if isinstance(value, dict) else dict(zip(["value", "metadata"], value)))
    return json.dumps(value, sort_keys=True)


def of_parts(parts):
    return decoded(bytes(parts["value"]), 0, names(bytes(parts["metadata"])))
