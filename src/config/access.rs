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

/// What notifications may go to beside public addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedAddress {
    /// An address or a network.
    Network(Network),
    /// A host name, in lower case, wherever it leads.
    Host(String),
}

impl AllowedAddress {
    /// Parses a network, or else a host name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(network) = Network::parse(text) {
            return Some(Self::Network(network));
        }
        let name = text.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        // What consists of digits only was meant as an address.
        let is_name = name.chars().all(plain) && name.contains(|c: char| c.is_ascii_alphabetic()) && !name.starts_with(['-', '.']);
        is_name.then(|| Self::Host(name.trim_end_matches('.').to_owned()))
    }
}

/// Where notifications may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationsConfig {
    /// Private networks and host names that may be dialled.
    pub allow_addresses: Vec<AllowedAddress>,
}

impl NotificationsConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let allow_addresses = section.list(
            "allow_addresses",
            "addresses, networks or host names such as \"10.1.0.0/16\" or \"alertmanager\"",
            AllowedAddress::parse,
        );
        section.finish();
        Self { allow_addresses }
    }
}

#[cfg(test)]
mod tests {
    use super::AllowedAddress;

    #[test]
    fn networks_and_host_names_are_told_apart() {
        assert!(matches!(AllowedAddress::parse("10.1.0.0/16"), Some(AllowedAddress::Network(_))));
        assert!(matches!(AllowedAddress::parse("::1"), Some(AllowedAddress::Network(_))));
        assert_eq!(AllowedAddress::parse("Mattermost.internal."), Some(AllowedAddress::Host("mattermost.internal".to_owned())));
        for text in ["", "10.1.0.0/33", "10.1", "https://x", "a b", "*.internal", "-x", ".x", "x:25"] {
            assert_eq!(AllowedAddress::parse(text), None, "{text}");
        }
    }
}
