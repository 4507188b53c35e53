//! Copies what librdkafka owns into plain values.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use bytes::Bytes;
use rdkafka::bindings as rd;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::util::cstr_to_owned;

use super::{ConfigValue, Failure, Group, TopicDescription};
use crate::bus::TopicRights;
use crate::model::bus::GroupMember;
use crate::model::names::TopicPartition;
use crate::model::record::{Header, TimestampKind};
use crate::model::{Record, Timestamp, TopicName};

/// # Safety
/// `message` is alive and holds a record.
pub(super) unsafe fn record(message: &rd::rd_kafka_message_t, partition: TopicPartition) -> Record {
    // SAFETY: key, value and headers belong to the message and have the lengths it tells; all bytes are copied.
    unsafe {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let millis = rd::rd_kafka_message_timestamp(message, &raw mut kind);
        let kind = match kind {
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => Some(TimestampKind::CreateTime),
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Some(TimestampKind::LogAppendTime),
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => None,
        };
        let kind = kind.filter(|_| millis >= 0);
        let key = bytes(message.key, message.key_len);
        let value = bytes(message.payload, message.len);
        let raw_headers = headers(message);

        // One allocation holds all bytes of the record; the parts are slices of it.
        let size = |b: Option<&[u8]>| b.map_or(0, <[u8]>::len);
        let total = size(key) + size(value) + raw_headers.iter().map(|(n, v)| n.len() + size(*v)).sum::<usize>();
        let mut all = Vec::with_capacity(total);
        for part in [key, value].into_iter().chain(raw_headers.iter().flat_map(|(n, v)| [Some(*n), *v])).flatten() {
            all.extend_from_slice(part);
        }
        let all = Bytes::from(all);
        let mut start = 0;
        let mut take = |length: usize| {
            start += length;
            all.slice(start - length..start)
        };
        let key = key.map(|b| take(b.len()));
        let value = value.map(|b| take(b.len()));
        let headers = raw_headers.iter().map(|(n, v)| Header { name: take(n.len()), value: v.map(|b| take(b.len())) }).collect();
        Record {
            topic: partition.topic,
            partition: partition.partition,
            offset: message.offset,
            timestamp: kind.map(|_| Timestamp::from_millis(millis)),
            timestamp_kind: kind,
            key,
            value,
            headers,
        }
    }
}

/// Names and values in order. librdkafka gives names as C strings: a NUL ends a name.
///
/// # Safety
/// `message` is alive; the slices live as long as it does.
unsafe fn headers(message: &rd::rd_kafka_message_t) -> Vec<(&[u8], Option<&[u8]>)> {
    // SAFETY: the list belongs to the message; librdkafka refuses an index beyond the end, and a null value comes as a null pointer.
    unsafe {
        let mut list = ptr::null_mut();
        if rd::rd_kafka_message_headers(message, &raw mut list) != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Vec::new();
        }
        let mut all = Vec::with_capacity(rd::rd_kafka_header_cnt(list));
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        while rd::rd_kafka_header_get_all(list, all.len(), &raw mut name, &raw mut value, &raw mut size)
            == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            all.push((CStr::from_ptr(name).to_bytes(), bytes(value, size)));
        }
        all
    }
}

/// # Safety
/// `topic` is a description that lives during the call.
pub(super) unsafe fn topic_description(topic: *const rd::rd_kafka_TopicDescription_t) -> Result<TopicDescription, Failure> {
    // SAFETY: everything belongs to the description and is copied.
    unsafe {
        error_of(rd::rd_kafka_TopicDescription_error(topic))?;
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let unknown =
            id.is_null() || (rd::rd_kafka_Uuid_most_significant_bits(id) == 0 && rd::rd_kafka_Uuid_least_significant_bits(id) == 0);
        let mut partitions = BTreeMap::new();
        let mut replication_factor = 0;
        for partition in array(|n| rd::rd_kafka_TopicDescription_partitions(topic, n)) {
            let leader = rd::rd_kafka_TopicPartitionInfo_leader(*partition);
            let leader = (!leader.is_null()).then(|| rd::rd_kafka_Node_id(leader)).filter(|id| *id >= 0);
            partitions.insert(rd::rd_kafka_TopicPartitionInfo_partition(*partition), leader);
            let replicas = array(|n| rd::rd_kafka_TopicPartitionInfo_replicas(*partition, n)).len();
            replication_factor = replication_factor.max(u32::try_from(replicas).unwrap_or(u32::MAX));
        }
        Ok(TopicDescription {
            topic_id: (!unknown).then(|| text(rd::rd_kafka_Uuid_base64str(id))),
            internal: rd::rd_kafka_TopicDescription_is_internal(topic) != 0,
            partitions,
            replication_factor,
        })
    }
}

/// # Safety
/// `topic` is a description that lives during the call.
pub(super) unsafe fn topic_rights(topic: *const rd::rd_kafka_TopicDescription_t) -> Result<TopicRights, Failure> {
    // SAFETY: as in `topic_description`; null means that the broker did not tell.
    unsafe {
        error_of(rd::rd_kafka_TopicDescription_error(topic))?;
        let mut length = 0;
        let allowed = rd::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut length);
        if allowed.is_null() {
            return Ok(TopicRights::default());
        }
        let allowed = slice(allowed, length);
        let may =
            |operation| Some(allowed.contains(&operation) || allowed.contains(&rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ALL));
        Ok(TopicRights {
            read: may(rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ),
            write: may(rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE),
            delete: may(rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DELETE),
        })
    }
}

