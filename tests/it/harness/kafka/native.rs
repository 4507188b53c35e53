//! What the crate's safe interface cannot do: header names that are not UTF-8, and access rules.
#![expect(unsafe_code, reason = "the crate wraps neither raw header names nor ACLs")]

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};

use super::Kafka;

/// Queues a record on the producer; flush it afterwards.
pub(super) fn produce<C: ClientContext>(client: &Client<C>, topic: &str, partition: i32, value: &[u8], headers: &[(&[u8], Option<&[u8]>)]) {
    let topic = CString::new(topic).expect("no NUL in a topic name");
    // SAFETY: every pointer lives to the end of the call; MSG_F_COPY makes librdkafka copy the value, and it copies names and values
    // of headers as they are added. After success it owns `list`; the test panics otherwise.
    unsafe {
        let list = rd::rd_kafka_headers_new(headers.len());
        for (name, header_value) in headers {
            let (data, size) = header_value.map_or((ptr::null(), -1), |v| (v.as_ptr(), isize::try_from(v.len()).expect("small")));
            let name_size = isize::try_from(name.len()).expect("small");
            let error = rd::rd_kafka_header_add(list, name.as_ptr().cast(), name_size, data.cast(), size);
            assert_eq!(error, rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
        }
        let native_topic = rd::rd_kafka_topic_new(client.native_ptr(), topic.as_ptr(), ptr::null_mut());
        let mut vus: [rd::rd_kafka_vu_t; 5] = std::mem::zeroed();
        vus[0].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT;
        vus[0].u.rkt = native_topic;
        vus[1].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION;
        vus[1].u.i32_ = partition;
        vus[2].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE;
        vus[2].u.mem.ptr = value.as_ptr().cast_mut().cast::<c_void>();
        vus[2].u.mem.size = value.len();
        vus[3].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS;
        vus[3].u.i = rd::RD_KAFKA_MSG_F_COPY;
        vus[4].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS;
        vus[4].u.headers = list;
        let error = rd::rd_kafka_produceva(client.native_ptr(), vus.as_ptr(), vus.len());
        rd::rd_kafka_topic_destroy(native_topic);
        assert!(error.is_null(), "the record was not accepted");
    }
}

/// A resource of an access rule.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resource<'a> {
    /// A topic, or `*`.
    Topic(&'a str),
    /// A consumer group, or `*`.
    Group(&'a str),
    /// A transactional id, or `*`.
    TransactionalId(&'a str),
    /// The cluster.
    Cluster,
}

/// An operation of an access rule.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Read,
    Write,
    Delete,
    Describe,
    DescribeConfigs,
}

impl<'a> Resource<'a> {
    const fn native(self) -> (rd::rd_kafka_ResourceType_t, &'a str) {
        match self {
            Self::Topic(name) => (rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name),
            Self::Group(name) => (rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_GROUP, name),
            Self::TransactionalId(name) => (rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID, name),
            Self::Cluster => (rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER, "kafka-cluster"),
        }
    }
}

impl Operation {
    const fn native(self) -> rd::rd_kafka_AclOperation_t {
        match self {
            Self::Read => rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ,
            Self::Write => rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE,
            Self::Delete => rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DELETE,
            Self::Describe => rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            Self::DescribeConfigs => rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        }
    }
}

impl Kafka {
    /// Allows a user something; rules are enforced on the SASL listener.
    pub(crate) fn allow(&self, user: &str, operation: Operation, resource: Resource<'_>) {
        self.rule(user, operation, resource, rd::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW);
    }

    /// Forbids a user something, whatever else allows it.
    pub(crate) fn forbid(&self, user: &str, operation: Operation, resource: Resource<'_>) {
        self.rule(user, operation, resource, rd::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_DENY);
    }

    /// Takes back what [`Kafka::forbid`] has said.
    pub(crate) fn permit(&self, user: &str, operation: Operation, resource: Resource<'_>) {
        let deny = rd::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_DENY;
        self.with_client(|client| {
            let (kind, name) = resource.native();
            let (name, principal) = (CString::new(name).expect("no NUL"), CString::new(format!("User:{user}")).expect("no NUL"));
            let mut words: [c_char; 256] = [0; 256];
            // SAFETY: all names outlive the call; filter, event and queue are destroyed exactly once, after their last use.
            unsafe {
                let mut filter = rd::rd_kafka_AclBindingFilter_new(
                    kind,
                    name.as_ptr(),
                    rd::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                    principal.as_ptr(),
                    c"*".as_ptr(),
                    operation.native(),
                    deny,
                    words.as_mut_ptr(),
                    words.len(),
                );
                assert!(!filter.is_null(), "not an access rule");
                let queue = rd::rd_kafka_queue_new(client);
                rd::rd_kafka_DeleteAcls(client, &raw mut filter, 1, ptr::null(), queue);
                let event = rd::rd_kafka_queue_poll(queue, 60_000);
                assert!(!event.is_null(), "DeleteAcls was not answered");
                assert_eq!(rd::rd_kafka_event_error(event), rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
                rd::rd_kafka_event_destroy(event);
                rd::rd_kafka_queue_destroy(queue);
                rd::rd_kafka_AclBinding_destroy(filter);
            }
        });
    }

    fn with_client(&self, act: impl FnOnce(*mut rd::rd_kafka_t)) {
        let client: rdkafka::consumer::BaseConsumer = self.client().create().expect("a client");
        act(rdkafka::consumer::Consumer::client(&client).native_ptr());
    }

    fn rule(&self, user: &str, operation: Operation, resource: Resource<'_>, permission: rd::rd_kafka_AclPermissionType_t) {
        self.with_client(|client| {
            let (kind, name) = resource.native();
            let (name, principal) = (CString::new(name).expect("no NUL"), CString::new(format!("User:{user}")).expect("no NUL"));
            let mut words: [c_char; 256] = [0; 256];
            // SAFETY: all names outlive the call; binding, event and queue are destroyed exactly once, after their last use.
            unsafe {
                let mut binding = rd::rd_kafka_AclBinding_new(
                    kind,
                    name.as_ptr(),
                    rd::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                    principal.as_ptr(),
                    c"*".as_ptr(),
                    operation.native(),
                    permission,
                    words.as_mut_ptr(),
                    words.len(),
                );
                assert!(!binding.is_null(), "not an access rule");
                let queue = rd::rd_kafka_queue_new(client);
                rd::rd_kafka_CreateAcls(client, &raw mut binding, 1, ptr::null(), queue);
                let event = rd::rd_kafka_queue_poll(queue, 60_000);
                assert!(!event.is_null(), "CreateAcls was not answered");
                let mut count = 0;
                let results = rd::rd_kafka_CreateAcls_result_acls(rd::rd_kafka_event_CreateAcls_result(event), &raw mut count);
                assert_eq!(count, 1, "CreateAcls failed");
                assert!(rd::rd_kafka_acl_result_error(*results).is_null(), "the rule was refused");
                rd::rd_kafka_event_destroy(event);
                rd::rd_kafka_queue_destroy(queue);
                rd::rd_kafka_AclBinding_destroy(binding);
            }
        });
    }
}
