//! `floe doctor`: whether a store can hold tables.

use std::io::{self, Write};

use floe_storage::{Env, Location, doctor};

use crate::arguments::Examination;
use crate::failure::Failure;
use crate::message::Messages;
use crate::render::RenderError;
use crate::session::storage_options;

/// Probes the store and says what was found, one line a check, on standard output.
pub(crate) async fn examine(request: &Examination, messages: &Messages) -> Result<(), Failure> {
    let location = Location::open(&request.uri, &storage_options(&request.options))?;
    let report = doctor::probe(&location, &Env::system()).await?;
    let text = messages.harmless(&report.to_string());
    writeln!(io::stdout().lock(), "{text}").map_err(|error| Failure::Output(RenderError::Output(error)))?;
    if !report.is_healthy() {
        return Err(Failure::UnfitStore { uri: report.uri });
    }
    messages.note("tables can live here: writers that race are told who won");
    Ok(())
}
