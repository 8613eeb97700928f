//! What can be wrong with an index or a key.

/// The result of an operation on index values.
pub type Result<T, E = IndexError> = std::result::Result<T, E>;

/// Why index bytes or keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The bytes are no run of this format, or not as they were written. The run covers nothing then.
    #[error("damaged index run: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// A key column has a type whose values are not compared for equality.
    #[error(
        "a column of type {found} cannot be part of a primary key; use numbers, text, binary, booleans, dates or times"
    )]
    KeyType {
        /// The type, as Arrow names it.
        found: String,
    },
    /// A run cannot hold what was given to it.
    #[error("an index run cannot be written: {what}")]
    Limit {
        /// Which limit.
        what: String,
    },
}

impl IndexError {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        IndexError::Corrupt { what: what.into() }
    }
}
