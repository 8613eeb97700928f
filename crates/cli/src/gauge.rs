//! How far a statement has come, for people who wait: one line on a terminal, drawn after half a second and wiped away again.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use floe_query::{Progress, Session};
use floe_storage::Env;
use tokio::runtime::Handle;

use crate::message::{bytes_text, duration, grouped};

/// When a person begins to wonder.
const PATIENCE_MS: i64 = 500;

const TICK: Duration = Duration::from_millis(150);

/// The columns that a terminal has if it does not say.
const WIDTH: usize = 80;

/// A line that tells of the statement that runs, until it is dropped.
pub(crate) struct Gauge(Option<Arc<Mutex<State>>>);

#[derive(Default)]
struct State {
    drawn: bool,
    over: bool,
    /// Set when nobody waits for the statement any more: the terminal is somebody else's then.
    given_up: Arc<AtomicBool>,
}

/// Wipes the line, of a statement that is given up.
pub(crate) fn wipe() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

impl Gauge {
    /// Begins to watch, on a runtime that statements cannot keep busy. Nothing is drawn where standard error is no terminal.
    pub(crate) fn start(session: &Session, env: &Env, waiting: &Handle, given_up: &Arc<AtomicBool>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let state = Arc::new(Mutex::new(State { given_up: given_up.clone(), ..State::default() }));
        let (watched, session, clock) = (state.clone(), session.clone(), env.clone());
        let began = env.now().0;
        waiting.spawn(async move {
            loop {
                clock.sleep(TICK).await;
                let elapsed = clock.now().0 - began;
                let mut state = watched.lock().unwrap_or_else(PoisonError::into_inner);
                if state.over || state.given_up.load(Ordering::Acquire) {
                    return;
                }
                if elapsed >= PATIENCE_MS {
                    state.drawn = true;
                    let width = terminal_size::terminal_size_of(io::stderr());
                    let width = width.map_or(WIDTH, |(width, _)| usize::from(width.0));
                    let _ = write!(io::stderr(), "\r\x1b[K{}", line(&session.progress(), elapsed, width));
                    let _ = io::stderr().flush();
                }
            }
        });
        Self(Some(state))
    }

    /// Ends it and wipes the line, before something else is written.
    pub(crate) fn stop(&mut self) {
        let Some(state) = self.0.take() else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.over = true;
        if state.drawn && !state.given_up.load(Ordering::Acquire) {
            let _ = write!(io::stderr(), "\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The line, no wider than the terminal.
fn line(progress: &Progress, elapsed_ms: i64, width: usize) -> String {
    const BAR: u64 = 20;
    let Progress { files_total, files_to_read, files_read, bytes_read, rows_read, .. } = *progress;
    let mut parts = Vec::new();
    let mut text = String::new();
    if let Some(percent) = (files_read * 100).checked_div(files_to_read) {
        let bar: String = (0..BAR).map(|at| if at * 100 < percent * BAR { '#' } else { '.' }).collect();
        text = format!("[{bar}] {percent:>3}%  ");
        // The counts are raised while they are read.
        let pruned = match files_total.saturating_sub(files_to_read) {
            0 => String::new(),
            pruned => format!(" ({} pruned)", grouped(pruned)),
        };
        parts.push(format!("{}/{} files{pruned}", grouped(files_read), grouped(files_to_read)));
    } else if files_total > 0 {
        parts.push(format!("{} files found", grouped(files_total)));
    }
    if rows_read > 0 {
        parts.push(format!("{} rows", grouped(rows_read)));
    }
    if bytes_read > 0 {
        let rate = bytes_read.saturating_mul(1_000) / elapsed_ms.max(1).unsigned_abs();
        parts.push(format!("{}, {}/s", bytes_text(bytes_read), bytes_text(rate)));
    }
    match (files_read, files_to_read.saturating_sub(files_read)) {
        (1.., left @ 1..) => {
            let left = elapsed_ms.unsigned_abs().saturating_mul(left) / files_read;
            parts.push(format!("{} left", duration(left as i64)));
        }
        _ => parts.push(duration(elapsed_ms)),
    }
    text.push_str(&parts.join(", "));
    // The last column would begin another line.
    text.chars().take(width.saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_is_known_and_fits() {
        let none = Progress::default();
        assert_eq!(line(&none, 1_200, 80), "1.20 s");
        assert_eq!(line(&Progress { files_total: 4_000, ..none }, 600, 80), "4,000 files found, 600 ms");
        let half = Progress {
            files_total: 1_120,
            files_to_read: 120,
            files_read: 60,
            bytes_read: 30_000_000,
            bytes_to_read: 60_000_000,
            rows_read: 1_234_567,
        };
        let expected =
            "[##########..........]  50%  60/120 files (1,000 pruned), 1,234,567 rows, 30.0 MB, 15.0 MB/s, 2.00 s left";
        assert_eq!(line(&half, 2_000, 200), expected);
        assert_eq!(line(&half, 2_000, 80).chars().count(), 79);
        let started = Progress { files_read: 0, rows_read: 0, bytes_read: 0, ..half };
        assert_eq!(line(&started, 700, 80), "[....................]   0%  0/120 files (1,000 pruned), 700 ms");
    }
}
