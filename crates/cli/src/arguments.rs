//! What the command line says, parsed once.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use floe_query::TableCheck;

use crate::render::Format;

/// The warehouse of a program that names none.
pub const DEFAULT_WAREHOUSE: &str = "./warehouse";

/// One invocation of the binary.
#[derive(Debug, Clone, PartialEq)]
pub enum Invocation {
    /// Statements, or the shell.
    Sql(Request),
    /// A store to examine.
    Doctor(Examination),
    /// A table to look after.
    Care(Request, Care),
    /// Write completions for a shell.
    Completions(clap_complete::Shell),
    /// Write the page of the manual.
    Man,
}

/// What to do for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Care {
    /// Look whether it is sound, and mend what can be mended.
    Check(String, Checking),
    /// Show what it looks like.
    Show(String, Showing),
    /// Cover all its files by the record index.
    BuildIndex(String),
    /// Say what the record index covers.
    ShowIndex(String),
    /// Delete the record index.
    DropIndex(String),
}

/// How a table is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checking {
    /// What is looked at, and what is mended.
    pub check: TableCheck,
    /// Whether the report is written as JSON.
    pub json: bool,
}

/// As what a table is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Showing {
    /// As JSON on standard output, and not as a drawing.
    pub json: bool,
    /// As a page in this file too.
    pub html: Option<PathBuf>,
}

/// A session, and what to run on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// A table, file or directory to open under a name of its own.
    pub place: Option<String>,
    /// Where tables without a location of their own live.
    pub warehouse: String,
    /// Statements in the order they were given; empty is the shell or standard input.
    pub sources: Vec<Source>,
    /// How rows are written.
    pub format: Format,
    /// Storage options.
    pub options: Vec<(String, String)>,
    /// Whether statements that change anything are refused.
    pub read_only: bool,
    /// Whether only errors are said.
    pub quiet: bool,
}

/// A store to examine.
#[derive(Debug, Clone, PartialEq)]
pub struct Examination {
    /// A place in the store that may be written to.
    pub uri: String,
    /// Storage options.
    pub options: Vec<(String, String)>,
    /// Whether only errors are said.
    pub quiet: bool,
}

/// Where statements come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Text(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    StandardInput,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("-c"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::StandardInput => f.write_str("standard input"),
        }
    }
}

/// Delta Lake tables with SQL, on disk and in object storage.
///
/// Without -c and -f, statements are read from standard input; at a terminal that is the shell. Rows go to standard
/// output, everything said about them to standard error. The first statement that fails ends the run with status 1.
#[derive(Debug, Parser)]
#[command(name = "floe", version, disable_help_subcommand = true, after_help = EXAMPLES)]
struct CommandLine {
    /// A Delta table, Parquet, CSV or JSON file to open under its own name, or a .sql file to run
    #[arg(value_name = "PATH_OR_FILE")]
    place: Option<String>,

    /// Where tables live: a directory or s3://, az://, gs:// URI, made on first use
    #[arg(short, long, value_name = "URI", default_value = DEFAULT_WAREHOUSE)]
    warehouse: String,

    /// Run these statements; may be repeated and mixed with -f
    #[arg(short, long, value_name = "SQL")]
    command: Vec<String>,

    /// Run the statements in this file; may be repeated
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// How rows are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Refuse every statement that changes something
    #[arg(long)]
    read_only: bool,

    #[command(flatten)]
    shared: Shared,

    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Debug, Args)]
struct Shared {
    /// A storage option, as AWS_REGION=eu-central-1; the environment counts too
    #[arg(long = "option", value_name = "KEY=VALUE", global = true, value_parser = key_value)]
    options: Vec<(String, String)>,

