//! The integration tests: one binary, a module per room of the house.

mod architecture;
mod browser;
mod bus;
mod dead_letters;
mod demo;
mod harness;
mod letters;
mod operations;
mod process;
mod store;
mod web;
