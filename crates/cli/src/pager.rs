//! Results that are longer than the screen, through a program that shows them page by page.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// Lines of a screen that are left for the prompt and what is said about the result.
const LINES_LEFT: usize = 3;

/// The lines that a terminal has if it does not say.
const HEIGHT: usize = 24;

/// The exit statuses by which a shell says that it could not run a program.
const NOT_RUN: [i32; 2] = [126, 127];

/// The program that people have chosen, or `less`, which cuts long lines and scrolls sideways.
pub(crate) fn chosen() -> String {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    said("FLOE_PAGER").or_else(|| said("PAGER")).unwrap_or_else(|| "less -S".to_owned())
}

/// The pager that runs, if one does: who writes to the terminal next waits for it.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<Option<Child>>>);

impl Running {
    /// Waits until it is left. False if it could not be started.
    pub(crate) fn wait(&self) -> bool {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = child.take().map(|mut child| child.wait());
        !matches!(status, Some(Ok(status)) if status.code().is_some_and(|code| NOT_RUN.contains(&code)))
    }
}

/// Where a result is written: the screen if it fits, else a pager.
pub(crate) struct Paged {
    command: String,
    running: Running,
    height: usize,
    /// What has been written, for as long as it fits.
    held: Vec<u8>,
    pages: Option<ChildStdin>,
}

impl Paged {
    pub(crate) fn new(command: &str, running: Running) -> Self {
        let height = terminal_size::terminal_size().map_or(HEIGHT, |(_, height)| usize::from(height.0));
        Paged {
            command: command.to_owned(),
            running,
            height: height.saturating_sub(LINES_LEFT).max(1),
            held: Vec::new(),
            pages: None,
        }
    }

    fn start(&mut self) -> io::Result<&mut ChildStdin> {
        let mut child = Command::new("sh").arg("-c").arg(&self.command).stdin(Stdio::piped()).spawn()?;
        let pages = child.stdin.take().ok_or_else(|| io::Error::other("the pager takes no input"))?;
        *self.running.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(self.pages.insert(pages))
    }
}

impl Write for Paged {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if let Some(pages) = &mut self.pages {
            return pages.write(text);
        }
        self.held.extend_from_slice(text);
        if self.held.iter().filter(|byte| **byte == b'\n').count() > self.height {
            let held = std::mem::take(&mut self.held);
            self.start()?.write_all(&held)?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.pages {
            Some(pages) => pages.flush(),
            None => io::stdout().write_all(&std::mem::take(&mut self.held)).and_then(|()| io::stdout().flush()),
        }
    }
}
