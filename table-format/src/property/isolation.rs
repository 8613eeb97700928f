//! How much of what others do meanwhile a table lets its writers pass over.

/// How much concurrent work a transaction tolerates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// The result equals the serial order of the versions, reads included.
    Serializable,
    /// Writes are serial; a blind append may land between a transaction's read and its write. Delta's default.
    #[default]
    WriteSerializable,
    /// Only what was read is stable. For changes that keep the rows, such as compaction.
    Snapshot,
}

impl IsolationLevel {
    /// As `commitInfo.isolationLevel` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            IsolationLevel::Serializable => "Serializable",
            IsolationLevel::WriteSerializable => "WriteSerializable",
            IsolationLevel::Snapshot => "SnapshotIsolation",
        }
    }
}