    /// Say nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Examine whether a store can hold tables: its writes must be able to refuse to overwrite
    #[command(
        after_help = "Examples:\n  floe doctor ./warehouse\n  floe doctor s3://bucket/lake --option AWS_REGION=eu-central-1"
    )]
    Doctor {
        /// A place in the store that may be written to; what is written there is removed again
        uri: String,
    },
    /// Look whether a table is sound: its log, checkpoints, checksums, files, statistics, deletion vectors and keys
    #[command(
        after_help = "Examples:\n  floe check orders\n  floe check s3://bucket/table --json\n  floe check orders --repair --dry-run"
    )]
    Check {
        /// A table of the warehouse, or a path or URI
        table: String,
        /// Write the report as JSON
        #[arg(long)]
        json: bool,
        /// Read footers but no rows: statistics and keys are not held against them
        #[arg(long)]
        quick: bool,
        /// Mend what is certainly safe to mend: checkpoints, _last_checkpoint, the record index
        #[arg(long)]
        repair: bool,
        /// With --repair, give up files that are missing: their rows are lost to the table
        #[arg(long, requires = "repair")]
        drop_missing_files: bool,
        /// With --repair, change nothing and say what would be mended
        #[arg(long, requires = "repair")]
        dry_run: bool,
    },
    /// Show what a table looks like: commits, files by size and partition, deleted rows, overlap, log and health
    #[command(
        after_help = "Examples:\n  floe show orders\n  floe show s3://bucket/table --json\n  floe show path/to/table --html table.html"
    )]
    Show {
        /// A table of the warehouse, or a path or URI
        table: String,
        /// Write it as JSON
        #[arg(long)]
        json: bool,
        /// Write it as a page of HTML with charts, which needs nothing from elsewhere
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Write what makes a shell complete floe's own arguments: source it, or put it where the shell looks
    #[command(after_help = "Examples:\n  source <(floe completions bash)\n  floe completions zsh > ~/.zfunc/_floe")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the page of the manual: put it where man looks
    #[command(after_help = "Examples:\n  floe man > /usr/local/share/man/man1/floe.1\n  floe man | man -l -")]
    Man,
    /// Build, look at or drop the record index of a table with a primary key
    #[command(after_help = "Examples:\n  floe index build orders\n  floe index status s3://bucket/lake/default/orders")]
    Index {
        #[command(subcommand)]
        action: IndexAction,
    },
}

#[derive(Debug, Subcommand)]
enum IndexAction {
    /// Cover every file of the table
    #[command(after_help = "Examples:\n  floe index build orders")]
    Build {
        /// A table of the warehouse, or a path or URI
        table: String,
    },
    /// Say what is covered
    #[command(after_help = "Examples:\n  floe index status orders")]
    Status {
        /// A table of the warehouse, or a path or URI
        table: String,
    },
    /// Delete the index; nothing but speed is lost
    #[command(after_help = "Examples:\n  floe index drop orders")]
    Drop {
        /// A table of the warehouse, or a path or URI
        table: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  floe                                              the shell, on ./warehouse
  floe -c \"SELECT count(*) FROM 'data/*.parquet'\"   one statement
  floe path/to/table                                the shell, with one table opened
  floe -w s3://bucket/lake -f load.sql --format csv
  floe doctor s3://bucket/lake
  floe check orders
  floe check s3://bucket/table --repair --dry-run
  floe show orders --html orders.html
  floe index build s3://bucket/lake/default/orders";

/// The version with what of the protocol it supports.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let (reads, writes) = floe_query::supported_features();
    let listed = |features: &[&str]| {
        let mut lines = String::new();
        let mut width = 0;
        for feature in features {
            if width == 0 || width + feature.len() + 1 > 76 {
                lines.push_str("\n ");
                width = 1;
            }
            lines.push(' ');
            lines.push_str(feature);
            width += feature.len() + 1;
        }
        lines
    };
    format!(
        "{}\nDelta protocol: reader version 3, writer version 7\nreads tables with{}\nwrites tables with{}",
        env!("CARGO_PKG_VERSION"),
        listed(&reads),
        listed(&writes)
    )
});

