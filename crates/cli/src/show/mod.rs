//! `floe show`: a table drawn in the terminal, as JSON, or as a page of HTML.

use std::fmt::Write as _;

use arrow::temporal_conversions::timestamp_ms_to_datetime;
use floe_query::{CommitOverview, FilesOverview, Overview};

use crate::locale::has_unicode;
use crate::message::{bytes_text, grouped};

mod html;

pub(crate) use html::page;

/// How wide the longest bar is.
const BAR: usize = 24;

/// How wide the picture is at most: what terminals and CI logs show.
const WIDTH: usize = 100;

/// What the picture is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pen {
    bar: char,
}

impl Pen {
    /// Blocks where the locale has them.
    pub(crate) fn of_locale() -> Self {
        Self { bar: if has_unicode() { '█' } else { '#' } }
    }

    fn bar(self, value: u64, most: u64) -> String {
        let long = match (value, most) {
            (0, _) | (_, 0) => 0,
            (value, most) => ((value as f64 / most as f64 * BAR as f64).round() as usize).max(1),
        };
        format!("{:<BAR$}", self.bar.to_string().repeat(long))
    }
}

/// The table as lines of text.
pub(crate) fn drawing(overview: &Overview, pen: Pen) -> Vec<String> {
    let mut lines = headline(overview);
    let section = |lines: &mut Vec<String>, title: &str| {
        lines.push(String::new());
        lines.push(title.to_owned());
    };
    section(&mut lines, &format!("last {}", counted(overview.commits.len() as u64, "commit")));
    lines.extend(commits(&overview.commits));
    if !overview.sizes.is_empty() {
        section(&mut lines, "files by size");
        let most = overview.sizes.iter().map(|of| of.count).max().unwrap_or(0);
        for of in &overview.sizes {
            let bound =
                of.below_bytes.map_or_else(|| "larger".to_owned(), |below| format!("< {}", binary_bytes(below)));
            let counted = counted(of.count, "file");
            lines.push(format!("  {bound:<10} {} {counted:>12}  {:>9}", pen.bar(of.count, most), bytes_text(of.bytes)));
        }
    }
    if !overview.partitions.is_empty() {
        let (shown, all) = (overview.partitions.len(), overview.partition_count);
        let which =
            if shown < all { format!("the {shown} largest of {}", grouped(all as u64)) } else { "all".to_owned() };
        section(&mut lines, &format!("partitions by {}, {which}", overview.partition_columns.join(", ")));
        let most = overview.partitions.iter().map(|partition| partition.files.bytes).max().unwrap_or(0);
        for partition in &overview.partitions {
            let values: Vec<&str> = partition.values.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
            let name: String = values.join(", ").chars().take(24).collect();
            let FilesOverview { count, bytes, rows, .. } = partition.files;
            lines.push(format!(
                "  {name:<24} {} {:>9}  {:>10}  {}",
                pen.bar(bytes, most),
                bytes_text(bytes),
                counted(count, "file"),
                counted(rows, "row")
            ));
        }
    }
    if !overview.overlap.is_empty() {
        let of = if overview.clustering_columns.is_empty() { "first columns" } else { "clustering columns" };
        section(&mut lines, &format!("overlap of the {of}"));
        for column in &overview.overlap {
            lines.push(format!(
                "  {:<24} a value lies in {:.1} of {}",
                column.column,
                column.depth,
                counted(column.files, "file")
            ));
        }
    }
    section(&mut lines, "log");
    lines.extend(log(overview));
    section(&mut lines, "health");
    if overview.advice.is_empty() {
        lines.push("  nothing to mend; floe check holds the files against the log".to_owned());
    }
    for advice in &overview.advice {
        lines.push(format!("  ! {}", advice.what));
        lines.push(format!("    {};", advice.command));
    }
    lines
}

