//! From figures to people: what receivers are told, and how it reaches them.
//!
//! [`notify`] builds bodies (pure) and posts them through a filter of addresses; [`receivers`] keeps receivers and their secrets;
//! [`delivery`] brings every row of the outbox to its receiver, or says that it gave up.

pub mod delivery;
pub mod notify;
pub mod receivers;
