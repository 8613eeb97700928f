//! Identity columns: whose values are drawn from a sequence.
//!
//! Protocol section "Identity Columns". What has been given out stands in the column's metadata, so that a commit that gives
//! values out changes the metadata, and two writers cannot give out the same value without one of them noticing.

use serde_json::Value;

use super::{PrimitiveType, StructField, StructType, key};
use crate::error::{FormatError, Result, printable};

/// The sequence of an identity column: `start`, `start + step`, `start + 2 * step`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The first value.
    pub start: i64,
    /// From one value to the next; never 0.
    pub step: i64,
    /// The last value given out; none before the first.
    pub high_water_mark: Option<i64>,
    /// Whether rows may bring values of their own.
    pub allow_explicit_insert: bool,
}

impl Identity {
    /// The values to give out next: the first of them; none if the sequence has not so many left.
    ///
    /// They lie behind the high water mark also where that is no value of the sequence.
    pub fn next(&self, count: u64) -> Option<i64> {
        let (start, step) = (i128::from(self.start), i128::from(self.step));
        let steps = match self.high_water_mark.map(i128::from) {
            None => 0,
            Some(mark) if (mark < start) == (step > 0) && mark != start => 0,
            Some(mark) => (mark - start) / step + 1,
        };
        let first = start + steps * step;
        let last = first + i128::from(count.saturating_sub(1)) * step;
        i64::try_from(last).ok()?;
        i64::try_from(first).ok()
    }

    /// The last of `count` values from `first` on.
    pub fn last_of(&self, first: i64, count: u64) -> i64 {
        let last = i128::from(first) + i128::from(count.saturating_sub(1)) * i128::from(self.step);
        i64::try_from(last).unwrap_or(first)
    }

    /// Whether one value lies behind another in the direction of the sequence.
    pub fn is_behind(&self, value: i64, other: i64) -> bool {
        if self.step > 0 { value > other } else { value < other }
    }

    /// The first value of the sequence at or behind `value`, which the mark has to reach so that `value` is not given out.
    pub fn mark_at(&self, value: i64) -> Option<i64> {
        let (start, step, value) = (i128::from(self.start), i128::from(self.step), i128::from(value));
        let behind = (value - start) * step.signum();
        let steps = if behind <= 0 { 0 } else { (behind + step.abs() - 1) / step.abs() };
        i64::try_from(start + steps * step).ok()
    }
}

impl StructField {
    /// The sequence that the column's values are drawn from; none for a column of another kind.
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] if the metadata does not tell the whole sequence, or the column is no 64-bit integer: a
    /// value might be given out twice.
    pub fn identity(&self) -> Result<Option<Identity>> {
        if !self.is_identity() {
            return Ok(None);
        }
        let wrong = |what: &str| {
            let name = printable(&self.name);
            FormatError::invalid_schema(format!("identity column {name}: {what}"))
        };
        let number = |key: &str| match self.metadata.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                value.as_i64().map(Some).ok_or_else(|| wrong(&format!("{key} is {}", printable(&value.to_string()))))
            }
        };
        let start = number(key::IDENTITY_START)?.ok_or_else(|| wrong("its start is not known"))?;
        let step = number(key::IDENTITY_STEP)?.ok_or_else(|| wrong("its step is not known"))?;
        if step == 0 {
            return Err(wrong("its step is 0"));
        }
        if self.data_type.as_primitive() != Some(PrimitiveType::Long) {
            return Err(wrong(&format!("its type is {} and not long", self.data_type)));
        }
        let allow = self.metadata.get(key::IDENTITY_EXPLICIT).and_then(Value::as_bool);
        let allow_explicit_insert = allow.ok_or_else(|| wrong("whether rows may bring values is not known"))?;
        Ok(Some(Identity { start, step, high_water_mark: number(key::IDENTITY_MARK)?, allow_explicit_insert }))
    }

    /// Makes the column one whose values are drawn from a sequence.
    pub fn with_identity(mut self, identity: &Identity) -> Self {
        self.metadata.insert(key::IDENTITY_START.into(), identity.start.into());
        self.metadata.insert(key::IDENTITY_STEP.into(), identity.step.into());
        self.metadata.insert(key::IDENTITY_EXPLICIT.into(), identity.allow_explicit_insert.into());
        self.set_high_water_mark(identity.high_water_mark);
        self
    }

    /// Notes the last value given out.
    pub fn set_high_water_mark(&mut self, mark: Option<i64>) {
        match mark {
            Some(mark) => drop(self.metadata.insert(key::IDENTITY_MARK.into(), mark.into())),
            None => drop(self.metadata.remove(key::IDENTITY_MARK)),
        }
    }
}

