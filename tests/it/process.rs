//! The process as an operator meets it: the command line, how it starts, how it ends, what it says about itself.

mod command_line;
mod demo;
mod deploy;
mod ending;
mod starting;
mod telemetry;

use std::process::Output;

/// Standard output and standard error of a command.
fn said(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}
