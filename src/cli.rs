//! The command line. Each command loads the configuration, does one thing and says what it did; results go to standard output,
//! everything else to standard error.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::{self, DemoOptions};
use crate::config::Problems;

mod check_config;
mod forget_secrets;
mod keeping;
mod migrate;
mod token;
mod user;

use keeping::Keeping;
use token::TokenCommand;
use user::UserCommand;

/// Observability and dead-letter operations for message buses.
#[derive(Debug, Parser)]
#[command(name = "redrive", version, about, propagate_version = true)]
pub struct Cli {
    /// Configuration file (TOML). Without one: SQLite in the working directory, loopback addresses, no bus.
    #[arg(long, global = true, env = "REDRIVE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the configured buses and serve pages and API.
    Serve,
    /// Watch a simulated shop whose messages fail: nothing to configure, nothing stays behind.
    Demo {
        /// Run the shop on this Kafka (it creates topics there whose names hold `shop.`) instead of the in-process cluster.
        #[arg(long, value_name = "HOST:PORT")]
        bus: Option<String>,
        /// Where pages and API are served, without login; only addresses of this machine are accepted.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Bring the store's schema up to date (`serve` does it too, at its start).
    Migrate,
    /// Report every problem of the configuration at once.
    CheckConfig {
        /// Also try the store and every bus.
        #[arg(long)]
        connect: bool,
    },
    /// Remove every receiver of notifications with its secrets: when the key that sealed them is lost.
    ForgetSecrets,
    /// Keep local users.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Keep API tokens.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
}

impl Cli {
    /// Does what the command line asks for.
    pub async fn run(self) -> anyhow::Result<()> {
        let load = || app::load_config(self.config.as_deref());
        match self.command {
            Command::Serve => app::serve(load()?).await,
            Command::Demo { bus, listen } => app::demo(DemoOptions { bus, listen }).await,
            Command::Migrate => migrate::run(&load()?).await,
            Command::CheckConfig { connect } => check_config::run(self.config.as_deref(), &load()?, connect).await,
            Command::ForgetSecrets => forget_secrets::run(&load()?).await,
            Command::User { command } => {
                let keeping = Keeping::open(&load()?).await?;
                let done = command.run(&keeping).await;
                keeping.close().await;
                done
            }
            Command::Token { command } => {
                let keeping = Keeping::open(&load()?).await?;
                let done = command.run(&keeping).await;
                keeping.close().await;
                done
            }
        }
    }
}

/// 2 for a wrong configuration, 1 for everything else.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if error.is::<Problems>() { 2 } else { 1 })
}
