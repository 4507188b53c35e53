//! `redrive user`: local users, also while `serve` runs on the same store.

use std::io::BufRead;

use anyhow::{Context, bail};
use clap::Subcommand;

use super::keeping::Keeping;
use crate::access::UserChange;
use crate::model::access::User;
use crate::model::{Role, Timestamp};

/// What is done with users.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user.
    Add {
        /// Login name.
        name: String,
        /// viewer, operator or admin.
        #[arg(long)]
        role: Role,
        /// The password is the first line of standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List users.
    List,
    /// Set a new password; ends the user's sessions.
    Password {
        /// Login name.
        name: String,
        /// The password is the first line of standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Give another role.
    Role {
        /// Login name.
        name: String,
        /// viewer, operator or admin.
        role: Role,
    },
    /// Keep a user from logging in; ends the user's sessions.
    Disable {
        /// Login name.
        name: String,
    },
    /// Let a disabled user log in again.
    Enable {
        /// Login name.
        name: String,
    },
    /// Delete a user.
    Delete {
        /// Login name.
        name: String,
    },
}

impl UserCommand {
    pub(super) async fn run(self, keeping: &Keeping) -> anyhow::Result<()> {
        match self {
            Self::Add { name, role, password_stdin: _ } => {
                let password = password()?;
                keeping.access.add_user(&keeping.actor, &name, &password, role, Timestamp::now()).await?;
                println!("user {name} was added with the role {role}");
                Ok(())
            }
            Self::List => list(keeping).await,
            Self::Password { name, password_stdin: _ } => {
                let password = password()?;
                alter(keeping, &name, UserChange { password: Some(password), ..UserChange::default() }, "has a new password").await
            }
            Self::Role { name, role } => {
                alter(keeping, &name, UserChange { role: Some(role), ..UserChange::default() }, &format!("is {role} now")).await
            }
            Self::Disable { name } => {
                alter(keeping, &name, UserChange { disabled: Some(true), ..UserChange::default() }, "can no longer log in").await
            }
            Self::Enable { name } => {
                alter(keeping, &name, UserChange { disabled: Some(false), ..UserChange::default() }, "can log in again").await
            }
            Self::Delete { name } => {
                let user = find(keeping, &name).await?;
                keeping.access.delete_user(&keeping.actor, user.id, Timestamp::now()).await?;
                println!("user {} was deleted", user.username);
                Ok(())
            }
        }
    }
}

async fn alter(keeping: &Keeping, name: &str, change: UserChange, outcome: &str) -> anyhow::Result<()> {
    let user = find(keeping, name).await?;
    keeping.access.change_user(&keeping.actor, user.id, change, Timestamp::now()).await?;
    println!("user {} {outcome}", user.username);
    Ok(())
}

async fn list(keeping: &Keeping) -> anyhow::Result<()> {
    let users = keeping.access.list_users().await?;
    if users.is_empty() {
        println!("there are no users");
    }
    for user in users {
        let login = user.last_login_at.map_or_else(|| "never logged in".to_owned(), |at| format!("last login {at}"));
        let disabled = if user.disabled_at.is_some() { ", disabled" } else { "" };
        println!("{}\t{}\t{login}{disabled}", user.username, user.role);
    }
    Ok(())
}

async fn find(keeping: &Keeping, name: &str) -> anyhow::Result<User> {
    let users = keeping.access.list_users().await?;
    let same = |user: &User| user.username.to_lowercase() == name.to_lowercase();
    users.into_iter().find(same).with_context(|| format!("there is no user {name}"))
}

fn password() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("reading the password from standard input")?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        bail!("no password came on standard input");
    }
    Ok(password.to_owned())
}
