//! The `floe` binary: arguments, the shell, rendering.
//!
//! An invocation becomes one [`Request`]: a session to open and the statements to run on it, or the
//! shell. Each statement becomes one call of [`floe_query::Session`]; its rows go to standard output through a
//! [`render::Renderer`], what is said about it to standard error. No table is read or written here in any other way.
//!
//! ```no_run
//! // The whole of the binary:
//! fn main() -> std::process::ExitCode {
//!     floe_cli::run(std::env::args_os())
//! }
//! ```

pub mod arguments;
pub mod render;

mod failure;
mod gauge;
mod locale;
mod message;
mod pager;
mod place;
mod runtimes;
mod session;
mod settings;
mod show;

mod care;
mod doctor;
mod shell;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use arguments::{Invocation, Request, Source};
use failure::Failure;
use message::Messages;
use runtimes::Runtimes;
use session::Runner;

/// Runs the binary with these arguments (the first is the program's name) and says what to exit with: 0, or 1 when
/// something failed. A closed output ends it without a word.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let invocation = match Invocation::parse(arguments) {
        Ok(invocation) => invocation,
        Err(error) => {
            // Help and version are "errors" to the parser; only real ones are failures.
            let failed = error.use_stderr();
            let _ = error.print();
            return if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let messages = Arc::new(Messages::new(invocation.quiet(), invocation.options()));
    let runtimes = match Runtimes::new() {
        Ok(runtimes) => runtimes,
        Err(error) => {
            messages.error(&error);
            return ExitCode::FAILURE;
        }
    };
    let finished = match invocation {
        Invocation::Doctor(request) => runtimes.work.block_on(doctor::examine(&request, &messages)),
        Invocation::Completions(shell) => {
            let written = io::stdout().lock().write_all(&Invocation::completions(shell));
            written.map_err(|error| Failure::Output(error.into()))
        }
        Invocation::Man => {
            let written = Invocation::manual().and_then(|page| io::stdout().lock().write_all(&page));
            written.map_err(|error| Failure::Output(error.into()))
        }
        Invocation::Sql(request) => sql(&request, &messages, &runtimes),
        Invocation::Care(request, care) => runtimes
            .work
            .block_on(Runner::open(&request, &messages, runtimes.waiting.handle()))
            .and_then(|runner| care::take(&runner, &runtimes, care)),
    };
    runtimes.leave();
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.output_closed() {
                messages.error(&failure);
            }
            ExitCode::FAILURE
        }
    }
}

fn sql(request: &Request, messages: &Arc<Messages>, runtimes: &Runtimes) -> Result<(), Failure> {
    let runner = runtimes.work.block_on(Runner::open(request, messages, runtimes.waiting.handle()))?;
    if request.sources.is_empty() && io::stdin().is_terminal() {
        return shell::converse(&runner, runtimes, request);
    }
    let mut sources = request.sources.clone();
    if sources.is_empty() {
        sources.push(Source::StandardInput);
    }
    for source in &sources {
        let text = read(source)?;
        match shell::has_commands(&text) {
            true => shell::run_script(&runner, runtimes, &text)?,
            false => runner.run_script(runtimes, text, source.to_string())?,
        }
    }
    Ok(())
}

fn read(source: &Source) -> Result<String, Failure> {
    match source {
        Source::Text(text) => Ok(text.clone()),
        Source::File(path) => {
            std::fs::read_to_string(path).map_err(|error| Failure::Input { from: path.display().to_string(), error })
        }
        Source::StandardInput => {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::Input { from: "standard input".to_owned(), error })?;
            Ok(text)
        }
    }
}