/// Splits at the first `=`. The text is not repeated in the error: a secret may be what lacks its key.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl Invocation {
    /// Parses the arguments; the first is the program's name.
    ///
    /// # Errors
    /// What `clap` has to say: help, the version, or what is wrong with the arguments.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = CommandLine::command()
            .long_version(LONG_VERSION.as_str())
            .try_get_matches_from(hide_option_values(arguments)?)?;
        let line = CommandLine::from_arg_matches(&matches)?;
        let care = match line.other {
            Some(Other::Doctor { uri }) => {
                return Ok(Self::Doctor(Examination { uri, options: line.shared.options, quiet: line.shared.quiet }));
            }
            Some(Other::Completions { shell }) => return Ok(Self::Completions(shell)),
            Some(Other::Man) => return Ok(Self::Man),
            Some(Other::Check { table, json, quick, repair, drop_missing_files, dry_run }) => {
                let check = TableCheck { quick, repair, drop_missing_files, dry_run };
                Some(Care::Check(table, Checking { check, json }))
            }
            Some(Other::Show { table, json, html }) => Some(Care::Show(table, Showing { json, html })),
            Some(Other::Index { action: IndexAction::Build { table } }) => Some(Care::BuildIndex(table)),
            Some(Other::Index { action: IndexAction::Status { table } }) => Some(Care::ShowIndex(table)),
            Some(Other::Index { action: IndexAction::Drop { table } }) => Some(Care::DropIndex(table)),
            None => None,
        };
        // `-c` and `-f` run in the order they stand, which only their positions tell.
        let positions = |id| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
        let mut sources: Vec<(usize, Source)> = positions("command")
            .into_iter()
            .zip(line.command.into_iter().map(Source::Text))
            .chain(positions("file").into_iter().zip(line.file.into_iter().map(Source::File)))
            .collect();
        sources.sort_by_key(|(position, _)| *position);
        let mut sources: Vec<Source> = sources.into_iter().map(|(_, source)| source).collect();
        let mut place = line.place;
        if place.as_deref().is_some_and(|place| place.to_ascii_lowercase().ends_with(".sql")) {
            sources.insert(0, Source::File(PathBuf::from(place.take().unwrap_or_default())));
        }
        let request = Request {
            place,
            warehouse: line.warehouse,
            sources,
            format: line.format,
            options: line.shared.options,
            read_only: line.read_only,
            quiet: line.shared.quiet,
        };
        Ok(match care {
            None => Self::Sql(request),
            Some(care) => Self::Care(request, care),
        })
    }

    /// The completions of a shell.
    pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
        let mut written = Vec::new();
        clap_complete::generate(shell, &mut CommandLine::command(), "floe", &mut written);
        written
    }

    /// The page of the manual, as roff: this program's help, and that of each of its commands.
    ///
    /// # Errors
    /// None that memory does not have.
    pub fn manual() -> std::io::Result<Vec<u8>> {
        let mut written = Vec::new();
        let mut command = CommandLine::command();
        command.build();
        let page = clap_mangen::Man::new(command.clone());
        page.render_title(&mut written)?;
        page.render_name_section(&mut written)?;
        page.render_synopsis_section(&mut written)?;
        page.render_description_section(&mut written)?;
        page.render_options_section(&mut written)?;
        let mut others: VecDeque<clap::Command> = command.get_subcommands().cloned().collect();
        while let Some(other) = others.pop_front() {
            let name = other.get_bin_name().unwrap_or(other.get_name()).to_owned();
            writeln!(written, ".SH \"{}\"", name.to_uppercase())?;
            let page = clap_mangen::Man::new(other.clone().display_name(name));
            let mut section = Vec::new();
            page.render_synopsis_section(&mut section)?;
            page.render_description_section(&mut section)?;
            page.render_options_section(&mut section)?;
            page.render_extra_section(&mut section)?;
            // Its sections stand below the one of its name.
            written.extend(String::from_utf8_lossy(&section).replace(".SH ", ".SS ").into_bytes());
            let below: Vec<clap::Command> = other.get_subcommands().cloned().collect();
            below.into_iter().rev().for_each(|below| others.push_front(below));
        }
        page.render_extra_section(&mut written)?;
        page.render_version_section(&mut written)?;
        Ok(written)
    }

    /// Whether only errors are said.
    pub fn quiet(&self) -> bool {
        match self {
            Self::Sql(request) | Self::Care(request, _) => request.quiet,
            Self::Doctor(examination) => examination.quiet,
            Self::Completions(_) | Self::Man => true,
        }
    }

    /// The storage options.
    pub fn options(&self) -> &[(String, String)] {
        match self {
            Self::Sql(request) | Self::Care(request, _) => &request.options,
            Self::Doctor(examination) => &examination.options,
            Self::Completions(_) | Self::Man => &[],
        }
    }
}

/// Refuses a malformed `--option` here, because the parser's own error would repeat the text, which may be a secret.
fn hide_option_values(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut expected = false;
    for argument in &arguments {
        let text = argument.to_string_lossy();
        let value = if expected { Some(text.as_ref()) } else { text.strip_prefix("--option=") };
        expected = !expected && text == "--option";
        if value.is_some_and(|value| key_value(value).is_err()) {
            return Err(CommandLine::command().error(
                clap::error::ErrorKind::ValueValidation,
                "--option takes KEY=VALUE, as in --option AWS_REGION=eu-central-1",
            ));
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests;
