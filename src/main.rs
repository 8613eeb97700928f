//! The `floe` binary: everything it does is in `floe-cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    floe_cli::run(std::env::args_os())
}