impl StructType {
    /// Makes sure that no value is given out that another version of the table has given out.
    ///
    /// # Errors
    /// As [`StructField::identity`].
    pub fn keep_high_water_marks(&mut self, other: &StructType) -> Result<()> {
        for field in &mut self.fields {
            let Some(identity) = field.identity()? else { continue };
            let theirs = other.fields.iter().find(|other| other.name == field.name);
            let Some(mark) = theirs.map(StructField::identity).transpose()?.flatten().and_then(|i| i.high_water_mark)
            else {
                continue;
            };
            if identity.high_water_mark.is_none_or(|own| identity.is_behind(mark, own)) {
                field.set_high_water_mark(Some(mark));
            }
        }
        Ok(())
    }

    /// The same schema without what was given out of its sequences.
    pub(crate) fn without_high_water_marks(&self) -> StructType {
        let mut schema = self.clone();
        schema.fields.iter_mut().for_each(|field| field.set_high_water_mark(None));
        schema
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequence(start: i64, step: i64, mark: Option<i64>) -> Identity {
        Identity { start, step, high_water_mark: mark, allow_explicit_insert: false }
    }

    #[test]
    fn values_go_on_behind_the_mark() {
        for (start, step, mark, expected) in [
            (1, 1, None, Some(1)),
            (1, 1, Some(1), Some(2)),
            (10, 5, Some(20), Some(25)),
            (10, 5, Some(22), Some(25)),
            (10, 5, Some(3), Some(10)),
            (0, -2, Some(-4), Some(-6)),
            (0, -2, Some(-5), Some(-6)),
            (0, -2, Some(7), Some(0)),
            (1, 1, Some(i64::MAX), None),
            (i64::MIN, 1, Some(i64::MIN), Some(i64::MIN + 1)),
            (i64::MIN, i64::MAX, Some(i64::MAX - 1), None),
        ] {
            assert_eq!(sequence(start, step, mark).next(1), expected, "{start} {step} {mark:?}");
        }
        assert_eq!(sequence(i64::MAX - 2, 1, None).next(3), Some(i64::MAX - 2));
        assert_eq!(sequence(i64::MAX - 2, 1, None).next(4), None);
    }

    proptest! {
        #[test]
        fn no_value_is_given_out_twice(start: i64, step in prop::num::i64::ANY, counts in prop::collection::vec(1u64..5, 1..6)) {
            prop_assume!(step != 0);
            let mut identity = sequence(start, step, None);
            let mut given = std::collections::HashSet::new();
            for count in counts {
                let Some(first) = identity.next(count) else { break };
                for k in 0..count {
                    prop_assert!(given.insert(i128::from(first) + i128::from(k) * i128::from(step)));
                }
                identity.high_water_mark = Some(identity.last_of(first, count));
            }
        }

        #[test]
        fn a_value_brought_along_is_not_given_out(start: i64, step in prop::num::i64::ANY, value: i64) {
            prop_assume!(step != 0);
            let identity = sequence(start, step, None);
            if let Some(mark) = identity.mark_at(value) {
                let next = Identity { high_water_mark: Some(mark), ..identity }.next(1);
                prop_assert!(next.is_none_or(|next| identity.is_behind(next, value)), "{next:?}");
            }
        }
    }

    #[test]
    fn a_sequence_that_is_not_told_whole_is_refused() {
        let identity = sequence(3, 2, Some(7));
        let field = StructField::new("id", PrimitiveType::Long, true).with_identity(&identity);
        assert_eq!(field.identity(), Ok(Some(identity)));
        assert_eq!(StructField::new("id", PrimitiveType::Long, true).identity(), Ok(None));
        for key in ["delta.identity.start", "delta.identity.step", "delta.identity.allowExplicitInsert"] {
            let mut broken = field.clone();
            broken.metadata.remove(key);
            assert!(broken.identity().is_err(), "{key}");
        }
        assert!(field.clone().with_metadata("delta.identity.step", 0).identity().is_err());
        assert!(field.clone().with_metadata("delta.identity.highWaterMark", "7").identity().is_err());
        let narrow = StructField { data_type: PrimitiveType::Integer.into(), ..field };
        assert!(narrow.identity().is_err());
    }

    #[test]
    fn the_furthest_mark_is_kept() {
        let schema = |mark, step| {
            let field = StructField::new("id", PrimitiveType::Long, true).with_identity(&sequence(0, step, mark));
            StructType { fields: vec![field] }
        };
        let kept = |own, other, step| {
            let mut own = schema(own, step);
            own.keep_high_water_marks(&schema(other, step)).expect("told whole");
            own.fields[0].identity().expect("told whole").expect("an identity").high_water_mark
        };
        assert_eq!(kept(Some(5), Some(9), 1), Some(9));
        assert_eq!(kept(Some(9), Some(5), 1), Some(9));
        assert_eq!(kept(Some(-5), Some(-9), -1), Some(-9));
        assert_eq!(kept(None, Some(4), 1), Some(4));
        assert_eq!(kept(Some(4), None, 1), Some(4));
    }
}
