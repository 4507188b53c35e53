//! The integration tests: one binary, a module per room of the house.

mod architecture;
mod browser;
mod bus;
mod harness;
mod operations;
