//! Domain words, shared by every room: pure values without I/O. The words are those of the glossary in the README;
//! nothing here may name a database, a client library or a web framework.

pub mod access;
pub mod alert;
pub mod bus;
pub mod dead_letter;
pub mod delivery;
pub mod discard;
pub mod failure;
pub mod failure_group;
pub mod figure;
pub mod group_event;
pub mod happening;
pub mod lag;
pub mod names;
pub mod notification;
pub mod page;
pub mod partition_problem;
pub mod policy;
pub mod purge;
pub mod receiver;
pub mod record;
pub mod replay;
pub mod selection;
pub mod span;
pub mod time;
pub mod trace;

pub use access::{Actor, AuditEntry, Role};
pub use bus::{BusKind, BusState, Capabilities, Capability};
pub use dead_letter::{DeadLetterFilter, DeadLetterId, FailedAtSource, Presence, Status};
pub use failure::{Convention, Failure, Origin};
pub use failure_group::Fingerprint;
pub use names::{BusId, GroupName, TopicName};
pub use page::{Cursor, Page, PageRequest};
pub use record::{Header, Record};
pub use selection::Selection;
pub use time::Timestamp;
