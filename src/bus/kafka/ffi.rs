//! The one room that speaks to librdkafka's C interface: clients with their logs, raw messages in and out, transactions, and the
//! administrative calls that the crate does not wrap. It owns every native object through a guard and hands out plain values; it
//! decides nothing.
//!
//! Why not the crate's own: its messages panic on header names that are not UTF-8 and its producer takes no others, its commit waits
//! 100 ms, its errors name neither topic nor partition, and its group list uses protocol versions that do not know KIP-848.
#![expect(
    unsafe_code,
    reason = "librdkafka's administrative calls, raw messages and header names of any bytes have no safe wrapper in the crate"
)]

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use crate::model::bus::GroupMember;
use crate::model::names::TopicPartition;
use crate::model::{Record, TopicName};

mod admin;
mod producer;
mod values;

pub(super) use producer::{Delivery, Producer, Setback};
use values::{outcome, record, text};

/// Why a call failed, in librdkafka's terms.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub code: RDKafkaErrorCode,
    pub words: String,
}

impl Failure {
    pub(super) fn timed_out() -> Self {
        Self { code: RDKafkaErrorCode::OperationTimedOut, words: "no answer in time".to_owned() }
    }
}

/// Hears what librdkafka says on its own, on any of its threads. Must not block and must not panic.
pub(super) trait Observer: Send + Sync {
    /// A log line; `level` as in syslog.
    fn log(&self, level: i32, facility: &str, text: &str);
    /// An error of the client as a whole; only for clients made with `report_errors`, during [`Client::poll`].
    fn error(&self, code: RDKafkaErrorCode, text: &str);
}

/// What one poll of a consumer brought.
pub(super) enum Polled {
    /// A record.
    Record(Record),
    /// The end of a partition, with the offset after everything there is for us to see.
    End(TopicPartition, i64),
    /// Something failed; with the partition, when it is one partition's affair.
    Failed(Option<TopicPartition>, Failure),
}

/// A topic as the cluster describes it.
pub(super) struct TopicDescription {
    pub topic_id: Option<String>,
    pub internal: bool,
    pub partitions: BTreeMap<i32, Option<i32>>,
    pub replication_factor: u32,
}

/// A value of a topic's configuration.
pub(super) struct ConfigValue {
    pub name: String,
    pub value: Option<String>,
    /// Whether it was set on this topic.
    pub of_topic: bool,
}

/// A consumer group as list and description tell it.
pub(super) struct Group {
    pub name: String,
    pub kind: &'static str,
    pub state: String,
    pub members: Result<Vec<GroupMember>, Failure>,
}

/// Results by name, each with its own outcome.
pub(super) type ByName<T> = Vec<(String, Result<T, Failure>)>;

/// An offset, or why a partition could not be asked.
pub(super) type PartitionOutcome = (TopicPartition, Result<i64, Failure>);

/// Frees a native object exactly once.
struct Owned<T> {
    pointer: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    /// `pointer` is null or ours to free with `free`, and nobody else frees it.
    unsafe fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, free })
    }

    const fn get(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: by the contract of `new` the object is alive and ours.
        unsafe { (self.free)(self.get()) }
    }
}

/// What librdkafka's callbacks reach.
struct Hooks {
    observer: Arc<dyn Observer>,
    /// By place in the batch; stays empty in a client that only reads.
    deliveries: Mutex<Vec<Option<Delivery>>>,
}

/// A native client. Its calls block; never make them, nor drop it, on a thread of the runtime.
struct Handle {
    pointer: NonNull<rd::rd_kafka_t>,
    /// librdkafka's callbacks hold a plain pointer to this, so it must outlive the client.
    hooks: Box<Hooks>,
}

// SAFETY: librdkafka's handle may be used from any number of threads at once (INTRODUCTION.md, "Threads and callbacks"), and the
// hooks are `Send + Sync`.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    /// Makes a client. Starts threads but waits for no broker.
    fn new(
        kind: rd::rd_kafka_type_t,
        config: &ClientConfig,
        observer: Arc<dyn Observer>,
        set_callbacks: impl FnOnce(*mut rd::rd_kafka_conf_t),
    ) -> Result<Self, String> {
        let native = config.create_native_config().map_err(|error| match error {
            rdkafka::error::KafkaError::ClientConfig(_, words, _, _) => words,
            other => other.to_string(),
        })?;
        let native = ManuallyDrop::new(native);
        let hooks = Box::new(Hooks { observer, deliveries: Mutex::default() });
        let mut words = [0 as c_char; 512];
        // SAFETY: the configuration is alive; the hooks are boxed, so their address stays until the client is gone. `rd_kafka_new`
        // takes the configuration over when it succeeds and leaves it to us when it fails.
        unsafe {
            rd::rd_kafka_conf_set_opaque(native.ptr(), (&raw const *hooks).cast_mut().cast::<c_void>());
            rd::rd_kafka_conf_set_log_cb(native.ptr(), Some(on_log));
            set_callbacks(native.ptr());
            let pointer = rd::rd_kafka_new(kind, native.ptr(), words.as_mut_ptr(), words.len());
            let Some(pointer) = NonNull::new(pointer) else {
                drop(ManuallyDrop::into_inner(native));
                return Err(text(words.as_ptr()));
            };
            Ok(Self { pointer, hooks })
        }
    }

    const fn get(&self) -> *mut rd::rd_kafka_t {
        self.pointer.as_ptr()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nobody else holds the client. Without closing a consumer: ours never join a group.
        unsafe { rd::rd_kafka_destroy_flags(self.get(), rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE) }
    }
}

