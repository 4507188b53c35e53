//! Alerts: how bad they are.

use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};

words! {
    /// How bad an alert is, worst first.
    Severity {
        /// A person is needed now.
        Critical = "critical" / 0,
        /// A person is needed today.
        Error = "error" / 1,
        /// Worth a look.
        Warning = "warning" / 2,
        /// Good to know.
        Info = "info" / 3,
    }
}
