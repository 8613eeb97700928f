//! From a row's key to 128 bits.

use std::hash::Hasher;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::error::{IndexError, Result};

/// The hash of a primary key: equal keys have equal hashes, and different keys have different ones.
///
/// The latter holds but for a chance that 128 bits make negligible: with 10^10 keys, less than 10^-18. Hashes are keyed by
/// the table, so nobody can prepare keys that collide without knowing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash {
    /// The upper half, by which hashes are ordered first.
    pub high: u64,
    /// The lower half.
    pub low: u64,
}

impl KeyHash {
    /// What a row without a key has: one of its key columns is null. It equals no key.
    pub const NONE: KeyHash = KeyHash { high: u64::MAX, low: u64::MAX };
}

/// Hashes the keys of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHasher {
    seed: [u8; 16],
}

impl KeyHasher {
    /// The hasher of the table with this id, as its metadata has it.
    pub fn new(table_id: &str) -> Self {
        let mut state = SipHasher13::new_with_key(&[0; 16]);
        state.write(table_id.as_bytes());
        KeyHasher { seed: state.finish128().as_bytes() }
    }

    /// The hashes of the keys that these columns hold, row by row.
    ///
    /// Integers of every width hash alike, as do both zeros and all NaNs, and text whatever array holds it.
    ///
    /// # Errors
    /// [`IndexError::KeyType`] for a column that cannot be part of a key.
    pub fn hash_rows(&self, columns: &[ArrayRef]) -> Result<Vec<KeyHash>> {
        let rows = columns.first().map_or(0, |column| column.len());
        if let [only] = columns
            && only.null_count() == 0
        {
            match only.data_type() {
                DataType::Int64 => {
                    let values = only.as_primitive::<Int64Type>().values();
                    return Ok(values.iter().map(|value| self.finish_long(*value)).collect());
                }
                DataType::Utf8 => {
                    let values = only.as_string::<i32>();
                    return Ok((0..rows).map(|row| self.finish_bytes(values.value(row).as_bytes())).collect());
                }
                DataType::Utf8View => {
                    let values = only.as_string_view();
                    return Ok((0..rows).map(|row| self.finish_bytes(values.value(row).as_bytes())).collect());
                }
                _ => {}
            }
        }
        let readers = columns.iter().map(KeyColumn::of).collect::<Result<Vec<_>>>()?;
        let mut hashes = Vec::with_capacity(rows);
        for row in 0..rows {
            if columns.iter().any(|column| column.is_null(row)) {
                hashes.push(KeyHash::NONE);
                continue;
            }
            let mut state = SipHasher13::new_with_key(&self.seed);
            for reader in &readers {
                reader.write(row, &mut state);
            }
            hashes.push(finished(&state));
        }
        Ok(hashes)
    }

    fn finish_long(&self, value: i64) -> KeyHash {
        let mut state = SipHasher13::new_with_key(&self.seed);
        state.write(&value.to_le_bytes());
        finished(&state)
    }

    fn finish_bytes(&self, value: &[u8]) -> KeyHash {
        let mut state = SipHasher13::new_with_key(&self.seed);
        write_bytes(value, &mut state);
        finished(&state)
    }
}

fn finished(state: &SipHasher13) -> KeyHash {
    let hash = state.finish128();
    let hash = KeyHash { high: hash.h1, low: hash.h2 };
    // The value that stands for no key is not a key's.
    if hash == KeyHash::NONE { KeyHash { high: u64::MAX, low: u64::MAX - 1 } } else { hash }
}

/// Length first, so that `("a", "bc")` and `("ab", "c")` differ.
fn write_bytes(value: &[u8], state: &mut SipHasher13) {
    state.write(&(value.len() as u64).to_le_bytes());
    state.write(value);
}

