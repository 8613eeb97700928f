//! One session, its statements run in turn, their results written as they come.

use std::future::Future;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use floe_query::{
    Checked, Done, ErrorPlace, Outcome, Overview, ParsedStatement, Progress, QueryError, Session, SessionOptions,
    TableCheck, split_statements,
};
use floe_storage::{Env, StorageOptions};
use futures::StreamExt;
use futures::channel::oneshot;
use futures::future::abortable;
use tokio::runtime::Handle;

use crate::arguments::Request;
use crate::failure::{Failure, pointed_at};
use crate::gauge::{self, Gauge};
use crate::message::{Messages, bytes_text, duration, grouped};
use crate::pager::Running;
use crate::place;
use crate::render::{Shown, renderer};
use crate::runtimes::Runtimes;
use crate::settings::{Destination, Settings};

/// Runs statements and shows what comes of them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runner {
    session: Session,
    messages: Arc<Messages>,
    settings: Arc<Mutex<Settings>>,
    pager: Running,
    env: Env,
    /// Where statements are waited for.
    waiting: Handle,
    /// Set when nobody waits for this run any more. Its task ends at its next pause; until then it must not begin another
    /// statement or write to a terminal that shows a prompt again.
    given_up: Arc<AtomicBool>,
}

/// How long a completion may take.
const SOON: Duration = Duration::from_millis(1500);

/// The storage options of the environment, overridden by those of the command line.
pub(crate) fn storage_options(given: &[(String, String)]) -> StorageOptions {
    let mut options = StorageOptions::from_env();
    for (key, value) in given {
        options = options.with(key, value);
    }
    options
}

impl Runner {
    /// Opens the session, and the table or file of the command line under its own name.
    pub(crate) async fn open(request: &Request, messages: &Arc<Messages>, waiting: &Handle) -> Result<Self, Failure> {
        let options = SessionOptions::new(&request.warehouse)
            .with_storage_options(storage_options(&request.options))
            .with_read_only(request.read_only);
        let session = Session::open(options).await?;
        let runner = Self {
            session,
            messages: messages.clone(),
            settings: Arc::new(Mutex::new(Settings::new(request.format))),
            pager: Running::default(),
            env: Env::system(),
            waiting: waiting.clone(),
            given_up: Arc::default(),
        };
        if let Some(given) = &request.place {
            let place = place::resolve(given)?;
            runner.session.attach(&place.name, &place.location).await.map_err(|error| Failure::Statement {
                at: Some(format!("cannot open {given}")),
                error: Box::new(error),
                shown: None,
            })?;
            messages.note(&format!("opened {given} as {}", place.name));
        }
        Ok(runner)
    }

    /// The functions that queries can call.
    pub(crate) fn function_names(&self) -> Vec<String> {
        self.session.function_names()
    }

    /// The tables of a schema, of the current one by default; none where the store does not answer soon.
    pub(crate) fn table_names(&self, runtimes: &Runtimes, schema: Option<&str>) -> Vec<String> {
        let schema = schema.map_or_else(|| self.session.current_schema(), str::to_owned);
        let tables = async {
            let tables = self.session.warehouse().tables(&schema).await.ok()?;
            Some(tables.into_iter().map(|table| table.name).collect())
        };
        self.soon(runtimes, tables).unwrap_or_default()
    }

    /// The schemas; none where the store does not answer soon.
    pub(crate) fn schema_names(&self, runtimes: &Runtimes) -> Vec<String> {
        self.soon(runtimes, async { self.session.warehouse().schemas().await.ok() }).unwrap_or_default()
    }

    /// The columns of a table; none where there is no such table or the store does not answer soon.
    pub(crate) fn column_names(&self, runtimes: &Runtimes, table: &str) -> Vec<String> {
        let columns = async {
            let table = self.session.table(table).await.ok()?;
            let snapshot = table.cached_snapshot().await.ok()?;
            Some(snapshot.schema().fields.iter().map(|field| field.name.clone()).collect())
        };
        self.soon(runtimes, columns).unwrap_or_default()
    }

    /// The newest version of a table; none where there is no such table or the store does not answer soon.
    pub(crate) fn newest_version(&self, runtimes: &Runtimes, table: &str) -> Option<i64> {
        let version = async {
            let table = self.session.table(table).await.ok()?;
            Some(table.cached_snapshot().await.ok()?.version().as_i64())
        };
        self.soon(runtimes, version)
    }

    /// What the work comes to, if it does so before a person wonders.
    fn soon<T>(&self, runtimes: &Runtimes, work: impl Future<Output = Option<T>>) -> Option<T> {
        runtimes.work.block_on(async {
            tokio::select! {
                found = work => found,
                () = self.env.sleep(SOON) => None,
            }
        })
    }

