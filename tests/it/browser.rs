//! Journeys of a real Chromium.

mod harness;
