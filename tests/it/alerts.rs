//! Alerts: what fires when, who is told how often, whatever happens to the instance that looks.

mod arrival;
mod evaluation;
mod lag;
mod late;
mod losses;
mod model;
mod pair;
mod quiet;
mod rare;
mod scene;
mod senders;
mod silence;
mod told;
mod tried;
mod trouble;