    /// What is set for the results to come.
    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes true with the next Ctrl-C, whoever else takes notice of it.
    pub(crate) fn note_interrupt(&self, runtimes: &Runtimes) -> Arc<AtomicBool> {
        let pressed = Arc::new(AtomicBool::new(false));
        let noted = pressed.clone();
        runtimes.work.block_on(async {
            self.env.spawn(async move {
                if tokio::signal::ctrl_c().await.is_ok() {
                    noted.store(true, Ordering::Release);
                }
            });
        });
        pressed
    }

    /// Waits, unless Ctrl-C is pressed.
    pub(crate) fn pause(&self, runtimes: &Runtimes, pause: Duration) -> Result<(), Failure> {
        runtimes.waiting.block_on(async {
            tokio::select! {
                () = self.env.sleep(pause) => Ok(()),
                Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
            }
        })
    }

    /// How this runner talks.
    pub(crate) fn messages(&self) -> &Messages {
        &self.messages
    }

    /// Runs the statements of one source in turn, up to the first that fails or until Ctrl-C is pressed.
    pub(crate) fn run_script(&self, runtimes: &Runtimes, text: String, source: String) -> Result<(), Failure> {
        self.until_interrupted(runtimes, |runner| async move { runner.script(&text, &source).await })
    }

    /// Checks a table, and mends it where that is asked for.
    pub(crate) async fn check(&self, table: &str, how: TableCheck, json: bool) -> Result<Checked, Failure> {
        let mut checked = self.session.check(table, how).await?;
        if json {
            // Escaped by its format; it stays one line.
            checked.lines = vec![std::mem::take(&mut checked.json)];
        } else {
            checked.lines.iter_mut().for_each(|line| *line = self.messages.harmless(line));
        }
        Ok(checked)
    }

    /// What a table looks like.
    pub(crate) async fn overview(&self, table: &str) -> Result<Overview, Failure> {
        Ok(self.session.overview(table).await?)
    }

    /// Shows the columns of every table of the current schema.
    pub(crate) fn run_all_columns(&self, runtimes: &Runtimes) -> Result<(), Failure> {
        self.until_interrupted(runtimes, |runner| async move { runner.all_columns().await })
    }

    /// Runs the work as a task of its own, because one step of a query may compute for long without a pause, and Ctrl-C
    /// should give the prompt back at once. The task is dropped at its next pause; nothing can be committed after that.
    pub(crate) fn until_interrupted<F>(
        &self,
        runtimes: &Runtimes,
        work: impl FnOnce(Runner) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let runner = Runner { given_up: Arc::default(), pager: Running::default(), ..self.clone() };
        let (given_up, pager) = (runner.given_up.clone(), runner.pager.clone());
        let (work, abort) = abortable(work(runner));
        let (tell, mut told) = oneshot::channel();
        runtimes.work.block_on(async {
            self.env.spawn(async move {
                let _ = tell.send(work.await);
            });
        });
        let finished = runtimes.waiting.block_on(async {
            loop {
                tokio::select! {
                    finished = &mut told => break match finished {
                        Ok(Ok(finished)) => finished,
                        _ => Err(Failure::Crashed),
                    },
                    // Without a handler there is nothing to wait for, and the signal ends the process.
                    Ok(()) = tokio::signal::ctrl_c() => {
                        // It was meant for the pager: leaving that ends the statement.
                        if pager.has_terminal() {
                            continue;
                        }
                        given_up.store(true, Ordering::Release);
                        abort.abort();
                        gauge::wipe();
                        break Err(Failure::Interrupted);
                    }
                }
            }
        });
        // Nobody else writes to the terminal for as long as a pager has it.
        pager.end();
        finished
    }

    fn check_not_given_up(&self) -> Result<(), Failure> {
        if self.given_up.load(Ordering::Acquire) { Err(Failure::Interrupted) } else { Ok(()) }
    }

    async fn script(&self, text: &str, source: &str) -> Result<(), Failure> {
        let statements = split_statements(text).map_err(|error| Failure::Statement {
            at: None,
            shown: ErrorPlace::in_script(&error).and_then(|place| pointed_at(text, place)),
            error: Box::new(error),
        })?;
        let several = statements.len() > 1;
        for (position, statement) in statements.iter().enumerate() {
            self.check_not_given_up()?;
            let at = several.then(|| format!("{source}, statement {}", position + 1));
            self.statement(statement).await.map_err(|failure| match failure {
                Failure::Query(error) => {
                    let shown = statement.place_of(&error).and_then(|place| pointed_at(text, place));
                    Failure::Statement { at, error, shown }
                }
                other => other,
            })?;
        }
        Ok(())
    }

    async fn all_columns(&self) -> Result<(), Failure> {
        for table in self.session.tables().await? {
            self.messages.note(&table.name);
            let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
            self.script(&format!("DESCRIBE {}.{}", quoted(&table.schema), quoted(&table.name)), "input").await?;
        }
        Ok(())
    }

