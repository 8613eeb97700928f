//! Where work is done, and where it is waited for.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// Two runtimes, because one that computes on all its threads hears no signals meanwhile: Ctrl-C would wait for the
/// longest step of the query that it should end.
pub(crate) struct Runtimes {
    /// Runs statements, on as many threads as there are processors.
    pub(crate) work: Runtime,
    /// Waits for a statement or for Ctrl-C, on the thread that calls.
    pub(crate) waiting: Runtime,
}

impl Runtimes {
    pub(crate) fn new() -> io::Result<Self> {
        // Deep expressions are planned recursively; two mebibytes are little for that.
        let work = Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build()?;
        let waiting = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { work, waiting })
    }

    /// Ends without waiting for statements that were given up.
    pub(crate) fn leave(self) {
        self.work.shutdown_background();
        self.waiting.shutdown_background();
    }
}
