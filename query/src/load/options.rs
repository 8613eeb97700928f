//! What a load may be told about its files.

use floe_table_format::error::printable;
use floe_table_format::schema::nearest;

use crate::error::{QueryError, Result};
use crate::load::{CsvOptions, JsonOptions, Packing, TextFormat};
use crate::relation::FileFormat;

/// The names of all options, as they are documented.
const NAMES: [&str; 13] = [
    "header",
    "delimiter",
    "quote",
    "escape",
    "comment",
    "nullValue",
    "multiLine",
    "compression",
    "encoding",
    "inferSchema",
    "mergeSchema",
    "badRecordsPath",
    "force",
];

/// The options of COPY INTO, those of the format and those of the load together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadOptions {
    csv: CsvOptions,
    json: JsonOptions,
    /// How the files are packed; their names tell where nothing is said.
    pub(crate) packing: Option<Packing>,
    /// Whether the values of CSV tell the types of its columns where a query reads them; else all are text.
    pub(crate) infer_schema: bool,
    /// Whether the table gets the columns that it lacks.
    pub(crate) merge_schema: bool,
    /// Whether files that are loaded already are loaded again.
    pub(crate) force: bool,
    /// The folder for records that cannot be rows.
    pub(crate) bad_records: Option<String>,
    /// Options that only files of text have, as they were written.
    of_text: Vec<&'static str>,
    /// Options that only CSV has.
    of_csv: Vec<&'static str>,
}

impl LoadOptions {
    /// Reads options by the names that Spark and DuckDB have for them, without regard to case.
    ///
    /// # Errors
    /// [`QueryError::InvalidArgument`] for one that is not known, or a value that it cannot have.
    pub(crate) fn read(options: &[(String, String)]) -> Result<LoadOptions> {
        let mut read = LoadOptions {
            csv: CsvOptions::default(),
            json: JsonOptions::default(),
            packing: None,
            infer_schema: true,
            merge_schema: false,
            force: false,
            bad_records: None,
            of_text: Vec::new(),
            of_csv: Vec::new(),
        };
        for (name, value) in options {
            let known = match name.to_ascii_lowercase().as_str() {
                "sep" | "delim" => Some("delimiter"),
                "null" | "nullstr" => Some("nullValue"),
                "charset" => Some("encoding"),
                folded => NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(folded)),
            };
            let Some(known) = known else {
                let hint = match nearest(name, NAMES) {
                    Some(nearest) => format!(", did you mean {nearest}?"),
                    None => format!("; it has {}", NAMES.join(", ")),
                };
                return Err(QueryError::invalid_argument(format!("COPY INTO has no option {}{hint}", printable(name))));
            };
            read.take(known, value)?;
        }
        Ok(read)
    }

    fn take(&mut self, name: &'static str, value: &str) -> Result<()> {
        match name {
            "header" => self.csv.header = boolean(name, value)?,
            "delimiter" => self.csv.delimiter = Some(byte(name, value)?),
            "quote" => self.csv.quote = byte(name, value)?,
            "escape" => self.csv.escape = optional_byte(name, value)?,
            "comment" => self.csv.comment = optional_byte(name, value)?,
            "nullValue" => self.csv.null = value.to_owned(),
            "inferSchema" => self.infer_schema = boolean(name, value)?,
            "multiLine" => self.json.multi_line = boolean(name, value)?,
            "compression" => {
                let packing = Packing::named(value);
                if packing.is_none() && !value.eq_ignore_ascii_case("auto") {
                    let what = format!("files compressed by {}", printable(value));
                    return Err(QueryError::unsupported(what, "gzip, zstd, none, or auto for what their names say"));
                }
                self.packing = packing;
            }
            "encoding" if !["utf-8", "utf8"].contains(&value.to_ascii_lowercase().as_str()) => {
                let what = format!("text in the encoding {}", printable(value));
                return Err(QueryError::unsupported(what, "UTF-8"));
            }
            "mergeSchema" => self.merge_schema = boolean(name, value)?,
            "force" => self.force = boolean(name, value)?,
            "badRecordsPath" => self.bad_records = Some(value.to_owned()),
            _ => {}
        }
        match name {
            "header" | "delimiter" | "quote" | "escape" | "comment" | "nullValue" | "inferSchema" => {
                self.of_csv.push(name)
            }
            "multiLine" | "compression" | "encoding" | "badRecordsPath" => self.of_text.push(name),
            _ => {}
        }
        Ok(())
    }

    /// How files of a format are to be read; none for those that are no text.
    ///
    /// # Errors
    /// [`QueryError::InvalidArgument`] for options that the format does not have.
    pub(crate) fn text_format(&self, format: FileFormat) -> Result<Option<TextFormat>> {
        let refuse = |names: &[&str], format: &str| match names.first() {
            Some(name) => Err(QueryError::invalid_argument(format!("{name} is no option for {format} files"))),
            None => Ok(()),
        };
        match format {
            FileFormat::Csv => Ok(Some(TextFormat::Csv(self.csv.clone()))),
            FileFormat::Json => {
                refuse(&self.of_csv, "JSON")?;
                Ok(Some(TextFormat::Json(self.json)))
            }
            FileFormat::Parquet => {
                refuse(&self.of_csv, "Parquet")?;
                refuse(&self.of_text, "Parquet")?;
                Ok(None)
            }
        }
    }
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(QueryError::invalid_argument(format!("{name} is true or false, not {}", printable(value)))),
    }
}

fn byte(name: &str, value: &str) -> Result<u8> {
    match optional_byte(name, value)? {
        Some(byte) => Ok(byte),
        None => Err(QueryError::invalid_argument(format!("{name} is one character, and none is given"))),
    }
}

fn optional_byte(name: &str, value: &str) -> Result<Option<u8>> {
    match value.as_bytes() {
        [] => Ok(None),
        b"\\t" => Ok(Some(b'\t')),
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(Some(*byte)),
        _ => Err(QueryError::invalid_argument(format!(
            "{name} is one ASCII character other than a line break, not {}",
            printable(value)
        ))),
    }
}
