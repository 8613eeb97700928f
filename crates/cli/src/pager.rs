//! Results that are longer than the screen, through a program that shows them page by page.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unicode_width::UnicodeWidthStr;

use crate::locale;

/// Lines of a screen that are left for the prompt and what is said about the result.
const LINES_LEFT: usize = 3;

/// The lines that a terminal has if it does not say.
const HEIGHT: usize = 24;
const WIDTH: usize = 80;

/// The exit statuses by which a shell says that it could not run a program.
const NOT_RUN: [i32; 2] = [126, 127];

/// The program that people have chosen, or `less`, which cuts long lines and scrolls sideways.
pub(crate) fn chosen() -> String {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    said("FLOE_PAGER").or_else(|| said("PAGER")).unwrap_or_else(|| "less -S".to_owned())
}

/// The pager that runs for some statements, if one does: who writes to the terminal next waits for it.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// Nobody waits any more: none may be started.
    over: bool,
}

impl Running {
    /// Waits until it is left. False if it could not be started.
    pub(crate) fn wait(&self) -> bool {
        self.lock().wait()
    }

    /// As [`Running::wait`]; no other one is started after that.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        state.wait();
    }

    /// Whether one has the terminal. Who waits for it holds the lock.
    pub(crate) fn has_terminal(&self) -> bool {
        match self.0.try_lock() {
            Ok(mut state) => state.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))),
            Err(_) => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self) -> bool {
        let status = self.child.take().map(|mut child| child.wait());
        !matches!(status, Some(Ok(status)) if status.code().is_some_and(|code| NOT_RUN.contains(&code)))
    }
}

/// Where a result is written: the screen if it fits, in its length and its width, else a pager.
pub(crate) struct Paged {
    command: String,
    running: Running,
    height: usize,
    width: usize,
    /// What has been written, for as long as it fits, and the lines of it.
    held: Vec<u8>,
    pages: Option<ChildStdin>,
}

impl Paged {
    pub(crate) fn new(command: &str, running: Running) -> Self {
        let size = terminal_size::terminal_size();
        let (width, height) = size.map_or((WIDTH, HEIGHT), |(width, height)| (width.0.into(), height.0.into()));
        Paged {
            command: command.to_owned(),
            running,
            height: height.saturating_sub(LINES_LEFT).max(1),
            width,
            held: Vec::new(),
            pages: None,
        }
    }

    fn start(&mut self) -> io::Result<&mut ChildStdin> {
        let mut running = self.running.lock();
        if running.over {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::piped());
        if locale::has_unicode() && std::env::var_os("LESSCHARSET").is_none() {
            // Without a locale, less takes what is no ASCII for bytes.
            command.env("LESSCHARSET", "utf-8");
        }
        let mut child = command.spawn()?;
        let pages = child.stdin.take().ok_or_else(|| io::Error::other("the pager takes no input"))?;
        running.child = Some(child);
        Ok(self.pages.insert(pages))
    }

    /// Whether the screen has room for what is held.
    fn fits(&self) -> bool {
        let text = String::from_utf8_lossy(&self.held);
        text.lines().count() <= self.height && text.lines().all(|line| line.width() <= self.width)
    }
}

impl Write for Paged {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if let Some(pages) = &mut self.pages {
            return pages.write(text);
        }
        self.held.extend_from_slice(text);
        if !self.fits() {
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
