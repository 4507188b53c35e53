//! What spans tell: figures of every one of them ([`mod@derive`]), and a message's whole way ([`journey`]). Pure: spans and time in, values out.

pub mod bearings;
pub mod critical;
pub mod derive;
pub mod journey;
#[cfg(test)]
mod samples;
mod seen;
mod tally;
mod window;
