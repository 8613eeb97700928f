//! `floe check`, `floe show` and `floe index`: a table looked at and looked after, for scripts.

use std::io::{self, Write};

use crate::arguments::{Care, Checking, Showing};
use crate::failure::Failure;
use crate::render::RenderError;
use crate::runtimes::Runtimes;
use crate::session::Runner;
use crate::show::{self, Pen};

/// Does it. A table that is not sound is a failure.
pub(crate) fn take(runner: &Runner, runtimes: &Runtimes, care: Care) -> Result<(), Failure> {
    let (statement, from) = match care {
        Care::Check(table, how) => return runtimes.work.block_on(check(runner, table, how)),
        Care::Show(table, how) => return runtimes.work.block_on(show(runner, &table, &how)),
        Care::BuildIndex(table) => (format!("CREATE INDEX ON {}", named(&table)), "index build"),
        Care::ShowIndex(table) => (format!("SHOW INDEX ON {}", named(&table)), "index status"),
        Care::DropIndex(table) => (format!("DROP INDEX ON {}", named(&table)), "index drop"),
    };
    runner.run_script(runtimes, statement, from.to_owned())
}

async fn check(runner: &Runner, table: String, how: Checking) -> Result<(), Failure> {
    let answer = runner.check(&named(&table), how.check, how.json).await?;
    let mut out = io::stdout().lock();
    let mut say = |line: &str| writeln!(out, "{line}").map_err(|error| Failure::Output(RenderError::Output(error)));
    answer.lines.iter().try_for_each(|line| say(line))?;
    if answer.sound { Ok(()) } else { Err(Failure::UnsoundTable { table }) }
}

/// Draws a table for the shell, until Ctrl-C is pressed.
pub(crate) fn draw(runner: &Runner, runtimes: &Runtimes, table: String) -> Result<(), Failure> {
    runner.until_interrupted(runtimes, |runner| async move { show(&runner, &table, &Showing::default()).await })
}

/// Draws the table, or writes it as JSON; and as a page where that is asked for.
async fn show(runner: &Runner, table: &str, how: &Showing) -> Result<(), Failure> {
    let overview = runner.overview(table).await?;
    if let Some(file) = &how.html {
        let written = std::fs::write(file, show::page(&overview));
        written.map_err(|error| Failure::Destination { file: file.display().to_string(), error })?;
        if !how.json {
            runner.messages().note(&format!("wrote {}", file.display()));
            return Ok(());
        }
    }
    let lines = match how.json {
        true => vec![
            serde_json::to_string_pretty(&overview).map_err(|error| Failure::Output(io::Error::other(error).into()))?,
        ],
        false => {
            let lines = show::drawing(&overview, Pen::of_locale());
            lines.iter().map(|line| runner.messages().harmless(line)).collect()
        }
    };
    let mut out = io::stdout().lock();
    let mut say = |line: &str| writeln!(out, "{line}").map_err(|error| Failure::Output(RenderError::Output(error)));
    lines.iter().try_for_each(|line| say(line))
}

/// The table as SQL names it: a path in quotes, or a name.
fn named(table: &str) -> String {
    if table.contains('/') || table.contains("://") || table.starts_with('.') {
        return format!("'{}'", table.replace('\'', "''"));
    }
    let parts: Vec<String> = table.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn tables_are_named_as_sql_names_them() {
        assert_eq!(named("orders"), "\"orders\"");
        assert_eq!(named("sales.or\"ders"), "\"sales\".\"or\"\"ders\"");
        assert_eq!(named("./o'rders"), "'./o''rders'");
        assert_eq!(named("s3://bucket/t"), "'s3://bucket/t'");
    }
}
