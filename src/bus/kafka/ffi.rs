//! The one room that speaks to librdkafka's C interface: a client with its logs, raw messages, and the administrative calls that
//! the crate does not wrap. It owns every native object through a guard and hands out plain values; it decides nothing.
//!
//! Why not the crate's own: its messages panic on header names that are not UTF-8, its errors name neither topic nor partition,
//! and its group list uses protocol versions that do not know KIP-848.
#![expect(unsafe_code, reason = "librdkafka's administrative calls and raw messages have no safe wrapper in the crate")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use crate::model::bus::GroupMember;
use crate::model::names::TopicPartition;
use crate::model::{Record, TopicName};

mod values;

use values::{
    array, configs, count, elements, error_of, group_description, group_kind, named, outcome, record, slice, text, topic_description,
};

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

/// A native client of the consumer type. Its calls block; never make them, nor drop it, on a thread of the runtime.
pub(super) struct Client {
    handle: NonNull<rd::rd_kafka_t>,
    /// A broker that has answered lately: asked what any broker can tell. -1 = none, librdkafka then looks for the controller, which
    /// not every service that speaks Kafka's protocol has.
    nearest: AtomicI32,
    /// librdkafka's callbacks hold a plain pointer to this, so it must outlive the handle.
    _observer: Box<Arc<dyn Observer>>,
}

