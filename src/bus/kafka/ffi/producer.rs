//! A client that writes: records byte for byte, their delivery reports, transactions.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use super::values::text;
use super::{Failure, Handle, Hooks, Observer, Owned, millis};
use crate::bus::Outgoing;
use crate::model::Header;

/// What became of one record.
#[derive(Debug, Clone)]
pub(in crate::bus::kafka) enum Delivery {
    /// It was written, at this offset.
    Written(i64),
    /// It was not, or not surely.
    Failed {
        failure: Failure,
        /// Whether it may be on the bus all the same.
        perhaps_written: bool,
    },
}

/// Why a call failed, and whether the same call may be made again.
#[derive(Debug, Clone)]
pub(in crate::bus::kafka) struct Setback {
    pub failure: Failure,
    pub retriable: bool,
}

/// A client that writes. Its calls block; never make them, nor drop it, on a thread of the runtime. One batch at a time.
pub(in crate::bus::kafka) struct Producer {
    handle: Arc<Handle>,
}

impl Producer {
    /// Makes a client. Starts threads but waits for no broker.
    pub(in crate::bus::kafka) fn new(config: &ClientConfig, observer: Arc<dyn Observer>) -> Result<Self, String> {
        let handle = Handle::new(rd::rd_kafka_type_t::RD_KAFKA_PRODUCER, config, observer, |native| {
            // SAFETY: the configuration lives during the call.
            unsafe { rd::rd_kafka_conf_set_dr_msg_cb(native, Some(on_delivery)) }
        })?;
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Begins to note what becomes of a batch. Nothing of an earlier one may be under way.
    pub(in crate::bus::kafka) fn expect(&self, records: usize) {
        *self.deliveries() = vec![None; records];
    }

    /// What became of the batch, as far as is known.
    pub(in crate::bus::kafka) fn delivered(&self) -> Vec<Option<Delivery>> {
        self.deliveries().clone()
    }

    fn deliveries(&self) -> MutexGuard<'_, Vec<Option<Delivery>>> {
        self.handle.hooks.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the record that stands at a place of the batch. All bytes are copied.
    pub(in crate::bus::kafka) fn produce(&self, place: usize, topic: &CStr, record: &Outgoing) -> Result<(), Failure> {
        // SAFETY: everything lives to the end of the call, which copies key and value (F_COPY) and the topic's name. The headers
        // become librdkafka's when it succeeds and stay ours when it fails. The opaque is a number and never followed.
        unsafe {
            let headers = headers(&record.headers);
            let mut parts: [rd::rd_kafka_vu_t; 7] = std::mem::zeroed();
            parts[0].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC;
            parts[0].u.cstr = topic.as_ptr();
            parts[1].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION;
            parts[1].u.i32_ = record.partition;
            parts[2].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS;
            parts[2].u.i = rd::RD_KAFKA_MSG_F_COPY;
            parts[3].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY;
            parts[3].u.mem = bytes(record.key.as_deref());
            parts[4].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE;
            parts[4].u.mem = bytes(record.value.as_deref());
            parts[5].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE;
            parts[5].u.ptr = ptr::without_provenance_mut(place);
            let mut count = 6;
            if let Some(headers) = &headers {
                parts[6].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS;
                parts[6].u.headers = headers.get();
                count = 7;
            }
            let error = Owned::new(rd::rd_kafka_produceva(self.handle.get(), parts.as_ptr(), count), rd::rd_kafka_error_destroy);
            match error {
                None => {
                    std::mem::forget(headers);
                    Ok(())
                }
                Some(error) => Err(failure(error.get())),
            }
        }
    }

    /// Sends what is queued and waits for the reports of all of it; whether they have all come.
    pub(in crate::bus::kafka) fn flush(&self, timeout: Duration) -> bool {
        // SAFETY: the client is alive; the reports are heard on this thread.
        let code = unsafe { rd::rd_kafka_flush(self.handle.get(), millis(timeout)) };
        code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// Gives up what is queued or under way; the reports come with the next [`Self::flush`].
    pub(in crate::bus::kafka) fn purge(&self) {
        // SAFETY: the client is alive.
        unsafe { rd::rd_kafka_purge(self.handle.get(), rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT) };
    }

    /// Takes the transactional id over: fences whoever had it and ends its open transaction.
    pub(in crate::bus::kafka) fn init_transactions(&self, timeout: Duration) -> Result<(), Setback> {
        // SAFETY: the client is alive, the error is ours.
        unsafe { done(rd::rd_kafka_init_transactions(self.handle.get(), millis(timeout))) }
    }

    /// Begins a transaction.
    pub(in crate::bus::kafka) fn begin_transaction(&self) -> Result<(), Setback> {
        // SAFETY: the client is alive, the error is ours.
        unsafe { done(rd::rd_kafka_begin_transaction(self.handle.get())) }
    }

    /// Why the open transaction cannot be committed any more. Only while one is open: a second one is asked for, which is refused
    /// with the reason why the first has failed, or, when it has not, because it is open.
    pub(in crate::bus::kafka) fn transaction_trouble(&self) -> Option<Failure> {
        self.begin_transaction().err().map(|f| f.failure).filter(|f| f.code != RDKafkaErrorCode::State)
    }

    /// Adds offsets of a consumer group that has no members to the open transaction.
    ///
    /// librdkafka (2.12) forgets the time-out while it looks for the group's coordinator and no broker is up, and the client must not
    /// go while the call lasts. So the call has a thread of its own, which keeps the client; it ends when a broker is back, and the
    /// transaction is then still nobody's to commit.
    pub(in crate::bus::kafka) fn send_offsets(&self, offsets: &TopicPartitionList, group: &CStr, timeout: Duration) -> Result<(), Setback> {
        let (handle, offsets, group) = (Arc::clone(&self.handle), offsets.clone(), group.to_owned());
        let (answer, answered) = sync_channel(1);
        let call = move || {
            // SAFETY: client, list and name are alive; the call copies its arguments; what it makes is ours.
            let done = unsafe {
                let group = rd::rd_kafka_consumer_group_metadata_new(group.as_ptr());
                let group = Owned::new(group, rd::rd_kafka_consumer_group_metadata_destroy);
                let group = group.as_ref().map_or(ptr::null_mut(), Owned::get);
                done(rd::rd_kafka_send_offsets_to_transaction(handle.get(), offsets.ptr(), group, millis(timeout)))
            };
            // Nobody may be waiting any more.
            let _ = answer.send(done);
        };
        let silence = || Err(Setback { failure: Failure::timed_out(), retriable: false });
        match std::thread::Builder::new().name("kafka-progress".to_owned()).spawn(call) {
            Ok(_) => answered.recv_timeout(timeout + Duration::from_millis(500)).unwrap_or_else(|_| silence()),
            Err(_) => silence(),
        }
    }

    /// Commits the open transaction; everything should have been delivered before.
    pub(in crate::bus::kafka) fn commit_transaction(&self, timeout: Duration) -> Result<(), Setback> {
        // SAFETY: the client is alive, the error is ours.
        unsafe { done(rd::rd_kafka_commit_transaction(self.handle.get(), millis(timeout))) }
    }

    /// Gives up what is not delivered, hears all reports, aborts.
    pub(in crate::bus::kafka) fn abort_transaction(&self, timeout: Duration) -> Result<(), Setback> {
        // SAFETY: the client is alive, the error is ours.
        unsafe { done(rd::rd_kafka_abort_transaction(self.handle.get(), millis(timeout))) }
    }
}

/// Names and values byte for byte, in order; `None` for a record without headers.
fn headers(headers: &[Header]) -> Option<Owned<rd::rd_kafka_headers_t>> {
    if headers.is_empty() {
        return None;
    }
    // SAFETY: name and value are copied; a null pointer is a null value, an empty value has a pointer. The lengths are given, as
    // nothing here ends with a NUL.
    unsafe {
        let list = Owned::new(rd::rd_kafka_headers_new(headers.len()), rd::rd_kafka_headers_destroy)?;
        for header in headers {
            let (name, value) = (bytes(Some(&header.name)), bytes(header.value.as_deref()));
            rd::rd_kafka_header_add(list.get(), name.ptr.cast(), name.size.cast_signed(), value.ptr, value.size.cast_signed());
        }
        Some(list)
    }
}

/// Null is a null pointer; empty has one.
fn bytes(bytes: Option<&[u8]>) -> rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
        ptr: bytes.map_or(ptr::null_mut(), |b| b.as_ptr().cast_mut().cast::<c_void>()),
        size: bytes.map_or(0, <[u8]>::len),
    }
}

