//! What tests need around them: the real binary, a browser, Kafka, PostgreSQL. A missing tool fails the test, it never skips it.

pub(crate) mod alertmanager;
pub(crate) mod browser;
pub(crate) mod chance;
#[expect(dead_code, reason = "the tests that use the rest follow with the rooms they test")]
pub(crate) mod kafka;
pub(crate) mod letters;
pub(crate) mod log_bus;
pub(crate) mod memory_bus;
pub(crate) mod notify;
pub(crate) mod postgres;
pub(crate) mod redrive;
pub(crate) mod sdk;
pub(crate) mod spans;
pub(crate) mod tls;
pub(crate) mod told;
