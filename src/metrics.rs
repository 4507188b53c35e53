//! What the figures mean: pure functions from samples to lag, statuses, rates and quantiles. No I/O; time comes in as an argument.

pub mod bucket;
pub mod damage;
pub mod ends;
pub mod frame;
pub mod group;
pub mod histogram;
pub mod history;
pub mod minutes;
pub mod pace;
pub mod status;
pub mod trend;
mod wire;
