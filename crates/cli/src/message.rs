//! What is said to the person: on standard error, without secrets, without control characters.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

use crate::render::escape_control;

/// Secrets shorter than this are not searched for: replacing them would garble ordinary words.
const SECRET_LENGTH_MIN: usize = 6;

/// Says things on standard error.
pub(crate) struct Messages {
    quiet: bool,
    dim: bool,
    secrets: Vec<String>,
}

impl Messages {
    /// Knows the secrets among the storage options given and those in the environment.
    pub(crate) fn new(quiet: bool, options: &[(String, String)]) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(key, _)| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| key.starts_with(prefix)));
        let mut secrets: Vec<String> = options
            .iter()
            .cloned()
            .chain(environment)
            .filter(|(key, value)| is_secret(key) && value.len() >= SECRET_LENGTH_MIN)
            .map(|(_, value)| value)
            .collect();
        // The longest first, so that a secret that contains another goes whole.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let dim = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { quiet, dim, secrets }
    }

    /// Something worth knowing; not said when quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.write(text);
        }
    }

    /// Something of less weight, as rows and time; not said when quiet.
    pub(crate) fn aside(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.dim {
            let mut stderr = io::stderr().lock();
            let _ = writeln!(stderr, "\x1b[2m{}\x1b[0m", self.harmless(text));
        } else {
            self.write(text);
        }
    }

    /// An error with its causes.
    pub(crate) fn error(&self, error: &dyn Error) {
        self.write(&format!("error: {}", with_causes(error)));
    }

    fn write(&self, text: &str) {
        // Nowhere to say that nothing can be said.
        let _ = writeln!(io::stderr().lock(), "{}", self.harmless(text));
    }

    /// Error texts quote what tables and stores contain, so they are treated as values are.
    pub(crate) fn harmless(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        text.lines().map(|line| escape_control(line).into_owned()).collect::<Vec<_>>().join("\n")
    }
}

/// Whether the option of this name holds something that must not be shown.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "token", "password", "access_key", "account_key", "credential", "sas", "signature", "master_key"]
        .iter()
        .any(|word| key.contains(word))
        || key.ends_with("service_account_key")
        || key.ends_with("_key")
}

/// The error and its causes, each only where it adds to what was already said.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !said.is_empty() && !text.contains(&said) {
            text.push_str("\n  because: ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Milliseconds as a person says them.
pub(crate) fn duration(elapsed_ms: i64) -> String {
    // The system clock may step back.
    let elapsed_ms = elapsed_ms.max(0);
    match elapsed_ms {
        0..1_000 => format!("{elapsed_ms} ms"),
        1_000..60_000 => format!("{}.{:02} s", elapsed_ms / 1_000, elapsed_ms % 1_000 / 10),
        _ => format!("{} min {} s", elapsed_ms / 60_000, elapsed_ms % 60_000 / 1_000),
    }
}

/// The number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as a person says them, in powers of a thousand.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    let mut scaled = bytes as f64;
    let mut unit = "B";
    for larger in units {
        if scaled < 999.95 {
            break;
        }
        (scaled, unit) = (scaled / 1_000.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{scaled:.1} {unit}") }
}

#[cfg(test)]
mod tests;
