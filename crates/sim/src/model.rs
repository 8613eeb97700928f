//! What the table must hold: a map of rows, and operations applied to it one after the other.

use std::collections::BTreeMap;

use floe_table_format::{CompareOp, Predicate, Scalar};

/// A row of the simulated table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    /// Unique over the whole run.
    pub(crate) id: i64,
    /// What filters look at.
    pub(crate) key: i64,
    /// What updates change.
    pub(crate) value: i64,
    /// The operation that wrote the row first.
    pub(crate) tag: String,
}

/// Partition values that want care on their way into a path.
const PARTS: [&str; 4] = ["plain", "a b", "ü/%2F", "k=v"];

impl Row {
    /// The value of the partition column, in tables that have one.
    pub(crate) fn part(&self) -> &'static str {
        PARTS[self.key.rem_euclid(PARTS.len() as i64) as usize]
    }
}

/// Rows with a key of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The smallest key.
    pub(crate) from: i64,
    /// The first key beyond.
    pub(crate) to: i64,
}

impl Filter {
    /// Every row.
    pub(crate) const ALL: Filter = Filter { from: i64::MIN, to: i64::MAX };

    /// Whether the row is meant.
    pub(crate) fn matches(&self, row: &Row) -> bool {
        (self.from..self.to).contains(&row.key)
    }

    /// The same as Floe's predicate.
    pub(crate) fn predicate(&self) -> Predicate {
        Predicate::compare("key", CompareOp::GtEq, Scalar::Long(self.from)).and(Predicate::compare(
            "key",
            CompareOp::Lt,
            Scalar::Long(self.to),
        ))
    }
}

/// What an operation is meant to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Adds rows, having read nothing.
    Append(Vec<Row>),
    /// Deletes rows.
    Delete(Filter),
    /// Adds a number to the value of rows.
    Update(Filter, i64),
    /// Replaces all rows.
    Overwrite(Vec<Row>),
    /// Goes back to the rows that an earlier version had.
    Restore(Vec<Row>),
    /// Adds one row, whose value says what was read.
    ReadThenAppend(Filter, Row),
    /// Adds what was read to the value of one row of it, the one with the smallest id. As a merge does that looks at
    /// rows it does not change.
    ReadThenUpdate(Filter),
    /// Writes rows, each in the place of the row of its key.
    Upsert(Vec<Row>),
    /// Deletes the rows of keys.
    DeleteKeys(Vec<i64>),
    /// Adds rows of keys that have none.
    Insert(Vec<Row>),
}

impl Intent {
    /// The row that [`Intent::ReadThenAppend`] writes after having read these.
    pub(crate) fn witness<'a>(row: &Row, read: impl Iterator<Item = &'a Row>) -> Row {
        let (count, sum) = read.fold((0, 0), |(count, sum): (i64, i64), row| (count + 1, sum + row.value));
        Row { value: count * 1_000_000 + sum, ..row.clone() }
    }

    /// The row that [`Intent::ReadThenUpdate`] changes after having read these; none if there are none.
    pub(crate) fn summed(read: &[Row]) -> Option<Row> {
        let first = read.iter().min()?;
        Some(Row { value: first.value + 1_000 * read.len() as i64, ..first.clone() })
    }
}

/// A row of the model and how it came in.
#[derive(Debug, Clone)]
struct Known {
    row: Row,
    born: u64,
    blind: bool,
}

/// The rows after a version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    rows: BTreeMap<i64, Known>,
    serializable: bool,
}

impl Model {
    /// An empty table, whose writers are serializable or not.
    ///
    /// Without that, blind appends that landed after an operation read the table are as if they came after it.
    pub(crate) fn new(serializable: bool) -> Self {
        Model { rows: BTreeMap::new(), serializable }
    }