/// # Safety
/// `error` is null or ours.
unsafe fn done(error: *mut rd::rd_kafka_error_t) -> Result<(), Setback> {
    // SAFETY: as the caller promised; the error is destroyed after everything was read.
    unsafe {
        let Some(error) = Owned::new(error, rd::rd_kafka_error_destroy) else { return Ok(()) };
        let retriable = rd::rd_kafka_error_is_retriable(error.get()) != 0;
        Err(Setback { failure: failure(error.get()), retriable })
    }
}

/// # Safety
/// `error` is alive.
unsafe fn failure(error: *const rd::rd_kafka_error_t) -> Failure {
    // SAFETY: as the caller promised; the text is copied.
    unsafe { Failure { code: rd::rd_kafka_error_code(error).into(), words: text(rd::rd_kafka_error_string(error)) } }
}

pub(super) unsafe extern "C" fn on_delivery(_: *mut rd::rd_kafka_t, message: *const rd::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: the opaque is the hooks that `Handle::new` set; they outlive the client. The message lives during the call.
    unsafe {
        let (Some(hooks), Some(message)) = (opaque.cast::<Hooks>().as_ref(), message.as_ref()) else { return };
        let delivery = if message.err == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            Delivery::Written(message.offset)
        } else {
            // Not `rd_kafka_message_errstr`, which takes a producer's value for the words, nor `rd_kafka_message_produce_errstr`: for
            // a record that was not valid, its words are freed before this report comes (seen with 2.12.1).
            let code = RDKafkaErrorCode::from(message.err);
            let failure = Failure { code, words: code.to_string() };
            let status = rd::rd_kafka_message_status(message);
            let perhaps_written = status != rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
            Delivery::Failed { failure, perhaps_written }
        };
        let mut deliveries = hooks.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = deliveries.get_mut(message._private.addr()) {
            *place = Some(delivery);
        }
    }
}
