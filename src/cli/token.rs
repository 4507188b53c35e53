//! `redrive token`: API tokens, also while `serve` runs on the same store.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;

use super::keeping::Keeping;
use crate::config::values::parse_duration;
use crate::model::access::Token;
use crate::model::{Role, Timestamp};

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token. Prints it, and nothing else, to standard output; it cannot be shown again.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// viewer, operator or admin.
        #[arg(long)]
        role: Role,
        /// Ends after this time, such as 90d. Without it the token never ends.
        #[arg(long, value_parser = duration)]
        expires: Option<Duration>,
    },
    /// List tokens, revoked ones included.
    List,
    /// Revoke a token by name or id.
    Revoke {
        /// Name or id, as `list` shows them.
        token: String,
    },
}

impl TokenCommand {
    pub(super) async fn run(self, keeping: &Keeping) -> anyhow::Result<()> {
        let now = Timestamp::now();
        match self {
            Self::Create { name, role, expires } => {
                let expires_at = expires.map(|after| now.plus(after));
                let made = keeping.access.add_token(&keeping.actor, &name, role, expires_at, now).await?;
                println!("{}", made.secret.expose());
                Ok(())
            }
            Self::List => list(keeping, now).await,
            Self::Revoke { token } => {
                let found = find(keeping, &token).await?;
                keeping.access.revoke_token(&keeping.actor, found.id, now).await?;
                println!("token {} was revoked", found.name);
                Ok(())
            }
        }
    }
}

async fn list(keeping: &Keeping, now: Timestamp) -> anyhow::Result<()> {
    let tokens = keeping.access.list_tokens().await?;
    if tokens.is_empty() {
        println!("there are no tokens");
    }
    for token in tokens {
        println!("{}\t{}\t{}\tby {}\t{}", token.id, token.name, token.role, token.created_by, state(&token, now));
    }
    Ok(())
}

fn state(token: &Token, now: Timestamp) -> String {
    match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now => format!("expired {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "without end".to_owned(),
    }
}

async fn find(keeping: &Keeping, given: &str) -> anyhow::Result<Token> {
    let tokens = keeping.access.list_tokens().await?;
    let mut valid: Vec<Token> =
        tokens.into_iter().filter(|token| token.revoked_at.is_none() && (token.name == given || token.id.to_string() == given)).collect();
    if valid.len() > 1 {
        bail!("{given} is the name of one token and the id of another; revoke the one meant in the settings");
    }
    valid.pop().with_context(|| format!("there is no token {given} that is not revoked"))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|duration| !duration.is_zero()).ok_or_else(|| "should be a duration such as 90d or 12h".to_owned())
}