    /// Carries out an operation that read version `read` and became `version`.
    ///
    /// # Errors
    /// A row that is there already, in words.
    pub(crate) fn apply(&mut self, intent: &Intent, read: u64, version: u64) -> Result<(), String> {
        let serializable = self.serializable;
        let seen = |known: &Known| serializable || !(known.blind && known.born > read);
        match intent {
            Intent::Append(rows) => return self.add(rows.iter().cloned(), version, true),
            Intent::Delete(filter) => self.rows.retain(|_, known| !(filter.matches(&known.row) && seen(known))),
            Intent::Update(filter, more) => {
                for known in self.rows.values_mut().filter(|known| filter.matches(&known.row) && seen(known)) {
                    known.row.value += more;
                    (known.born, known.blind) = (version, false);
                }
            }
            Intent::Overwrite(rows) | Intent::Restore(rows) => {
                self.rows.retain(|_, known| !seen(known));
                return self.add(rows.iter().cloned(), version, false);
            }
            Intent::ReadThenAppend(filter, row) => {
                let read = self.rows.values().filter(|known| filter.matches(&known.row) && seen(known));
                let row = Intent::witness(row, read.map(|known| &known.row));
                return self.add([row], version, false);
            }
            Intent::ReadThenUpdate(filter) => {
                let read: Vec<Row> =
                    self.rows.values().filter(|k| filter.matches(&k.row) && seen(k)).map(|k| k.row.clone()).collect();
                if let Some(changed) = Intent::summed(&read) {
                    self.rows.insert(changed.id, Known { row: changed, born: version, blind: false });
                }
            }
            Intent::Upsert(rows) => {
                self.rows.retain(|_, known| !rows.iter().any(|row| row.key == known.row.key));
                return self.add(rows.iter().cloned(), version, false);
            }
            Intent::DeleteKeys(keys) => self.rows.retain(|_, known| !keys.contains(&known.row.key)),
            Intent::Insert(rows) => {
                if let Some(known) = self.rows.values().find(|known| rows.iter().any(|row| row.key == known.row.key)) {
                    return Err(format!("{:?} has its key already", known.row));
                }
                return self.add(rows.iter().cloned(), version, false);
            }
        }
        Ok(())
    }

    /// A key that two rows have.
    pub(crate) fn repeated_key(&self) -> Option<i64> {
        let mut keys = std::collections::BTreeSet::new();
        self.rows.values().map(|known| known.row.key).find(|key| !keys.insert(*key))
    }

    fn add(&mut self, rows: impl IntoIterator<Item = Row>, born: u64, blind: bool) -> Result<(), String> {
        for row in rows {
            if let Some(known) = self.rows.insert(row.id, Known { row, born, blind }) {
                return Err(format!("{:?} is written again", known.row));
            }
        }
        Ok(())
    }

    /// All rows, sorted.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.rows_matching(Filter::ALL)
    }

    /// The rows of a filter, sorted.
    pub(crate) fn rows_matching(&self, filter: Filter) -> Vec<Row> {
        self.rows.values().map(|known| &known.row).filter(|row| filter.matches(row)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, key: i64) -> Row {
        Row { id, key, value: 0, tag: "t".into() }
    }

    #[test]
    fn a_blind_append_may_land_behind_a_delete_that_did_not_see_it() {
        let delete = Intent::Delete(Filter { from: 0, to: 10 });
        for (serializable, left) in [(true, 0), (false, 1)] {
            let mut model = Model::new(serializable);
            assert_eq!(model.apply(&Intent::Append(vec![row(1, 1)]), 0, 1), Ok(()));
            assert_eq!(model.apply(&Intent::Append(vec![row(2, 2)]), 1, 2), Ok(()));
            assert_eq!(model.apply(&delete, 1, 3), Ok(()));
            assert_eq!(model.rows().len(), left);
        }
    }

    #[test]
    fn writing_a_row_twice_is_an_error() {
        let mut model = Model::new(true);
        assert_eq!(model.apply(&Intent::Append(vec![row(1, 1)]), 0, 1), Ok(()));
        assert!(model.apply(&Intent::Append(vec![row(1, 1)]), 1, 2).is_err());
    }

    #[test]
    fn what_was_read_shows_in_what_is_written() {
        let mut model = Model::new(true);
        assert_eq!(model.apply(&Intent::Append(vec![row(1, 1), row(2, 2), row(3, 9)]), 0, 1), Ok(()));
        assert_eq!(model.apply(&Intent::Update(Filter { from: 2, to: 5 }, 7), 1, 2), Ok(()));
        assert_eq!(model.apply(&Intent::ReadThenAppend(Filter { from: 0, to: 5 }, row(4, 3)), 2, 3), Ok(()));
        assert_eq!(model.rows().last().map(|r| r.value), Some(2_000_007));
    }
}
