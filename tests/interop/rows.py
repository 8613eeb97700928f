"""Rows of different engines as one multiset of comparable values.

The types are those of the rows that are expected: each engine gives its own (a boolean may come as a number, a map as a
dictionary), so every value is brought to the expected type first. Compared are: integers and decimals by value; floats by 15
significant digits, a float of 32 bits by its bits, with NaN equal to itself and -0.0 to 0.0; times by microsecond; structs by
field in order, arrays in order, maps as sets of pairs, variants by what they hold. Null is null at every level.
"""

import collections
import dataclasses
import datetime
import decimal
import math
import os
import struct
import sys

import pyarrow

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import variants

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


class Difference(Exception):
    """What an engine shows is not what was expected."""


class Rows:
    """Names and rows of an engine that does not speak Arrow."""

    def __init__(self, names, rows):
        self.names, self.rows = names, rows


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How an engine's rows may differ without being wrong: what its types cannot say."""

    # The columns may come in another order.
    any_order: bool = False
    # Names come in small letters.
    any_case: bool = False
    # Times are kept in steps of so many microseconds.
    step: int = 1
    # A struct, array or map cannot be null: it is one of nulls, or an empty one.
    nested_nulls: bool = True


def is_text(kind):
    return pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_string_view(kind)


def is_binary(kind):
    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind) or pyarrow.types.is_binary_view(kind)


def is_list(kind):
    return pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_list_view(kind)


def comparable(value, kind, tolerance):
    """`value` in a form that is equal and hashes alike for equal values of the Arrow type `kind`."""
    if variants.is_variant(kind):
        return None if value is None else variants.comparable(value)
    if value is None:
        if tolerance.nested_nulls:
            return None
        if pyarrow.types.is_struct(kind):
            return tuple(comparable(None, kind.field(at).type, tolerance) for at in range(kind.num_fields))
        return frozenset() if pyarrow.types.is_map(kind) else () if is_list(kind) else None
    if pyarrow.types.is_boolean(kind):
        return bool(value)
    if pyarrow.types.is_integer(kind):
        return int(value)
    if pyarrow.types.is_float32(kind):
        value = struct.unpack("f", struct.pack("f", float(value)))[0]
        return "NaN" if math.isnan(value) else value + 0.0
    if pyarrow.types.is_float64(kind):
        value = float(value)
        return "NaN" if math.isnan(value) else float(f"{value:.15g}") + 0.0
    if pyarrow.types.is_decimal(kind):
        return decimal.Decimal(value)
    if pyarrow.types.is_date(kind):
        return value.date() if isinstance(value, datetime.datetime) else value
    if pyarrow.types.is_timestamp(kind):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return (value - EPOCH) // MICROSECOND // tolerance.step
    if is_text(kind):
        return value if isinstance(value, str) else bytes(value).decode()
    if is_binary(kind):
        return value.encode() if isinstance(value, str) else bytes(value)
    if pyarrow.types.is_map(kind):
        pairs = value.items() if isinstance(value, dict) else value
        both = lambda key, item: (comparable(key, kind.key_type, tolerance), comparable(item, kind.item_type, tolerance))
        return frozenset(both(key, item) for key, item in pairs)
    if pyarrow.types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        if isinstance(value, dict):
            if list(value) != [field.name for field in fields]:
                raise Difference(f"a struct has the fields {list(value)}, expected {[field.name for field in fields]}")
            value = value.values()
        return tuple(comparable(item, field.type, tolerance) for item, field in zip(value, fields, strict=True))
    if is_list(kind):
        return tuple(comparable(item, kind.value_type, tolerance) for item in value)
    if pyarrow.types.is_null(kind):
        raise Difference(f"{value!r} in a column that is only null")
    raise TypeError(f"rows of type {kind} cannot be compared")


def bag(names, rows, schema, tolerance):
    kinds = [schema.field(name).type for name in names]
    return collections.Counter(tuple(comparable(v, k, tolerance) for v, k in zip(row, kinds, strict=True)) for row in rows)


def of_arrow(table, schema):
    """Text that an engine calls text, but that is binary, must be taken as bytes before Python decodes it."""
    columns = []
    for name, column in zip(table.column_names, table.columns):
        at = schema.get_field_index(name)
        expected = schema.field(at).type if at >= 0 else None
        if expected is not None and is_binary(expected) and is_text(column.type):
            column = column.cast(pyarrow.binary())
        if pyarrow.types.is_timestamp(column.type) and column.type.unit != "us":
            column = column.cast(pyarrow.timestamp("us", column.type.tz))
        columns.append(column.to_pylist())
    return Rows(table.column_names, zip(*columns) if columns else [])


def check(found, expected, tolerance):
    """How many rows there are. Raises `Difference` unless `found`, a pyarrow.Table or `Rows`, has the names and rows of the
    pyarrow.Table `expected`."""
    schema = expected.schema
    if isinstance(found, pyarrow.Table):
        found = of_arrow(found, schema)
    names = list(found.names)
    if tolerance.any_case:
        exact = {name.lower(): name for name in schema.names}
        names = [exact.get(name, name) for name in names]
    if (sorted(names) != sorted(schema.names)) if tolerance.any_order else (names != schema.names):
        raise Difference(f"columns {names}, expected {schema.names}")
    theirs = bag(names, found.rows, schema, tolerance)
    ours = bag(names, zip(*(expected.column(name).to_pylist() for name in names)), schema, tolerance)
    if theirs != ours:
        missing, extra = ours - theirs, theirs - ours
        raise Difference(
            f"{sum(theirs.values())} rows, expected {sum(ours.values())};"
            f" missing {sum(missing.values())}: {list(missing)[:2]}; too many {sum(extra.values())}: {list(extra)[:2]}"
        )
    return sum(ours.values())
