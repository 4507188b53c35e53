//! The integration tests: one binary, a module per room of the house.

mod harness;
mod operations;
