//! The integration tests: one binary, a module per room of the house.

mod bus;
mod browser;
mod harness;
mod operations;
