//! Pages: one module each, with its structs, handlers and routes; its templates have the same names.

use super::router::Routes;

mod alert;
mod alert_rule;
mod alert_rules;
mod alerts;
mod audit;
mod buses;
mod consumer_group;
mod consumer_groups;
mod dead_letter;
mod dead_letters;
mod deliveries;
mod demo;
mod discard;
pub(super) mod error;
mod failure_group;
mod failure_groups;
mod help;
mod journey;
pub(super) mod login;
pub(super) mod overview;
mod problem;
mod purge;
mod purges;
mod receivers;
mod replay;
mod replay_policies;
mod replay_policy;
mod replays;
mod settings;
mod silences;
mod span_figures;
mod topic;
mod topics;
mod trace;
mod traces;

/// All routes of pages.
pub(super) fn routes() -> Routes {
    Routes::new()
        .and(overview::routes())
        .and(failure_groups::routes())
        .and(failure_group::routes())
        .and(dead_letters::routes())
        .and(dead_letter::routes())
        .and(demo::routes())
        .and(replays::routes())
        .and(replay::routes())
        .and(replay_policies::routes())
        .and(replay_policy::routes())
        .and(purges::routes())
        .and(purge::routes())
        .and(discard::routes())
        .and(login::routes())
        .and(buses::routes())
        .and(help::routes())
        .and(audit::routes())
        .and(receivers::routes())
        .and(deliveries::routes())
        .and(settings::routes())
        .and(traces::routes())
        .and(trace::routes())
        .and(journey::routes())
        .and(alerts::routes())
        .and(alert::routes())
        .and(alert_rules::routes())
        .and(alert_rule::routes())
        .and(silences::routes())
}