    async fn statement(&self, statement: &ParsedStatement) -> Result<(), Failure> {
        let began = self.env.now();
        let mut gauge = Gauge::start(&self.session, &self.env, &self.waiting, &self.given_up);
        let outcome = self.session.run(statement).await?;
        self.check_not_given_up()?;
        match outcome {
            Outcome::Done(Done { message, .. }) => {
                gauge.stop();
                let took = self.took(began.0);
                match (message.is_empty(), took) {
                    (true, Some(took)) => self.messages.aside(&format!("done in {took}")),
                    (true, None) => self.messages.aside("done"),
                    (false, Some(took)) => self.messages.note(&format!("{message}, in {took}")),
                    (false, None) => self.messages.note(&message),
                }
            }
            Outcome::Rows(mut rows) => {
                let (format, insert_into, destination, pager) = {
                    let mut settings = self.settings();
                    let destination = settings.destination(&self.pager)?;
                    (settings.format, settings.insert_into.clone(), destination, settings.pager.clone())
                };
                let Destination { sink, surface, paged } = destination;
                let mut out = BufWriter::with_capacity(64 << 10, sink);
                let mut renderer = renderer(format, &rows.schema(), surface, &insert_into);
                while let Some(batch) = rows.next().await {
                    self.check_not_given_up()?;
                    if surface.terminal {
                        gauge.stop();
                    }
                    let batch = batch.map_err(|error| Failure::from(QueryError::from(error)));
                    let written = batch.and_then(|batch| renderer.batch(&batch, &mut out).map_err(Failure::Output));
                    match written {
                        Ok(()) => {}
                        Err(failure) if paged && failure.output_closed() => return self.left_pager(pager),
                        Err(failure) => {
                            // What was written stays written, before the error is said.
                            let _ = out.flush();
                            return Err(failure);
                        }
                    }
                }
                gauge.stop();
                let finished = renderer.finish(&mut out).map_err(Failure::Output);
                let flushed = finished.and_then(|shown| {
                    out.flush().map_err(|error| Failure::Output(error.into()))?;
                    Ok(shown)
                });
                drop(out);
                let shown = match flushed {
                    Err(failure) if paged && failure.output_closed() => return self.left_pager(pager),
                    other => other?,
                };
                if !self.pager.wait() {
                    return Err(no_pager(pager));
                }
                self.check_not_given_up()?;
                self.messages.aside(&footer(shown, self.took(began.0), &self.session.progress()));
            }
        }
        Ok(())
    }

    /// The pager takes no more: it was left before the end of the result, or never ran.
    fn left_pager(&self, pager: Option<String>) -> Result<(), Failure> {
        if !self.pager.wait() {
            return Err(no_pager(pager));
        }
        self.check_not_given_up()?;
        self.messages.aside("left before the end; the rest was not read");
        Ok(())
    }

    /// How long it took since then, if that is to be said.
    fn took(&self, began_ms: i64) -> Option<String> {
        self.settings().timing.then(|| duration(self.env.now().0 - began_ms))
    }
}

fn no_pager(pager: Option<String>) -> Failure {
    Failure::Pager { command: pager.unwrap_or_default() }
}

fn footer(Shown { rows, shown }: Shown, took: Option<String>, read: &Progress) -> String {
    let rows_text = match rows {
        1 => "1 row".to_owned(),
        rows => format!("{} rows", grouped(rows)),
    };
    let cut = if shown < rows { format!(", {shown} shown") } else { String::new() };
    let took = took.map_or_else(String::new, |took| format!(" in {took}"));
    let read = match read.files_total {
        0 => String::new(),
        total => {
            let files = format!("{} of {} files", grouped(read.files_to_read), grouped(total));
            let bytes = if read.bytes_read > 0 { format!(", {}", bytes_text(read.bytes_read)) } else { String::new() };
            format!(", {files}{bytes}")
        }
    };
    format!("{rows_text}{cut}{took}{read}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_footer_says_what_was_left_out() {
        let nothing = Progress::default();
        let footer = |rows, shown, ms: Option<i64>| footer(Shown { rows, shown }, ms.map(duration), &nothing);
        assert_eq!(footer(1, 1, Some(7)), "1 row in 7 ms");
        assert_eq!(footer(6_001_215, 40, Some(1_234)), "6,001,215 rows, 40 shown in 1.23 s");
        assert_eq!(footer(0, 0, Some(61_000)), "0 rows in 1 min 1 s");
        assert_eq!(footer(2, 2, None), "2 rows");
    }

    #[test]
    fn the_footer_says_what_was_read() {
        let read = Progress { files_total: 1_000, files_to_read: 3, bytes_read: 4_560_000, ..Progress::default() };
        assert_eq!(footer(Shown { rows: 2, shown: 2 }, None, &read), "2 rows, 3 of 1,000 files, 4.6 MB");
        let from_the_log = Progress { files_to_read: 0, bytes_read: 0, ..read };
        assert_eq!(footer(Shown { rows: 1, shown: 1 }, None, &from_the_log), "1 row, 0 of 1,000 files");
    }
}
