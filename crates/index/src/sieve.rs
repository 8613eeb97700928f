//! Passing over rows whose key is surely not wanted, before their key is hashed in full.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};

/// Bits for each wanted key: of other keys about one in so many passes.
const BITS_PER_KEY: usize = 16;

/// A bitmap over a cheap hash of the first key column, for reading key columns fast: most rows of a table are not wanted, and
/// the full hash of a key costs several times what its decoding does.
///
/// Says only no: a row that passes may still not be wanted.
#[derive(Debug, Clone)]
pub struct Sieve {
    bits: Vec<u64>,
    shift: u32,
}

impl Sieve {
    /// The sieve that lets the rows of these arrays pass, each array being first key columns of wanted rows.
    pub fn new<'a>(wanted: impl Iterator<Item = &'a ArrayRef> + Clone) -> Self {
        let rows: usize = wanted.clone().map(|array| array.len()).sum();
        let bits = (rows.max(64) * BITS_PER_KEY).next_power_of_two().min(1 << 30);
        let mut sieve = Sieve { bits: vec![0; bits / 64], shift: 64 - bits.trailing_zeros() };
        for array in wanted {
            sieve.visit(array, |bits, at, _| bits[at / 64] |= 1 << (at % 64));
        }
        sieve
    }

    /// The rows that may be wanted, ascending.
    pub fn passing(&self, column: &ArrayRef) -> Vec<usize> {
        let mut passing = Vec::new();
        let mut reading = Sieve { bits: Vec::new(), shift: self.shift };
        reading.visit(column, |_, at, row| {
            if self.bits[at / 64] >> (at % 64) & 1 == 1 {
                passing.push(row);
            }
        });
        passing
    }

    /// Calls `act` with the bitmap, the place of each row's value in it, and the row.
    fn visit(&mut self, column: &ArrayRef, mut act: impl FnMut(&mut Vec<u64>, usize, usize)) {
        let shift = self.shift;
        let place = |mixed: u64| (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize;
        match column.data_type() {
            DataType::Int64 => {
                for (row, value) in column.as_primitive::<Int64Type>().values().iter().enumerate() {
                    act(&mut self.bits, place(mix(value.cast_unsigned())), row);
                }
            }
            DataType::Int32 => {
                for (row, value) in column.as_primitive::<Int32Type>().values().iter().enumerate() {
                    act(&mut self.bits, place(mix(i64::from(*value).cast_unsigned())), row);
                }
            }
            DataType::Utf8 => {
                let values = column.as_string::<i32>();
                for row in 0..column.len() {
                    act(&mut self.bits, place(mix_bytes(values.value(row).as_bytes())), row);
                }
            }
            DataType::Utf8View => {
                let values = column.as_string_view();
                for row in 0..column.len() {
                    act(&mut self.bits, place(mix_bytes(values.value(row).as_bytes())), row);
                }
            }
            // Every row in one place: all pass.
            _ => (0..column.len()).for_each(|row| act(&mut self.bits, 0, row)),
        }
    }
}

fn mix(value: u64) -> u64 {
    value ^ (value >> 32)
}

fn mix_bytes(value: &[u8]) -> u64 {
    let mut mixed = value.len() as u64;
    let (words, rest) = value.as_chunks::<8>();
    for word in words {
        mixed = (mixed.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    for byte in rest {
        mixed = (mixed.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    mix(mixed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray, StringViewArray};
    use proptest::prelude::*;

    use super::*;

    fn passes(wanted: ArrayRef, column: ArrayRef) -> Vec<usize> {
        Sieve::new([wanted].iter()).passing(&column)
    }

    proptest! {
        #[test]
        fn wanted_rows_pass(keys in proptest::collection::vec(any::<i64>(), 0..300), at in any::<proptest::sample::Index>()) {
            prop_assume!(!keys.is_empty());
            let one = keys[at.index(keys.len())];
            let column: ArrayRef = Arc::new(Int64Array::from(keys.clone()));
            let row = keys.iter().position(|key| *key == one).expect("it was taken from there");
            prop_assert!(passes(Arc::new(Int64Array::from(vec![one])), column).contains(&row));
            let text: Vec<String> = keys.iter().map(|key| format!("{key:x}")).collect();
            let wanted: ArrayRef = Arc::new(StringArray::from(vec![text[row].as_str()]));
            let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(&text));
            prop_assert!(passes(wanted, views).contains(&row));
        }
    }

    #[test]
    fn few_others_pass() {
        let wanted: ArrayRef = Arc::new(Int64Array::from_iter_values((0..1000).map(|n| n * 977)));
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..100_000).map(|n| n * 31 + 5_000_000)));
        let passing = passes(wanted, column).len();
        assert!(passing < 15_000, "{passing} of 100,000 pass");
    }

    #[test]
    fn narrow_integers_and_other_types_are_safe() {
        let wanted: ArrayRef = Arc::new(Int64Array::from(vec![-3]));
        assert_eq!(passes(wanted, Arc::new(Int32Array::from(vec![-3]))), vec![0]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
        assert_eq!(passes(floats.clone(), floats), vec![0, 1]);
    }
}