fn headline(overview: &Overview) -> Vec<String> {
    let FilesOverview { count, bytes, rows, deleted_rows, with_deletion_vector, without_statistics } = overview.files;
    let mut lines = vec![match &overview.name {
        Some(name) => format!("{name}  {}", overview.uri),
        None => overview.uri.clone(),
    }];
    let mut facts = vec![
        format!("version {}", overview.version),
        counted(overview.columns as u64, "column"),
        counted(rows, "row"),
        counted(count, "file"),
        bytes_text(bytes),
    ];
    if deleted_rows > 0 {
        let share = overview.files.deleted_share() * 100.0;
        facts.push(format!(
            "{share:.1}% of the rows deleted ({} in {})",
            grouped(deleted_rows),
            counted(with_deletion_vector, "file")
        ));
    }
    if without_statistics > 0 {
        facts.push(format!("{} without statistics", counted(without_statistics, "file")));
    }
    lines.extend(wrapped(&facts, "  "));
    let mut how = vec![format!("protocol {}/{}", overview.reader_version, overview.writer_version)];
    how.extend(overview.features.iter().cloned());
    lines.extend(wrapped(&how, "  "));
    for (what, columns) in [
        ("partitioned by", &overview.partition_columns),
        ("clustered by", &overview.clustering_columns),
        ("primary key", &overview.primary_key),
    ] {
        if !columns.is_empty() {
            lines.push(format!("  {what} {}", columns.join(", ")));
        }
    }
    lines
}

/// The parts with commas, in as many lines as they need.
fn wrapped(parts: &[String], indent: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.chars().count() + part.chars().count() + 2 <= WIDTH => {
                let _ = write!(line, ", {part}");
            }
            last => {
                if let Some(line) = last {
                    line.push(',');
                }
                lines.push(format!("{indent}{part}"));
            }
        }
    }
    lines
}

fn commits(commits: &[CommitOverview]) -> Vec<String> {
    let line = |commit: &CommitOverview| {
        // What left without saying how many rows it had says nothing of them.
        let change = |sign: &str, files: u64, bytes: u64, rows: u64| match (files, rows) {
            (0, _) => String::new(),
            (files, 0) => format!("{sign}{} {}", counted(files, "file"), bytes_text(bytes)),
            (files, rows) => format!("{sign}{} {} {}", counted(files, "file"), bytes_text(bytes), counted(rows, "row")),
        };
        let operation: String = commit.operation.as_deref().unwrap_or("?").chars().take(22).collect();
        let line = format!(
            "  {:>6}  {}  {operation:<22} {:<32} {}",
            commit.version,
            time_text(commit.timestamp),
            change("+", commit.files_added, commit.bytes_added, commit.rows_added),
            change("-", commit.files_removed, commit.bytes_removed, commit.rows_removed),
        );
        let engine: String = commit.engine.as_deref().unwrap_or_default().chars().take(36).collect();
        format!("{}  {engine}", line.trim_end())
    };
    commits.iter().map(|commit| line(commit).trim_end().to_owned()).collect()
}

fn log(overview: &Overview) -> Vec<String> {
    let log = &overview.log;
    let since = log.first_version.map_or_else(String::new, |first| format!(" since version {first}"));
    let mut facts = vec![format!("{}{since}", counted(log.commits, "commit")), bytes_text(log.bytes)];
    facts.push(match log.checkpoint {
        Some(version) => {
            format!("checkpoint at {version}, {} after it", counted(log.commits_since_checkpoint, "commit"))
        }
        None => "no checkpoint".to_owned(),
    });
    facts.push(if log.has_checksum { "checksum of the newest version" } else { "no checksum" }.to_owned());
    if log.removed_files > 0 {
        let removed = counted(log.removed_files, "removed file");
        facts.push(format!("{removed} kept for older versions ({})", bytes_text(log.removed_bytes)));
    }
    wrapped(&facts, "  ")
}

/// `1 file`, `1,000 files`.
fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Bounds of sizes are powers of two.
fn binary_bytes(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// In UTC, to the second.
fn time_text(ms: i64) -> String {
    timestamp_ms_to_datetime(ms).map_or_else(|| ms.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests;
