//! Journeys of a real Chromium.

mod acts;
mod alerts;
mod corpus;
mod drawings;
mod harness;
mod journey;
mod policies;
mod replay;