/// # Safety
/// `resource` lives during the call.
pub(super) unsafe fn configs(resource: *const rd::rd_kafka_ConfigResource_t) -> Result<Vec<ConfigValue>, Failure> {
    // SAFETY: everything belongs to the resource and is copied.
    unsafe {
        let code = rd::rd_kafka_ConfigResource_error(resource);
        if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(Failure { code: code.into(), words: text(rd::rd_kafka_ConfigResource_error_string(resource)) });
        }
        let entries = array(|n| rd::rd_kafka_ConfigResource_configs(resource, n));
        let values = entries.iter().map(|entry| {
            let value = rd::rd_kafka_ConfigEntry_value(*entry);
            ConfigValue {
                name: text(rd::rd_kafka_ConfigEntry_name(*entry)),
                value: (!value.is_null()).then(|| text(value)),
                of_topic: rd::rd_kafka_ConfigEntry_source(*entry)
                    == rd::rd_kafka_ConfigSource_t::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG,
            }
        });
        Ok(values.collect())
    }
}

/// # Safety
/// `group` lives during the call.
pub(super) unsafe fn group_description(group: *const rd::rd_kafka_ConsumerGroupDescription_t) -> Group {
    // SAFETY: everything belongs to the description and is copied.
    unsafe {
        let members = error_of(rd::rd_kafka_ConsumerGroupDescription_error(group)).map(|()| {
            let count = rd::rd_kafka_ConsumerGroupDescription_member_count(group);
            (0..count).map(|index| member(rd::rd_kafka_ConsumerGroupDescription_member(group, index))).collect()
        });
        Group {
            name: text(rd::rd_kafka_ConsumerGroupDescription_group_id(group)),
            kind: group_kind(rd::rd_kafka_ConsumerGroupDescription_type(group)),
            state: text(rd::rd_kafka_consumer_group_state_name(rd::rd_kafka_ConsumerGroupDescription_state(group))),
            members,
        }
    }
}

/// # Safety
/// `member` lives during the call.
unsafe fn member(member: *const rd::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: everything belongs to the description and is copied.
    unsafe {
        let instance = rd::rd_kafka_MemberDescription_group_instance_id(member);
        let assignment = rd::rd_kafka_MemberDescription_assignment(member);
        let mut topics: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
        if !assignment.is_null() {
            for element in elements(rd::rd_kafka_MemberAssignment_partitions(assignment)) {
                topics.entry(TopicName::new(text(element.topic))).or_default().push(element.partition);
            }
        }
        GroupMember {
            member_id: text(rd::rd_kafka_MemberDescription_consumer_id(member)),
            instance_id: (!instance.is_null()).then(|| text(instance)),
            client_id: text(rd::rd_kafka_MemberDescription_client_id(member)),
            host: text(rd::rd_kafka_MemberDescription_host(member)),
            assignment: topics.into_iter().collect(),
        }
    }
}

pub(super) const fn group_kind(kind: rd::rd_kafka_consumer_group_type_t) -> &'static str {
    match kind {
        rd::rd_kafka_consumer_group_type_t::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => "consumer",
        rd::rd_kafka_consumer_group_type_t::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC => "classic",
        _ => "unknown",
    }
}

pub(super) fn outcome(code: rd::rd_kafka_resp_err_t) -> Result<(), Failure> {
    if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let code = RDKafkaErrorCode::from(code);
    Err(Failure { code, words: code.to_string() })
}

/// # Safety
/// `error` is null or alive.
pub(super) unsafe fn error_of(error: *const rd::rd_kafka_error_t) -> Result<(), Failure> {
    // SAFETY: librdkafka takes null as "no error"; the text is copied.
    unsafe {
        let code = rd::rd_kafka_error_code(error);
        if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        Err(Failure { code: code.into(), words: text(rd::rd_kafka_error_string(error)) })
    }
}

pub(super) fn named(element: &rd::rd_kafka_topic_partition_t) -> TopicPartition {
    // SAFETY: an element's topic is a C string that lives as long as the element.
    TopicPartition { topic: TopicName::new(unsafe { text(element.topic) }), partition: element.partition }
}

/// # Safety
/// `list` is null or lives as long as the slice is used.
pub(super) unsafe fn elements<'a>(list: *const rd::rd_kafka_topic_partition_list_t) -> &'a [rd::rd_kafka_topic_partition_t] {
    // SAFETY: the list tells its own length.
    unsafe { list.as_ref().map_or(&[], |list| slice(list.elems, count(list.cnt))) }
}

/// Calls a getter that returns an array and writes its length.
///
/// # Safety
/// The getter's result lives as long as the slice is used.
pub(super) unsafe fn array<'a, T>(getter: impl FnOnce(*mut usize) -> *mut T) -> &'a [T] {
    let mut length = 0;
    let pointer = getter(&raw mut length);
    // SAFETY: the getter wrote the length of the array it returned.
    unsafe { slice(pointer, length) }
}

/// # Safety
/// `pointer` is null or points to `length` values that live as long as the slice is used.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, length: usize) -> &'a [T] {
    // SAFETY: as the caller promised; an empty slice never touches the pointer.
    if pointer.is_null() || length == 0 { &[] } else { unsafe { std::slice::from_raw_parts(pointer, length) } }
}

/// Null is `None`; an empty value has a pointer.
///
/// # Safety
/// As for [`slice()`].
unsafe fn bytes<'a>(pointer: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promised.
    (!pointer.is_null()).then(|| unsafe { slice(pointer.cast(), length) })
}

/// # Safety
/// `pointer` is null or a C string.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    // SAFETY: as the caller promised.
    if pointer.is_null() { String::new() } else { unsafe { cstr_to_owned(pointer) } }
}

pub(super) fn count(native: c_int) -> usize {
    usize::try_from(native).unwrap_or(0)
}
