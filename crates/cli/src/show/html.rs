//! A table as one page of HTML with charts, which asks nobody for anything: no scripts, fonts or pictures from elsewhere.

use std::fmt::Write as _;

use floe_query::Overview;

use super::{binary_bytes, counted, time_text};
use crate::message::{bytes_text, grouped};
use crate::render::escaped_html as escaped;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1d2733;background:#fff}\
h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin-top:2rem}\
.facts{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:0;padding:0;list-style:none}.facts b{display:block;font-size:1.2rem}\
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #dde3ea}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#1d2733}\
.in{fill:#2f7ebc}.out{fill:#d9774b}.advice{border-left:4px solid #d9774b;padding:.3rem .8rem;margin:.5rem 0;background:#fdf3ee}\
.good{border-left:4px solid #4a9d5b;padding:.3rem .8rem;background:#eff8f1}code{background:#eef1f5;padding:.1rem .3rem;border-radius:3px}\
@media(prefers-color-scheme:dark){body{color:#dbe3ec;background:#12181f}svg text{fill:#dbe3ec}th,td{border-color:#2b3642}\
.advice{background:#2a1d16}.good{background:#14241a}code{background:#222c37}}";

/// The page.
pub(crate) fn page(overview: &Overview) -> String {
    let title = overview.name.as_deref().unwrap_or(&overview.uri);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{} at version {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
        escaped(title),
        overview.version,
        escaped(&overview.uri)
    );
    facts(overview, &mut page);
    health(overview, &mut page);
    section(&mut page, "Commits, bytes in and out");
    commits(overview, &mut page);
    if !overview.sizes.is_empty() {
        section(&mut page, "Files by size");
        let bars: Vec<Bar> = overview
            .sizes
            .iter()
            .map(|of| Bar {
                name: of.below_bytes.map_or_else(|| "larger".into(), |below| format!("below {}", binary_bytes(below))),
                value: of.count as f64,
                text: format!("{}, {}", counted(of.count, "file"), bytes_text(of.bytes)),
            })
            .collect();
        chart(&bars, &mut page);
    }
    if !overview.partitions.is_empty() {
        let (shown, all) = (overview.partitions.len(), overview.partition_count);
        let which =
            if shown < all { format!(" (the {shown} largest of {})", grouped(all as u64)) } else { String::new() };
        section(&mut page, &format!("Partitions by {}{which}", overview.partition_columns.join(", ")));
        let bars: Vec<Bar> = overview
            .partitions
            .iter()
            .map(|partition| Bar {
                name: partition.values.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join(", "),
                value: partition.files.bytes as f64,
                text: format!(
                    "{}, {}, {} rows",
                    bytes_text(partition.files.bytes),
                    counted(partition.files.count, "file"),
                    grouped(partition.files.rows)
                ),
            })
            .collect();
        chart(&bars, &mut page);
    }
    if !overview.overlap.is_empty() {
        section(&mut page, "Files that may hold a value, on average");
        let bars: Vec<Bar> = overview
            .overlap
            .iter()
            .map(|column| Bar {
                name: column.column.clone(),
                value: column.depth / column.files.max(1) as f64,
                text: format!("{:.1} of {}", column.depth, counted(column.files, "file")),
            })
            .collect();
        chart(&bars, &mut page);
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, "<h2>{}</h2>", escaped(title));
}

fn facts(overview: &Overview, page: &mut String) {
    let files = &overview.files;
    let log = &overview.log;
    let checkpoint = log.checkpoint.map_or_else(|| "none".to_owned(), |version| format!("at {version}"));
    let mut facts = vec![
        ("version", overview.version.to_string()),
        ("rows", grouped(files.rows)),
        ("deleted rows", format!("{:.1}%", files.deleted_share() * 100.0)),
        ("files", grouped(files.count)),
        ("data", bytes_text(files.bytes)),
        ("columns", overview.columns.to_string()),
        ("protocol", format!("{}/{}", overview.reader_version, overview.writer_version)),
        ("commits in the log", grouped(log.commits)),
        ("log", bytes_text(log.bytes)),
        ("checkpoint", checkpoint),
    ];
    for (what, columns) in [
        ("partitioned by", &overview.partition_columns),
        ("clustered by", &overview.clustering_columns),
        ("primary key", &overview.primary_key),
        ("features", &overview.features),
    ] {
        if !columns.is_empty() {
            facts.push((what, columns.join(", ")));
        }
    }
    page.push_str("<ul class=\"facts\">\n");
    for (what, value) in facts {
        let _ = writeln!(page, "<li><b>{}</b>{what}</li>", escaped(&value));
    }
    page.push_str("</ul>\n");
}

fn health(overview: &Overview, page: &mut String) {
    section(page, "Health");
    if overview.advice.is_empty() {
        page.push_str("<p class=\"good\">Nothing to mend.</p>\n");
    }
    for advice in &overview.advice {
        let (what, command) = (escaped(&advice.what), escaped(&advice.command));
        let _ = writeln!(page, "<p class=\"advice\">{what}<br><code>{command};</code></p>");
    }
}

/// Bars above the line for what came and below it for what went, and the same as a table.
fn commits(overview: &Overview, page: &mut String) {
    const HEIGHT: f64 = 60.0;
    let commits: Vec<_> = overview.commits.iter().rev().collect();
    let most =
        commits.iter().map(|commit| commit.bytes_added.max(commit.bytes_removed)).max().unwrap_or(0).max(1) as f64;
    let step = 900.0 / commits.len().max(1) as f64;
    let _ = writeln!(page, "<svg viewBox=\"0 0 900 150\" role=\"img\" aria-label=\"bytes of commits\">");
    for (at, commit) in commits.iter().enumerate() {
        let (x, width) = (at as f64 * step + step * 0.15, step * 0.7);
        let (came, went) = (commit.bytes_added as f64 / most * HEIGHT, commit.bytes_removed as f64 / most * HEIGHT);
        let operation = escaped(commit.operation.as_deref().unwrap_or("?"));
        let _ = writeln!(
            page,
            "<g><title>{} {operation}: +{} -{}</title><rect class=\"in\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{came:.1}\"/>\
             <rect class=\"out\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{went:.1}\"/>\
             <text x=\"{:.1}\" y=\"146\" text-anchor=\"middle\">{}</text></g>",
            commit.version,
            bytes_text(commit.bytes_added),
            bytes_text(commit.bytes_removed),
            65.0 - came,
            67.0,
            x + width / 2.0,
            commit.version
        );
    }
    page.push_str("</svg>\n<table>\n<tr><th class=\"n\">version</th><th>time (UTC)</th><th>operation</th><th class=\"n\">files</th><th class=\"n\">bytes</th><th class=\"n\">rows</th><th>by</th></tr>\n");
    for commit in &overview.commits {
        let _ = writeln!(
            page,
            "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td><td class=\"n\">+{} -{}</td><td class=\"n\">+{} -{}</td><td class=\"n\">+{} -{}</td><td>{}</td></tr>",
            commit.version,
            time_text(commit.timestamp),
            escaped(commit.operation.as_deref().unwrap_or("?")),
            grouped(commit.files_added),
            grouped(commit.files_removed),
            bytes_text(commit.bytes_added),
            bytes_text(commit.bytes_removed),
            grouped(commit.rows_added),
            grouped(commit.rows_removed),
            escaped(commit.engine.as_deref().unwrap_or_default())
        );
    }
    page.push_str("</table>\n");
}

struct Bar {
    name: String,
    value: f64,
    text: String,
}

/// Bars from left to right, each with its name before and its text behind it.
fn chart(bars: &[Bar], page: &mut String) {
    const LINE: usize = 24;
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let _ = writeln!(page, "<svg viewBox=\"0 0 900 {}\" role=\"img\">", bars.len() * LINE);
    for (at, bar) in bars.iter().enumerate() {
        let (y, width) = (at * LINE, (bar.value / most * 420.0).max(3.0));
        let name: String = bar.name.chars().take(28).collect();
        let _ = writeln!(
            page,
            "<text x=\"0\" y=\"{}\">{}</text><rect class=\"in\" x=\"210\" y=\"{}\" width=\"{width:.1}\" height=\"16\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            y + 16,
            escaped(&name),
            y + 4,
            218.0 + width,
            y + 16,
            escaped(&bar.text)
        );
    }
    page.push_str("</svg>\n");
}
