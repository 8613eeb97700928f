//! Where work is done, and where it is waited for.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// How long the process waits for its threads when it ends.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Two runtimes, because one that computes on all its threads hears no signals meanwhile: Ctrl-C would wait for the
/// longest step of the query that it should end.
pub(crate) struct Runtimes {
    /// Runs statements. A query keeps about as many threads busy as there are processors; one that was given up may keep
    /// them until the end of its step, and there are as many again, so that the next statement need not wait for that.
    pub(crate) work: Runtime,
    /// Waits for a statement or for Ctrl-C, on the thread that calls.
    pub(crate) waiting: Runtime,
}

impl Runtimes {
    pub(crate) fn new() -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, |number| number.get());
        // Deep expressions are planned recursively; two mebibytes are little for that.
        let work = Builder::new_multi_thread()
            .enable_all()
            .worker_threads(2 * processors + 2)
            .thread_stack_size(8 << 20)
            .build()?;
        let waiting = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { work, waiting })
    }

    /// Ends the threads before the process does: what runs while a process takes itself down may find parts of it gone.
    /// Statements that were given up are waited for a moment only.
    pub(crate) fn leave(self) {
        self.work.shutdown_timeout(LEAVE_WITHIN);
        self.waiting.shutdown_background();
    }
}
