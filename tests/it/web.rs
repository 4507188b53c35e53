//! Pages and API as a browser or a program meets them: the whole router with its layers, over a store in a scratch folder.

mod access;
mod alert_pages;
mod alerts;
mod answers;
mod asked_wrongly;
mod attention;
mod audit;
mod bad_input;
mod consumer_groups;
mod described;
mod errors;
mod events;
mod first_start;
mod records;
mod routes;
mod security;
mod series;
pub(crate) mod site;
mod topics;
mod traces;
mod users;