/// A client that reads and administrates. Its calls block; never make them, nor drop it, on a thread of the runtime.
pub(super) struct Client {
    handle: Handle,
    /// A broker that has answered lately: asked what any broker can tell. -1 = none, librdkafka then looks for the controller, which
    /// not every service that speaks Kafka's protocol has.
    nearest: AtomicI32,
}

impl Client {
    /// Makes a client. Starts threads but waits for no broker.
    pub(super) fn new(config: &ClientConfig, report_errors: bool, observer: Arc<dyn Observer>) -> Result<Self, String> {
        let handle = Handle::new(rd::rd_kafka_type_t::RD_KAFKA_CONSUMER, config, observer, |native| {
            if report_errors {
                // SAFETY: the configuration lives during the call.
                unsafe { rd::rd_kafka_conf_set_error_cb(native, Some(on_error)) }
            }
        })?;
        if config.get("group.id").is_some() {
            // SAFETY: the client is alive.
            unsafe { rd::rd_kafka_poll_set_consumer(handle.get()) };
        }
        Ok(Self { handle, nearest: AtomicI32::new(-1) })
    }

    /// Replaces the assignment.
    pub(super) fn assign(&self, positions: &TopicPartitionList) -> Result<(), Failure> {
        // SAFETY: both are alive; librdkafka copies the list.
        let code = unsafe { rd::rd_kafka_assign(self.handle.get(), positions.ptr()) };
        outcome(code)
    }

    /// Waits for the next record, end or failure.
    pub(super) fn poll(&self, timeout: Duration) -> Option<Polled> {
        // SAFETY: the client is alive; a message is ours to destroy, and its topic lives as long as it does. Every value is copied.
        unsafe {
            let message = rd::rd_kafka_consumer_poll(self.handle.get(), millis(timeout));
            let message = Owned::new(message, rd::rd_kafka_message_destroy)?;
            let raw = &*message.get();
            let partition = (!raw.rkt.is_null())
                .then(|| TopicPartition { topic: TopicName::new(text(rd::rd_kafka_topic_name(raw.rkt))), partition: raw.partition });
            Some(match (raw.err, partition) {
                (rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, Some(partition)) => Polled::Record(record(raw, partition)),
                (rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF, Some(partition)) => Polled::End(partition, raw.offset),
                (code, partition) => {
                    Polled::Failed(partition, Failure { code: code.into(), words: text(rd::rd_kafka_message_errstr(raw)) })
                }
            })
        }
    }
}

unsafe extern "C" fn on_log(client: *const rd::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    // SAFETY: the opaque is the hooks that `Handle::new` set; they outlive the client. The texts live during the call.
    unsafe {
        if client.is_null() {
            return;
        }
        if let Some(hooks) = rd::rd_kafka_opaque(client).cast::<Hooks>().as_ref() {
            hooks.observer.log(level, &text(facility), &text(line));
        }
    }
}

unsafe extern "C" fn on_error(_: *mut rd::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: as in `on_log`.
    unsafe {
        if let Some(hooks) = opaque.cast::<Hooks>().as_ref() {
            hooks.observer.error(known_code(code), &text(reason));
        }
    }
}

/// The codes of client-wide errors that somebody tells apart; a code from the wild must not become an enum unchecked.
fn known_code(code: c_int) -> RDKafkaErrorCode {
    let known = [
        RDKafkaErrorCode::AllBrokersDown,
        RDKafkaErrorCode::Authentication,
        RDKafkaErrorCode::SaslAuthenticationFailed,
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::Resolve,
        RDKafkaErrorCode::SSL,
        RDKafkaErrorCode::Fatal,
    ];
    known.into_iter().find(|k| *k as c_int == code).unwrap_or(RDKafkaErrorCode::Fail)
}

fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}
