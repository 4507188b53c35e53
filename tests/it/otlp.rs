//! The receivers of spans as an SDK or a collector meets them: real connections, real clients, and an intake that remembers.

mod grpc;
mod http;
mod odd_json;
mod receivers;
mod topic;
