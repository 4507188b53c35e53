//! View models shared by the pages: values on one side, what a page shows on the other. Pure; templates only place what is made here.

pub mod address;
pub mod bytes;
pub mod chart;
pub mod filter;
pub mod filter_bar;
pub mod freshness;
pub mod group;
pub mod group_row;
pub mod headers;
pub mod json;
pub mod letter_row;
pub mod listing;
pub mod look;
pub mod number;
pub mod partition_problem;
pub mod policy;
pub mod purge;
pub mod query;
pub mod range;
pub mod replay;
pub mod stack;
pub mod text;
pub mod time;
pub mod topic;
pub mod viewer;
