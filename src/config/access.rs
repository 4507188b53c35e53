//! `[auth]`, `[secrets]` and `[notifications]`: who may come in, which key protects secrets, where alerts may go.

use std::path::PathBuf;

use super::read::Section;
use super::values::Network;

/// Whether people log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// By name and password.
    Password,
    /// Nobody needs to; only on loopback.
    None,
}

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whether people log in.
    pub mode: AuthMode,
}

impl AuthConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mode = section.parsed("mode", "\"password\" or \"none\"", AuthMode::Password, |text| match text {
            "password" => Some(AuthMode::Password),
            "none" => Some(AuthMode::None),
            _ => None,
        });
        section.finish();
        Self { mode }
    }
}

/// Where the key lies that protects secrets in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretsConfig {
    /// Path of the key; made at the first start.
    pub key_file: PathBuf,
}

impl SecretsConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let key_file = section
            .parsed("key_file", "the path of a file", PathBuf::from("redrive.key"), |text| (!text.is_empty()).then(|| PathBuf::from(text)));
        section.finish();
        Self { key_file }
    }
}

/// Where notifications may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationsConfig {
    /// Private networks that may be dialled.
    pub allow_addresses: Vec<Network>,
}

impl NotificationsConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let allow_addresses = section.list("allow_addresses", "addresses or networks such as \"10.1.0.0/16\"", Network::parse);
        section.finish();
        Self { allow_addresses }
    }
}
