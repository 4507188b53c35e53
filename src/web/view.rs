//! View models shared by the pages: values on one side, what a page shows on the other. Pure; templates only place what is made here.

pub mod alert;
pub mod axis;
pub mod bytes;
pub mod chart;
pub mod csv;
pub mod delivery;
pub mod filter;
pub mod filter_bar;
pub mod freshness;
pub mod group;
pub mod group_row;
pub mod headers;
pub mod json;
pub mod letter_row;
pub mod lines;
pub mod listing;
pub mod look;
pub mod marks;
pub mod number;
pub mod partition_problem;
pub mod period;
pub mod policy;
pub mod purge;
pub mod quantiles;
pub mod query;
pub mod range;
pub mod replay;
pub mod stack;
pub mod text;
pub mod time;
pub mod timeline;
pub mod topic;
pub mod viewer;

pub use crate::model::address;
