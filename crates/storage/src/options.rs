//! Settings for reaching a store: endpoints, regions, credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The option that names folders whose files a log elsewhere in the store may name, with commas between.
pub(crate) const TRUSTED_ROOTS: &str = "floe_trusted_roots";

/// Options by name, as object stores name them: `aws_endpoint`, `AWS_ACCESS_KEY_ID`, `azure_storage_account_name`, ...
///
/// Names are compared without regard to case. Values are never printed, neither by `Debug` nor by `Display` nor in an
/// error, because some of them are secrets and the names do not reliably tell which.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StorageOptions {
    given: BTreeMap<String, String>,
    /// From the process's environment: what is not understood there is ignored and what is given explicitly wins.
    ambient: BTreeMap<String, String>,
}

impl StorageOptions {
    /// No options.
    pub fn new() -> Self {
        StorageOptions::default()
    }

    /// The options that the environment variables `AWS_*`, `AZURE_*`, `GOOGLE_*`, `FLOE_CACHE_*` and `FLOE_TRUSTED_*` hold.
    pub fn from_env() -> Self {
        let ours = |name: &str| {
            ["aws_", "azure_", "google_", "floe_cache_", "floe_trusted_"].iter().any(|prefix| name.starts_with(prefix))
        };
        // Names and values that are not UTF-8 cannot be options.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?.to_ascii_lowercase();
            Some((name, value.into_string().ok()?)).filter(|(name, _)| ours(name))
        });
        StorageOptions { given: BTreeMap::new(), ambient: variables.collect() }
    }

    /// Sets an option.
    pub fn set(&mut self, name: impl AsRef<str>, value: impl Into<String>) {
        self.given.insert(name.as_ref().trim().to_ascii_lowercase(), value.into());
    }

    /// Sets an option.
    pub fn with(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// The value of an option, given or from the environment.
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.given.get(&name).or_else(|| self.ambient.get(&name)).map(String::as_str)
    }

    /// The names of all options.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let ambient = self.ambient.keys().filter(|name| !self.given.contains_key(*name));
        self.given.keys().chain(ambient).map(String::as_str)
    }

    /// Whether there are no options at all.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.ambient.is_empty()
    }

    /// Options set by the caller, without those of the environment.
    #[cfg(any(feature = "s3", feature = "azure", feature = "gcs"))]
    pub(crate) fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Options of the environment.
    #[cfg(any(feature = "s3", feature = "azure", feature = "gcs"))]
    pub(crate) fn ambient(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ambient.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The values that must not appear in any text.
    #[cfg(any(test, feature = "s3", feature = "azure", feature = "gcs"))]
    pub(crate) fn secrets(&self) -> Secrets {
        const HARMLESS: [&str; 14] = [
            "cache_dir",
            "cache_bytes",
            "region",
            "endpoint",
            "allow_http",
            "bucket",
            "container_name",
            "account_name",
            "timeout",
            "conditional_put",
            "virtual_hosted_style_request",
            "use_emulator",
            "skip_signature",
            "role_arn",
        ];
        // Shorter values are too likely to be part of ordinary words.
        const SHORTEST: usize = 6;
        let secret = |name: &str, value: &str| {
            value.len() >= SHORTEST
                && !HARMLESS.iter().any(|harmless| name.ends_with(harmless) || name.contains("endpoint"))
        };
        let all = self.given.iter().chain(&self.ambient);
        Secrets(all.filter(|(name, value)| secret(name, value)).map(|(_, value)| value.clone()).collect())
    }
}

impl fmt::Debug for StorageOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.names().map(|name| (name, "redacted"))).finish()
    }
}

impl fmt::Display for StorageOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            write!(f, "{}{name}=***", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for StorageOptions {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(options: I) -> Self {
        options.into_iter().fold(StorageOptions::new(), |all, (name, value)| all.with(name, value))
    }
}

impl<N: AsRef<str>, V: Into<String>> Extend<(N, V)> for StorageOptions {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, options: I) {
        options.into_iter().for_each(|(name, value)| self.set(name, value));
    }
}

/// Texts to be taken out of messages.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<[String]>);

impl Secrets {
    /// The text without secrets: known values, and query parameters that carry signatures.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // Before the text is shortened: half a secret is still a secret.
        for secret in self.0.iter() {
            text = text.replace(secret.as_str(), "***");
        }
        for parameter in ["sig=", "X-Amz-Signature=", "X-Amz-Credential=", "X-Amz-Security-Token=", "AccountKey="] {
            text = blank_after(&text, parameter);
        }
        printable_lines(&text)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// The text on one line without control characters, shortened to what a person would read.
fn printable_lines(text: &str) -> String {
    const LONGEST: usize = 2000;
    text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Replaces what follows each `parameter`, up to the end of the value.
fn blank_after(text: &str, parameter: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(parameter) {
        out.push_str(before);
        out.push_str(parameter);
        out.push_str("***");
        let end = after.find(|c: char| c.is_whitespace() || "&;\"')>".contains(c)).unwrap_or(after.len());
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_never_printed() {
        let options = StorageOptions::new().with("AWS_SECRET_ACCESS_KEY", "canary-4711").with("aws_region", "eu-1");
        let printed = format!("{options:?} {options}");
        assert!(!printed.contains("canary") && !printed.contains("eu-1"), "{printed}");
        assert!(printed.contains("aws_secret_access_key"));
    }

    #[test]
    fn names_ignore_case_and_given_options_win() {
        let mut options = StorageOptions::new();
        options.ambient.insert("aws_region".into(), "ambient".into());
        assert_eq!(options.get("AWS_REGION"), Some("ambient"));
        options.set("AWS_Region", "given");
        assert_eq!(options.get("aws_region"), Some("given"));
        assert_eq!(options.names().count(), 1);
    }

    #[test]
    fn secrets_and_signatures_are_taken_out_of_text() {
        let secrets = StorageOptions::new().with("aws_secret_access_key", "canary-4711").secrets();
        let text = secrets.redact("GET https://h/x?sig=abc%2Fd&se=2 with canary-4711 failed");
        assert_eq!(text, "GET https://h/x?sig=***&se=2 with *** failed");
    }
}
