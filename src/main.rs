//! Start and exit code: 0 = done, 1 = failed, 2 = the command line or the configuration is wrong.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use redrive::cli::{Cli, exit_code};

/// Of everything in this process, the C libraries included: threads that come and go leave less behind than with the system's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long blocking calls of client libraries may still run after everything else has ended.
const LAST_CALLS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("redrive: the runtime could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(cli.run());
    runtime.shutdown_timeout(LAST_CALLS);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redrive: {error:#}");
            exit_code(&error)
        }
    }
}
