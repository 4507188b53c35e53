//! Dead letters: how frameworks write failure headers, decoding them, the fingerprint that groups the same failure, and which
//! topics hold dead letters. All of that is pure: values in, values out, no I/O and no clock. Only [`indexer`] works on bus and store.

pub mod conventions;
pub mod decode;
pub mod discovery;
pub mod fingerprint;
pub mod indexer;
