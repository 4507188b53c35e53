//! Alerts: from figures to who is told, and how that reaches them.
//!
//! [`rule`], [`state`], [`grouping`], [`silences`], [`inhibition`] and [`trying`] are pure: what they are to know comes in, time
//! included. [`evaluation`] looks at the figures and moves the alerts, [`history`] reads what a rule is tried on, [`trials`] has one trial
//! run at a time, [`keeping`] does what people do with rules, alerts and silences, [`defaults`] are the rules everybody starts with,
//! [`course`] says which values a rule saw, [`way`] leads from an alert to the page that explains it (pure, like those), [`watching`] tells
//! readiness whether rules are looked at.
//!
//! [`notify`] builds bodies (pure) and posts them through a filter of addresses; [`receivers`] keeps receivers and their secrets;
//! [`delivery`] brings every row of the outbox to its receiver, or says that it gave up.

pub mod course;
pub mod defaults;
pub mod delivery;
pub mod evaluation;
pub mod grouping;
pub mod history;
pub mod inhibition;
pub mod keeping;
pub mod notify;
pub mod receivers;
pub mod rule;
pub mod silences;
pub mod state;
pub mod trials;
pub mod trying;
pub mod watching;
pub mod way;
