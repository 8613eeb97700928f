//! Conditions on rows, in the small form that pruning and conflict rules understand.
//!
//! A [`Predicate`] is what is left of a `WHERE` clause once everything that statistics cannot decide has become
//! [`Predicate::Unknown`]. It follows SQL's three-valued logic: a row counts as read or changed only where the predicate
//! is *true*; false and null are alike. Both consumers ask for a proof, never for a guess: a file is left out only when
//! surely no row of it makes the predicate true.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scalar::Scalar;

/// A condition on the rows of a table.
///
/// Columns are named by their logical path: one name for a column, several for a field inside structs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// Every row.
    True,
    /// No row.
    False,
    /// Something that cannot be decided here; any row may match and any row may not.
    Unknown,
    /// All of these.
    And(Vec<Predicate>),
    /// Any of these.
    Or(Vec<Predicate>),
    /// Not this; null stays null.
    Not(Box<Predicate>),
    /// A column against a constant; null if either is null.
    Compare {
        /// Logical path of the column.
        column: Vec<String>,
        /// How they compare.
        op: CompareOp,
        /// The constant, on the right.
        value: Scalar,
    },
    /// The column is null, or a struct around it is.
    IsNull(Vec<String>),
    /// The column is not null.
    IsNotNull(Vec<String>),
    /// The column equals one of these; null if none equals and the column or one of them is null.
    In {
        /// Logical path of the column.
        column: Vec<String>,
        /// The constants.
        values: Vec<Scalar>,
    },
    /// The text of the column starts with this.
    StartsWith {
        /// Logical path of the column.
        column: Vec<String>,
        /// The prefix; the empty one matches every text.
        prefix: String,
    },
}

/// How a column compares with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

impl CompareOp {
    /// The operator that is true exactly where this one is false, nulls aside.
    pub fn negated(self) -> Self {
        match self {
            CompareOp::Eq => CompareOp::NotEq,
            CompareOp::NotEq => CompareOp::Eq,
            CompareOp::Lt => CompareOp::GtEq,
            CompareOp::LtEq => CompareOp::Gt,
            CompareOp::Gt => CompareOp::LtEq,
            CompareOp::GtEq => CompareOp::Lt,
        }
    }

    /// The operator with its sides exchanged: `5 < x` is `x > 5`.
    pub fn swapped(self) -> Self {
        match self {
            CompareOp::Lt => CompareOp::Gt,
            CompareOp::LtEq => CompareOp::GtEq,
            CompareOp::Gt => CompareOp::Lt,
            CompareOp::GtEq => CompareOp::LtEq,
            same => same,
        }
    }

    /// As SQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            CompareOp::Eq => "=",
            CompareOp::NotEq => "<>",
            CompareOp::Lt => "<",
            CompareOp::LtEq => "<=",
            CompareOp::Gt => ">",
            CompareOp::GtEq => ">=",
        }
    }
}

/// What is known of a predicate over some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// True for every row.
    Yes,
    /// True for no row.
    No,
    /// Neither is proved.
    Unknown,
}

impl Predicate {
    /// `column op value` for a column at the top level.
    pub fn compare(column: impl Into<String>, op: CompareOp, value: Scalar) -> Self {
        Predicate::Compare { column: vec![column.into()], op, value }
    }

    /// `column = value` for a column at the top level.
    pub fn eq(column: impl Into<String>, value: Scalar) -> Self {
        Predicate::compare(column, CompareOp::Eq, value)
    }

    /// This and the other, without piling up nested conjunctions.
    pub fn and(self, other: Predicate) -> Self {
        match (self, other) {
            (Predicate::True, p) | (p, Predicate::True) => p,
            (Predicate::And(mut left), Predicate::And(right)) => {
                left.extend(right);
                Predicate::And(left)
            }
            (Predicate::And(mut left), p) => {
                left.push(p);
                Predicate::And(left)
            }
            (p, Predicate::And(mut right)) => {
                right.insert(0, p);
                Predicate::And(right)
            }
            (left, right) => Predicate::And(vec![left, right]),
        }
    }

    /// This or the other.
    pub fn or(self, other: Predicate) -> Self {
        match (self, other) {
            (Predicate::False, p) | (p, Predicate::False) => p,
            (Predicate::Or(mut left), Predicate::Or(right)) => {
                left.extend(right);
                Predicate::Or(left)
            }
            (Predicate::Or(mut left), p) => {
                left.push(p);
                Predicate::Or(left)
            }
            (left, right) => Predicate::Or(vec![left, right]),
        }
    }

    /// The logical paths of all columns named.
    pub fn columns(&self) -> BTreeSet<Vec<String>> {
        let mut columns = BTreeSet::new();
        self.visit_columns(&mut |path| {
            columns.insert(path.to_vec());
        });
        columns
    }

    /// Whether any part is [`Predicate::Unknown`], so that the whole says less than the condition it stands for.
    pub fn has_unknown(&self) -> bool {
        match self {
            Predicate::Unknown => true,
            Predicate::And(parts) | Predicate::Or(parts) => parts.iter().any(Predicate::has_unknown),
            Predicate::Not(inner) => inner.has_unknown(),
            _ => false,
        }
    }

    fn visit_columns(&self, visit: &mut impl FnMut(&[String])) {
        match self {
            Predicate::True | Predicate::False | Predicate::Unknown => {}
            Predicate::And(parts) | Predicate::Or(parts) => parts.iter().for_each(|p| p.visit_columns(visit)),
            Predicate::Not(inner) => inner.visit_columns(visit),
            Predicate::IsNull(column) | Predicate::IsNotNull(column) => visit(column),
            Predicate::Compare { column, .. } | Predicate::In { column, .. } | Predicate::StartsWith { column, .. } => {
                visit(column)
            }
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Predicate::True => f.write_str("true"),
            Predicate::False => f.write_str("false"),
            Predicate::Unknown => f.write_str("?"),
            Predicate::And(parts) => write_joined(f, parts, " AND ", "true"),
            Predicate::Or(parts) => write_joined(f, parts, " OR ", "false"),
            Predicate::Not(inner) => write!(f, "NOT ({inner})"),
            Predicate::Compare { column, op, value } => write!(f, "{} {} {value}", column.join("."), op.as_str()),
            Predicate::IsNull(column) => write!(f, "{} IS NULL", column.join(".")),
            Predicate::IsNotNull(column) => write!(f, "{} IS NOT NULL", column.join(".")),
            Predicate::In { column, values } => {
                write!(f, "{} IN (", column.join("."))?;
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_str(")")
            }
            Predicate::StartsWith { column, prefix } => {
                write!(f, "starts_with({}, {})", column.join("."), Scalar::String(prefix.clone()))
            }
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Predicate], with: &str, none: &str) -> fmt::Result {
    if parts.is_empty() {
        return f.write_str(none);
    }
    f.write_str("(")?;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(with)?;
        }
        write!(f, "{part}")?;
    }
    f.write_str(")")
}
