//! Administrative calls: what a cluster tells about itself and what it does for us outside of its logs.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;

use super::values::{
    array, configs, count, elements, error_of, group_description, group_kind, named, outcome, slice, text, topic_description, topic_rights,
};
use super::{ByName, Client, ConfigValue, Failure, Group, Owned, PartitionOutcome, TopicDescription, millis};
use crate::bus::TopicRights;
use crate::model::names::TopicPartition;

/// What every administrative function wants.
struct Call {
    client: *mut rd::rd_kafka_t,
    options: *mut rd::rd_kafka_AdminOptions_t,
    queue: *mut rd::rd_kafka_queue_t,
}

impl Client {
    /// Names of all topics we may see.
    pub(in crate::bus::kafka) fn topic_names(&self, timeout: Duration) -> Result<Vec<String>, Failure> {
        self.metadata(true, timeout).map(|(topics, _)| topics)
    }

    /// Ids of the brokers that are there.
    pub(in crate::bus::kafka) fn brokers(&self, timeout: Duration) -> Result<Vec<i32>, Failure> {
        self.metadata(false, timeout).map(|(_, brokers)| brokers)
    }

    /// Asks any broker for topics and brokers, and remembers who answered.
    fn metadata(&self, all_topics: bool, timeout: Duration) -> Result<(Vec<String>, Vec<i32>), Failure> {
        let mut metadata: *const rd::rd_kafka_metadata = ptr::null();
        // SAFETY: the client is alive; the metadata is ours once the call succeeded, and its arrays have the lengths it tells.
        unsafe {
            let code =
                rd::rd_kafka_metadata(self.handle.get(), c_int::from(all_topics), ptr::null_mut(), &raw mut metadata, millis(timeout));
            outcome(code)?;
            let told = &*metadata;
            let brokers: Vec<i32> = slice(told.brokers, count(told.broker_cnt)).iter().map(|b| b.id).collect();
            let answered = if told.orig_broker_id >= 0 { told.orig_broker_id } else { brokers.first().copied().unwrap_or(-1) };
            self.nearest.store(answered, Ordering::Relaxed);
            let names = slice(told.topics, count(told.topic_cnt)).iter().map(|t| text(t.topic)).collect();
            rd::rd_kafka_metadata_destroy(metadata);
            Ok((names, brokers))
        }
    }