// SAFETY: librdkafka's handle may be used from any number of threads at once (INTRODUCTION.md, "Threads and callbacks"), and the
// observer is `Send + Sync`.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Makes a client. Starts threads but waits for no broker.
    pub(super) fn new(config: &ClientConfig, report_errors: bool, observer: Arc<dyn Observer>) -> Result<Self, String> {
        let native = config.create_native_config().map_err(|error| match error {
            rdkafka::error::KafkaError::ClientConfig(_, words, _, _) => words,
            other => other.to_string(),
        })?;
        let native = ManuallyDrop::new(native);
        let observer = Box::new(observer);
        let mut words = [0 as c_char; 512];
        // SAFETY: the configuration is alive; the observer is boxed, so its address stays until the client is gone. `rd_kafka_new`
        // takes the configuration over when it succeeds and leaves it to us when it fails.
        unsafe {
            rd::rd_kafka_conf_set_opaque(native.ptr(), (&raw const *observer).cast_mut().cast::<c_void>());
            rd::rd_kafka_conf_set_log_cb(native.ptr(), Some(on_log));
            if report_errors {
                rd::rd_kafka_conf_set_error_cb(native.ptr(), Some(on_error));
            }
            let handle = rd::rd_kafka_new(rd::rd_kafka_type_t::RD_KAFKA_CONSUMER, native.ptr(), words.as_mut_ptr(), words.len());
            let Some(handle) = NonNull::new(handle) else {
                drop(ManuallyDrop::into_inner(native));
                return Err(text(words.as_ptr()));
            };
            if config.get("group.id").is_some() {
                rd::rd_kafka_poll_set_consumer(handle.as_ptr());
            }
            Ok(Self { handle, nearest: AtomicI32::new(-1), _observer: observer })
        }
    }

    /// Replaces the assignment.
    pub(super) fn assign(&self, positions: &TopicPartitionList) -> Result<(), Failure> {
        // SAFETY: both are alive; librdkafka copies the list.
        let code = unsafe { rd::rd_kafka_assign(self.handle.as_ptr(), positions.ptr()) };
        outcome(code)
    }

    /// Waits for the next record, end or failure.
    pub(super) fn poll(&self, timeout: Duration) -> Option<Polled> {
        // SAFETY: the client is alive; a message is ours to destroy, and its topic lives as long as it does. Every value is copied.
        unsafe {
            let message = rd::rd_kafka_consumer_poll(self.handle.as_ptr(), millis(timeout));
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

    /// Names of all topics we may see.
    pub(super) fn topic_names(&self, timeout: Duration) -> Result<Vec<String>, Failure> {
        self.metadata(true, timeout)
    }

    /// Asks any broker for its metadata, and remembers who answered.
    fn metadata(&self, all_topics: bool, timeout: Duration) -> Result<Vec<String>, Failure> {
        let mut metadata: *const rd::rd_kafka_metadata = ptr::null();
        // SAFETY: the client is alive; the metadata is ours once the call succeeded, and its arrays have the lengths it tells.
        unsafe {
            let code =
                rd::rd_kafka_metadata(self.handle.as_ptr(), c_int::from(all_topics), ptr::null_mut(), &raw mut metadata, millis(timeout));
            outcome(code)?;
            let told = &*metadata;
            let first = slice(told.brokers, count(told.broker_cnt)).first().map_or(-1, |b| b.id);
            let answered = if told.orig_broker_id >= 0 { told.orig_broker_id } else { first };
            self.nearest.store(answered, Ordering::Relaxed);
            let names = slice(told.topics, count(told.topic_cnt)).iter().map(|t| text(t.topic)).collect();
            rd::rd_kafka_metadata_destroy(metadata);
            Ok(names)
        }
    }

    /// The cluster's id and its brokers as `host:port`.
    pub(super) fn describe_cluster(&self, timeout: Duration) -> Result<(Option<String>, Vec<String>), Failure> {
        // SAFETY: see `admin`; everything read belongs to the event.
        unsafe {
            self.ask_any(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER,
                timeout,
                |call| rd::rd_kafka_DescribeCluster(call.client, call.options, call.queue),
                |event| {
                    let result = rd::rd_kafka_event_DescribeCluster_result(event);
                    let id = rd::rd_kafka_DescribeCluster_result_cluster_id(result);
                    let nodes = array(|n| rd::rd_kafka_DescribeCluster_result_nodes(result, n));
                    let brokers =
                        nodes.iter().map(|node| format!("{}:{}", text(rd::rd_kafka_Node_host(*node)), rd::rd_kafka_Node_port(*node)));
                    ((!id.is_null()).then(|| text(id)), brokers.collect())
                },
            )
        }
    }

    /// Topics with their ids and partitions.
    pub(super) fn describe_topics(&self, topics: &[CString], timeout: Duration) -> Result<ByName<TopicDescription>, Failure> {
        let mut names: Vec<*const c_char> = topics.iter().map(|t| t.as_ptr()).collect();
        // SAFETY: see `admin`; the collection copies the names, and everything read belongs to the event.
        unsafe {
            let collection = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            let Some(collection) = Owned::new(collection, rd::rd_kafka_TopicCollection_destroy) else { return Ok(Vec::new()) };
            self.ask_any(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
                timeout,
                |call| rd::rd_kafka_DescribeTopics(call.client, collection.get(), call.options, call.queue),
                |event| {
                    let result = rd::rd_kafka_event_DescribeTopics_result(event);
                    let topics = array(|n| rd::rd_kafka_DescribeTopics_result_topics(result, n));
                    topics.iter().map(|topic| (text(rd::rd_kafka_TopicDescription_name(*topic)), topic_description(*topic))).collect()
                },
            )
        }
    }

    /// Offsets by a specification for each partition (`Offset::Beginning`, `Offset::End` or a time); negative = none.
    pub(super) fn list_offsets(
        &self,
        wanted: &TopicPartitionList,
        committed: bool,
        timeout: Duration,
    ) -> Result<Vec<PartitionOutcome>, Failure> {
        let isolation = if committed {
            rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
        } else {
            rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
        };
        // SAFETY: see `admin`; the list is copied, an error of the option is ours to destroy, what is read belongs to the event.
        unsafe {
            self.admin(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
                timeout,
                |call| {
                    drop(Owned::new(rd::rd_kafka_AdminOptions_set_isolation_level(call.options, isolation), rd::rd_kafka_error_destroy));
                    rd::rd_kafka_ListOffsets(call.client, wanted.ptr(), call.options, call.queue);
                },
                |event| {
                    let result = rd::rd_kafka_event_ListOffsets_result(event);
                    let infos = array(|n| rd::rd_kafka_ListOffsets_result_infos(result, n));
                    let each = infos.iter().map(|info| {
                        let element = &*rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                        (named(element), outcome(element.err).map(|()| element.offset))
                    });
                    each.collect()
                },
            )
        }
    }

    /// Configurations of topics.
    pub(super) fn describe_configs(&self, topics: &[CString], timeout: Duration) -> Result<ByName<Vec<ConfigValue>>, Failure> {
        // SAFETY: see `admin`; resources are destroyed after the call, which copies them; what is read belongs to the event.
        unsafe {
            let kind = rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
            let resources: Vec<Owned<rd::rd_kafka_ConfigResource_t>> = topics
                .iter()
                .filter_map(|t| Owned::new(rd::rd_kafka_ConfigResource_new(kind, t.as_ptr()), rd::rd_kafka_ConfigResource_destroy))
                .collect();
            let mut pointers: Vec<*mut rd::rd_kafka_ConfigResource_t> = resources.iter().map(Owned::get).collect();
            self.ask_any(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
                timeout,
                |call| rd::rd_kafka_DescribeConfigs(call.client, pointers.as_mut_ptr(), pointers.len(), call.options, call.queue),
                |event| {
                    let result = rd::rd_kafka_event_DescribeConfigs_result(event);
                    let resources = array(|n| rd::rd_kafka_DescribeConfigs_result_resources(result, n));
                    resources.iter().map(|r| (text(rd::rd_kafka_ConfigResource_name(*r)), configs(*r))).collect()
                },
            )
        }
    }

    /// All consumer groups, and what failed while asking the brokers.
    pub(super) fn list_groups(&self, timeout: Duration) -> Result<(Vec<Group>, Vec<Failure>), Failure> {
        // SAFETY: see `admin`; everything read belongs to the event.
        unsafe {
            self.admin(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS,
                timeout,
                |call| rd::rd_kafka_ListConsumerGroups(call.client, call.options, call.queue),
                |event| {
                    let result = rd::rd_kafka_event_ListConsumerGroups_result(event);
                    let valid = array(|n| rd::rd_kafka_ListConsumerGroups_result_valid(result, n));
                    let errors = array(|n| rd::rd_kafka_ListConsumerGroups_result_errors(result, n));
                    let groups = valid.iter().map(|group| Group {
                        name: text(rd::rd_kafka_ConsumerGroupListing_group_id(*group)),
                        kind: group_kind(rd::rd_kafka_ConsumerGroupListing_type(*group)),
                        state: text(rd::rd_kafka_consumer_group_state_name(rd::rd_kafka_ConsumerGroupListing_state(*group))),
                        members: Ok(Vec::new()),
                    });
                    (groups.collect(), errors.iter().filter_map(|error| error_of(*error).err()).collect())
                },
            )
        }
    }

    /// Groups with their members.
    pub(super) fn describe_groups(&self, groups: &[CString], timeout: Duration) -> Result<Vec<Group>, Failure> {
        let mut names: Vec<*const c_char> = groups.iter().map(|g| g.as_ptr()).collect();
        // SAFETY: see `admin`; names are copied by the call, everything read belongs to the event.
        unsafe {
            self.admin(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
                timeout,
                |call| rd::rd_kafka_DescribeConsumerGroups(call.client, names.as_mut_ptr(), names.len(), call.options, call.queue),
                |event| {
                    let result = rd::rd_kafka_event_DescribeConsumerGroups_result(event);
                    let groups = array(|n| rd::rd_kafka_DescribeConsumerGroups_result_groups(result, n));
                    groups.iter().map(|group| group_description(*group)).collect()
                },
            )
        }
    }

    /// Committed offsets of one group, wherever it has committed.
    pub(super) fn group_offsets(&self, group: &CStr, timeout: Duration) -> Result<Vec<(TopicPartition, i64)>, Failure> {
        // SAFETY: see `admin`; the request is copied by the call and destroyed after it, everything read belongs to the event.
        unsafe {
            let request = rd::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), ptr::null());
            let Some(request) = Owned::new(request, rd::rd_kafka_ListConsumerGroupOffsets_destroy) else { return Ok(Vec::new()) };
            let mut requests = [request.get()];
            self.admin(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
                timeout,
                |call| rd::rd_kafka_ListConsumerGroupOffsets(call.client, requests.as_mut_ptr(), 1, call.options, call.queue),
                |event| {
                    let result = rd::rd_kafka_event_ListConsumerGroupOffsets_result(event);
                    let groups = array(|n| rd::rd_kafka_ListConsumerGroupOffsets_result_groups(result, n));
                    let mut offsets = Vec::new();
                    for group in groups {
                        error_of(rd::rd_kafka_group_result_error(*group))?;
                        for element in elements(rd::rd_kafka_group_result_partitions(*group)) {
                            outcome(element.err)?;
                            offsets.push((named(element), element.offset));
                        }
                    }
                    Ok(offsets)
                },
            )?
        }
    }

    /// Makes an administrative call that any broker can answer.
    ///
    /// # Safety
    /// As for [`Self::admin`].
    unsafe fn ask_any<T>(
        &self,
        operation: rd::rd_kafka_admin_op_t,
        timeout: Duration,
        submit: impl FnOnce(&Call),
        read: impl FnOnce(*mut rd::rd_kafka_event_t) -> T,
    ) -> Result<T, Failure> {
        if self.nearest.load(Ordering::Relaxed) < 0 {
            self.metadata(false, timeout)?;
        }
        let nearest = self.nearest.load(Ordering::Relaxed);
        // SAFETY: as the caller promised; the options are alive during the call.
        let asked = unsafe {
            self.admin(
                operation,
                timeout,
                |call| {
                    let mut words = [0 as c_char; 256];
                    if nearest >= 0 {
                        rd::rd_kafka_AdminOptions_set_broker(call.options, nearest, words.as_mut_ptr(), words.len());
                    }
                    submit(call);
                },
                read,
            )
        };
        if asked.is_err() {
            self.nearest.store(-1, Ordering::Relaxed);
        }
        asked
    }

    /// Makes an administrative call and waits for its event on a queue of its own.
    ///
    /// # Safety
    /// `submit` must pass the call's pointers to the function of `operation` only, and `read` must not keep what the event owns.
    unsafe fn admin<T>(
        &self,
        operation: rd::rd_kafka_admin_op_t,
        timeout: Duration,
        submit: impl FnOnce(&Call),
        read: impl FnOnce(*mut rd::rd_kafka_event_t) -> T,
    ) -> Result<T, Failure> {
        let client = self.handle.as_ptr();
        let mut words = [0 as c_char; 256];
        // SAFETY: the client is alive. Options, queue and event are freed by their guards, the event first. An answer that comes
        // after the queue is gone is dropped by librdkafka.
        unsafe {
            let options = Owned::new(rd::rd_kafka_AdminOptions_new(client, operation), rd::rd_kafka_AdminOptions_destroy);
            let queue = Owned::new(rd::rd_kafka_queue_new(client), rd::rd_kafka_queue_destroy);
            let (Some(options), Some(queue)) = (options, queue) else { return Err(Failure::timed_out()) };
            rd::rd_kafka_AdminOptions_set_request_timeout(options.get(), millis(timeout), words.as_mut_ptr(), words.len());
            submit(&Call { client, options: options.get(), queue: queue.get() });
            // librdkafka answers at the timeout itself; a little longer, so that its words win over ours.
            let event = rd::rd_kafka_queue_poll(queue.get(), millis(timeout + Duration::from_millis(500)));
            let event = Owned::new(event, rd::rd_kafka_event_destroy).ok_or_else(Failure::timed_out)?;
            let code = rd::rd_kafka_event_error(event.get());
            if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(Failure { code: code.into(), words: text(rd::rd_kafka_event_error_string(event.get())) });
            }
            Ok(read(event.get()))
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: nobody else holds the handle. Without closing the consumer: ours never join a group.
        unsafe { rd::rd_kafka_destroy_flags(self.handle.as_ptr(), rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE) }
    }
}

/// What every administrative function wants.
struct Call {
    client: *mut rd::rd_kafka_t,
    options: *mut rd::rd_kafka_AdminOptions_t,
    queue: *mut rd::rd_kafka_queue_t,
}

unsafe extern "C" fn on_log(client: *const rd::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    // SAFETY: the opaque is the observer that `Client::new` set; it outlives the client. The texts live during the call.
    unsafe {
        if client.is_null() {
            return;
        }
        let observer = rd::rd_kafka_opaque(client).cast::<Arc<dyn Observer>>();
        if let Some(observer) = observer.as_ref() {
            observer.log(level, &text(facility), &text(line));
        }
    }
}

unsafe extern "C" fn on_error(_: *mut rd::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: as in `on_log`.
    unsafe {
        if let Some(observer) = opaque.cast::<Arc<dyn Observer>>().as_ref() {
            observer.error(known_code(code), &text(reason));
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