/// A key column, whatever array it comes as.
enum KeyColumn<'a> {
    Long(Box<dyn Fn(usize) -> i64 + 'a>),
    Decimal(&'a arrow::array::Decimal128Array),
    Bytes(Box<dyn Fn(usize) -> &'a [u8] + 'a>),
}

impl<'a> KeyColumn<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self> {
        let long = |read: Box<dyn Fn(usize) -> i64 + 'a>| Ok(KeyColumn::Long(read));
        match array.data_type() {
            DataType::Boolean => {
                let values = array.as_boolean();
                long(Box::new(|row| i64::from(values.value(row))))
            }
            DataType::Int8 => {
                let values = array.as_primitive::<Int8Type>();
                long(Box::new(|row| i64::from(values.value(row))))
            }
            DataType::Int16 => {
                let values = array.as_primitive::<Int16Type>();
                long(Box::new(|row| i64::from(values.value(row))))
            }
            DataType::Int32 => {
                let values = array.as_primitive::<Int32Type>();
                long(Box::new(|row| i64::from(values.value(row))))
            }
            DataType::Int64 => {
                let values = array.as_primitive::<Int64Type>();
                long(Box::new(|row| values.value(row)))
            }
            DataType::Date32 => {
                let values = array.as_primitive::<Date32Type>();
                long(Box::new(|row| i64::from(values.value(row))))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = array.as_primitive::<TimestampMicrosecondType>();
                long(Box::new(|row| values.value(row)))
            }
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>();
                long(Box::new(|row| float_bits(f64::from(values.value(row)))))
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>();
                long(Box::new(|row| float_bits(values.value(row))))
            }
            DataType::Decimal128(_, _) => Ok(KeyColumn::Decimal(array.as_primitive::<Decimal128Type>())),
            DataType::Utf8 => {
                let values = array.as_string::<i32>();
                Ok(KeyColumn::Bytes(Box::new(|row| values.value(row).as_bytes())))
            }
            DataType::LargeUtf8 => {
                let values = array.as_string::<i64>();
                Ok(KeyColumn::Bytes(Box::new(|row| values.value(row).as_bytes())))
            }
            DataType::Utf8View => {
                let values = array.as_string_view();
                Ok(KeyColumn::Bytes(Box::new(|row| values.value(row).as_bytes())))
            }
            DataType::Binary => {
                let values = array.as_binary::<i32>();
                Ok(KeyColumn::Bytes(Box::new(|row| values.value(row))))
            }
            DataType::LargeBinary => {
                let values = array.as_binary::<i64>();
                Ok(KeyColumn::Bytes(Box::new(|row| values.value(row))))
            }
            DataType::BinaryView => {
                let values = array.as_binary_view();
                Ok(KeyColumn::Bytes(Box::new(|row| values.value(row))))
            }
            other => Err(IndexError::KeyType { found: other.to_string() }),
        }
    }

    fn write(&self, row: usize, state: &mut SipHasher13) {
        match self {
            KeyColumn::Long(read) => state.write(&read(row).to_le_bytes()),
            KeyColumn::Decimal(values) => state.write(&values.value(row).to_le_bytes()),
            KeyColumn::Bytes(read) => write_bytes(read(row), state),
        }
    }
}

/// The bits of a number by which equal ones are equal: one zero, one NaN.
fn float_bits(value: f64) -> i64 {
    let canonical = if value.is_nan() { f64::NAN } else { value + 0.0 };
    canonical.to_bits().cast_signed()
}

/// Whether a column of this type can be part of a primary key.
pub fn is_key_type(data_type: &DataType) -> bool {
    KeyColumn::of(&arrow::array::new_empty_array(data_type)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray, StringViewArray};

    use super::*;

    fn hasher() -> KeyHasher {
        KeyHasher::new("42")
    }

    fn hashes(columns: &[ArrayRef]) -> Vec<KeyHash> {
        hasher().hash_rows(columns).expect("a key type")
    }

    #[test]
    fn the_width_of_an_integer_and_the_kind_of_text_do_not_matter() {
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(-5), Some(7), None]));
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(-5), Some(7), None]));
        assert_eq!(hashes(std::slice::from_ref(&wide)), hashes(&[narrow]));
        let fast: ArrayRef = Arc::new(Int64Array::from(vec![-5, 7]));
        assert_eq!(hashes(&[fast])[..], hashes(&[wide])[..2]);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["", "floe", "a longer text that is no inline view"]));
        let view: ArrayRef = Arc::new(StringViewArray::from(vec!["", "floe", "a longer text that is no inline view"]));
        assert_eq!(hashes(&[text]), hashes(&[view]));
    }

    #[test]
    fn columns_do_not_run_into_each_other() {
        let pair = |a: &str, b: &str| -> KeyHash {
            hashes(&[
                Arc::new(StringArray::from(vec![a])) as ArrayRef,
                Arc::new(StringArray::from(vec![b])) as ArrayRef,
            ])[0]
        };
        assert_ne!(pair("a", "bc"), pair("ab", "c"));
        assert_ne!(pair("", "a"), pair("a", ""));
    }

    #[test]
    fn zeros_are_one_key_and_so_are_all_nans() {
        let odd_nan = f64::from_bits(0x7ff8_0000_0000_0001);
        let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, odd_nan, -f64::NAN]));
        let found = hashes(&[values]);
        assert_eq!(found[0], found[1]);
        assert_eq!(found[2], found[3]);
        assert_eq!(found[2], found[4]);
        assert_ne!(found[0], found[2]);
    }

    #[test]
    fn a_null_is_no_key_and_another_table_hashes_otherwise() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        assert_eq!(hashes(std::slice::from_ref(&keys))[1], KeyHash::NONE);
        let other = KeyHasher::new("43").hash_rows(std::slice::from_ref(&keys)).expect("a key type");
        assert_ne!(hashes(&[keys])[0], other[0]);
    }

    #[test]
    fn nested_types_are_no_keys() {
        assert!(!is_key_type(&DataType::new_list(DataType::Int64, true)));
        assert!(is_key_type(&DataType::Decimal128(20, 3)));
    }
}
