//! What a person has set for the results to come.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use crate::failure::Failure;
use crate::pager::{Paged, Running};
use crate::render::{Format, Surface};

/// Where a result goes.
pub(crate) struct Destination {
    pub(crate) sink: Box<dyn Write + Send>,
    pub(crate) surface: Surface,
    pub(crate) paged: bool,
}

/// How results are written, and where.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) format: Format,
    /// The table that rows of [`Format::Insert`] go into.
    pub(crate) insert_into: String,
    /// Whether it is said how long a statement took.
    pub(crate) timing: bool,
    /// Whether statements are said before they run.
    pub(crate) echo: bool,
    /// Whether a script ends with its first error.
    pub(crate) bail: bool,
    /// The command that shows results which are longer than the screen; none cuts them.
    pub(crate) pager: Option<String>,
    output: Option<PathBuf>,
    once: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn new(format: Format) -> Self {
        let insert_into = "results".to_owned();
        Settings { format, insert_into, timing: true, echo: false, bail: false, pager: None, output: None, once: None }
    }

    /// Sends results to a file from now on, which begins empty; to standard output without one.
    ///
    /// # Errors
    /// [`Failure::Destination`] for a file that cannot be made; results go where they went before.
    pub(crate) fn send_to(&mut self, file: Option<&str>) -> Result<(), Failure> {
        self.output = file.map(emptied).transpose()?;
        Ok(())
    }

    /// Sends the next result to a file, which begins empty.
    ///
    /// # Errors
    /// As [`Settings::send_to`].
    pub(crate) fn send_next_to(&mut self, file: &str) -> Result<(), Failure> {
        self.once = Some(emptied(file)?);
        Ok(())
    }

    /// Where the next result goes, and whether that is a pager, which `running` knows of then.
    pub(crate) fn destination(&mut self, running: &Running) -> Result<Destination, Failure> {
        let Some(path) = self.once.take().or_else(|| self.output.clone()) else {
            return Ok(match (&self.pager, io::stdout().is_terminal()) {
                (Some(pager), true) => {
                    let sink = Box::new(Paged::new(pager, running.clone()));
                    Destination { sink, surface: Surface::paged(), paged: true }
                }
                _ => Destination { sink: Box::new(io::stdout()), surface: Surface::stdout(), paged: false },
            });
        };
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        let file = opened.map_err(|error| Failure::Destination { file: path.display().to_string(), error })?;
        Ok(Destination { sink: Box::new(file), surface: Surface::default(), paged: false })
    }
}

fn emptied(file: &str) -> Result<PathBuf, Failure> {
    File::create(file).map_err(|error| Failure::Destination { file: file.to_owned(), error })?;
    Ok(PathBuf::from(file))
}