    /// The cluster's id and its brokers as `host:port`.
    pub(in crate::bus::kafka) fn describe_cluster(&self, timeout: Duration) -> Result<(Option<String>, Vec<String>), Failure> {
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
    pub(in crate::bus::kafka) fn describe_topics(
        &self,
        topics: &[CString],
        timeout: Duration,
    ) -> Result<ByName<TopicDescription>, Failure> {
        // SAFETY: `topic_description` keeps nothing of what it reads.
        unsafe { self.ask_topics(topics, false, timeout, topic_description) }
    }

    /// What we may do on topics.
    pub(in crate::bus::kafka) fn topic_rights(&self, topics: &[CString], timeout: Duration) -> Result<ByName<TopicRights>, Failure> {
        // SAFETY: `topic_rights` keeps nothing of what it reads.
        unsafe { self.ask_topics(topics, true, timeout, topic_rights) }
    }

    /// # Safety
    /// `read` must not keep what its argument owns.
    unsafe fn ask_topics<T>(
        &self,
        topics: &[CString],
        rights: bool,
        timeout: Duration,
        read: unsafe fn(*const rd::rd_kafka_TopicDescription_t) -> Result<T, Failure>,
    ) -> Result<ByName<T>, Failure> {
        let mut names: Vec<*const c_char> = topics.iter().map(|t| t.as_ptr()).collect();
        // SAFETY: see `admin`; the collection copies the names, an error of the option is ours to destroy, and everything read belongs
        // to the event.
        unsafe {
            let collection = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            let Some(collection) = Owned::new(collection, rd::rd_kafka_TopicCollection_destroy) else { return Ok(Vec::new()) };
            self.ask_any(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
                timeout,
                |call| {
                    let set = rd::rd_kafka_AdminOptions_set_include_authorized_operations(call.options, c_int::from(rights));
                    drop(Owned::new(set, rd::rd_kafka_error_destroy));
                    rd::rd_kafka_DescribeTopics(call.client, collection.get(), call.options, call.queue);
                },
                |event| {
                    let result = rd::rd_kafka_event_DescribeTopics_result(event);
                    let topics = array(|n| rd::rd_kafka_DescribeTopics_result_topics(result, n));
                    topics.iter().map(|topic| (text(rd::rd_kafka_TopicDescription_name(*topic)), read(*topic))).collect()
                },
            )
        }
    }

    /// Offsets by a specification for each partition (`Offset::Beginning`, `Offset::End` or a time); negative = none.
    pub(in crate::bus::kafka) fn list_offsets(
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
                        // What a leader that has not answered leads stays as the request was made, without an error (2.12).
                        let unanswered = element.offset == i64::from(rd::RD_KAFKA_OFFSET_INVALID);
                        let offset = outcome(element.err).map(|()| element.offset);
                        (named(element), if unanswered { offset.and(Err(Failure::timed_out())) } else { offset })
                    });
                    each.collect()
                },
            )
        }
    }

    /// Configurations of topics.
    pub(in crate::bus::kafka) fn describe_configs(
        &self,
        topics: &[CString],
        timeout: Duration,
    ) -> Result<ByName<Vec<ConfigValue>>, Failure> {
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
    pub(in crate::bus::kafka) fn list_groups(&self, timeout: Duration) -> Result<(Vec<Group>, Vec<Failure>), Failure> {
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

    /// Groups with their members, as far as one broker coordinates them.
    pub(in crate::bus::kafka) fn describe_groups(&self, groups: &[CString], broker: i32, timeout: Duration) -> Result<Vec<Group>, Failure> {
        let mut names: Vec<*const c_char> = groups.iter().map(|g| g.as_ptr()).collect();
        // SAFETY: see `admin`; names are copied by the call, everything read belongs to the event.
        unsafe {
            self.ask_one(
                broker,
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

    /// Committed offsets of one group on some partitions, negative where there is none, or wherever it has committed; its coordinator is
    /// asked.
    pub(in crate::bus::kafka) fn group_offsets(
        &self,
        group: &CStr,
        broker: i32,
        partitions: Option<&TopicPartitionList>,
        timeout: Duration,
    ) -> Result<Vec<(TopicPartition, i64)>, Failure> {
        let partitions = partitions.map_or(ptr::null_mut(), TopicPartitionList::ptr);
        // SAFETY: the list is alive; null asks for everything.
        unsafe { self.offsets_of_group(group, broker, partitions, false, timeout) }
    }

    /// Committed offsets of one group on some partitions, negative where there is none; fails with `UnstableOffsetCommit` while a
    /// transaction that commits there has not ended.
    pub(in crate::bus::kafka) fn stable_group_offsets(
        &self,
        group: &CStr,
        broker: i32,
        partitions: &TopicPartitionList,
        timeout: Duration,
    ) -> Result<Vec<(TopicPartition, i64)>, Failure> {
        // SAFETY: the list is alive.
        unsafe { self.offsets_of_group(group, broker, partitions.ptr(), true, timeout) }
    }

    /// # Safety
    /// `partitions` is null or alive.
    unsafe fn offsets_of_group(
        &self,
        group: &CStr,
        broker: i32,
        partitions: *const rd::rd_kafka_topic_partition_list_t,
        stable: bool,
        timeout: Duration,
    ) -> Result<Vec<(TopicPartition, i64)>, Failure> {
        // SAFETY: see `admin`; the request copies what it names, is copied by the call and destroyed after it; an error of the option is
        // ours to destroy; everything read belongs to the event.
        unsafe {
            let request = rd::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), partitions);
            let Some(request) = Owned::new(request, rd::rd_kafka_ListConsumerGroupOffsets_destroy) else { return Ok(Vec::new()) };
            let mut requests = [request.get()];
            self.ask_one(
                broker,
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
                timeout,
                |call| {
                    let set = rd::rd_kafka_AdminOptions_set_require_stable_offsets(call.options, c_int::from(stable));
                    drop(Owned::new(set, rd::rd_kafka_error_destroy));
                    rd::rd_kafka_ListConsumerGroupOffsets(call.client, requests.as_mut_ptr(), 1, call.options, call.queue);
                },
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

    /// Removes the records below an offset in each partition; answers the new log starts.
    pub(in crate::bus::kafka) fn delete_records(
        &self,
        cuts: &TopicPartitionList,
        timeout: Duration,
    ) -> Result<Vec<PartitionOutcome>, Failure> {
        // SAFETY: see `admin`; the request copies the list, is copied by the call and destroyed after it; what is read belongs to the
        // event.
        unsafe {
            let request = Owned::new(rd::rd_kafka_DeleteRecords_new(cuts.ptr()), rd::rd_kafka_DeleteRecords_destroy);
            let Some(request) = request else { return Ok(Vec::new()) };
            let mut requests = [request.get()];
            self.admin(
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETERECORDS,
                timeout,
                |call| rd::rd_kafka_DeleteRecords(call.client, requests.as_mut_ptr(), 1, call.options, call.queue),
                |event| {
                    let result = rd::rd_kafka_event_DeleteRecords_result(event);
                    let each = elements(rd::rd_kafka_DeleteRecords_result_offsets(result)).iter();
                    each.map(|element| (named(element), outcome(element.err).map(|()| element.offset))).collect()
                },
            )
        }
    }

    /// Deletes a consumer group; its coordinator is asked.
    pub(in crate::bus::kafka) fn delete_group(&self, group: &CStr, broker: i32, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: as in `delete_records`.
        unsafe {
            let Some(request) = Owned::new(rd::rd_kafka_DeleteGroup_new(group.as_ptr()), rd::rd_kafka_DeleteGroup_destroy) else {
                return Ok(());
            };
            let mut requests = [request.get()];
            self.ask_one(
                broker,
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEGROUPS,
                timeout,
                |call| rd::rd_kafka_DeleteGroups(call.client, requests.as_mut_ptr(), 1, call.options, call.queue),
                |event| {
                    let result = rd::rd_kafka_event_DeleteGroups_result(event);
                    let groups = array(|n| rd::rd_kafka_DeleteGroups_result_groups(result, n));
                    groups.iter().try_for_each(|group| error_of(rd::rd_kafka_group_result_error(*group)))
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
        // SAFETY: as the caller promised.
        let asked = unsafe { self.ask_one(nearest, operation, timeout, submit, read) };
        if asked.is_err() {
            self.nearest.store(-1, Ordering::Relaxed);
        }
        asked
    }

    /// Makes an administrative call at one broker; a negative one leaves the choice to librdkafka.
    ///
    /// # Safety
    /// As for [`Self::admin`].
    unsafe fn ask_one<T>(
        &self,
        broker: i32,
        operation: rd::rd_kafka_admin_op_t,
        timeout: Duration,
        submit: impl FnOnce(&Call),
        read: impl FnOnce(*mut rd::rd_kafka_event_t) -> T,
    ) -> Result<T, Failure> {
        let at = |call: &Call| {
            let mut words = [0 as c_char; 256];
            if broker >= 0 {
                // SAFETY: the options are alive during the call.
                unsafe { rd::rd_kafka_AdminOptions_set_broker(call.options, broker, words.as_mut_ptr(), words.len()) };
            }
            submit(call);
        };
        // SAFETY: as the caller promised.
        unsafe { self.admin(operation, timeout, at, read) }
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
        let client = self.handle.get();
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
