//! Journeys of a real Chromium.

mod corpus;
mod harness;
mod journey;
