//! Stack traces around a fault, as each framework's runtime writes them.

use std::fmt::Write;

use super::faults::Fault;

const CONTAINER: &[&str] = &[
    "org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.decorateException(KafkaMessageListenerContainer.java:3247)",
    "org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.doInvokeOnMessage(KafkaMessageListenerContainer.java:3118)",
    "org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.invokeOnMessage(KafkaMessageListenerContainer.java:3084)",
    "org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.doInvokeRecordListener(KafkaMessageListenerContainer.java:2994)",
    "org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.invokeListener(KafkaMessageListenerContainer.java:2329)",
    "org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.pollAndInvoke(KafkaMessageListenerContainer.java:1527)",
    "org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.run(KafkaMessageListenerContainer.java:1388)",
    "java.base/java.util.concurrent.CompletableFuture$AsyncRun.run(CompletableFuture.java:1804)",
    "java.base/java.lang.Thread.run(Thread.java:840)",
];

const LISTENER: &[&str] = &[
    "java.base/jdk.internal.reflect.DelegatingMethodAccessorImpl.invoke(DelegatingMethodAccessorImpl.java:43)",
    "java.base/java.lang.reflect.Method.invoke(Method.java:569)",
    "org.springframework.messaging.handler.invocation.InvocableHandlerMethod.doInvoke(InvocableHandlerMethod.java:168)",
    "org.springframework.messaging.handler.invocation.InvocableHandlerMethod.invoke(InvocableHandlerMethod.java:119)",
    "org.springframework.kafka.listener.adapter.HandlerAdapter.invoke(HandlerAdapter.java:80)",
    "org.springframework.kafka.listener.adapter.MessagingMessageListenerAdapter.invokeHandler(MessagingMessageListenerAdapter.java:490)",
    "org.springframework.kafka.listener.adapter.RecordMessagingMessageListenerAdapter.onMessage(RecordMessagingMessageListenerAdapter.java:92)",
];

const SINK_TASK: &[&str] = &[
    "org.apache.kafka.connect.runtime.WorkerSinkTask.lambda$convertAndTransformRecord$1(WorkerSinkTask.java:560)",
    "org.apache.kafka.connect.runtime.errors.RetryWithToleranceOperator.execAndRetry(RetryWithToleranceOperator.java:207)",
    "org.apache.kafka.connect.runtime.errors.RetryWithToleranceOperator.execute(RetryWithToleranceOperator.java:179)",
    "org.apache.kafka.connect.runtime.WorkerSinkTask.poll(WorkerSinkTask.java:358)",
    "org.apache.kafka.connect.runtime.WorkerSinkTask.iteration(WorkerSinkTask.java:261)",
    "org.apache.kafka.connect.runtime.WorkerTask.doRun(WorkerTask.java:243)",
    "java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1136)",
    "java.base/java.lang.Thread.run(Thread.java:840)",
];

const STREAM_THREAD: &[&str] = &[
    "org.apache.kafka.streams.processor.internals.ProcessorNode.process(ProcessorNode.java:181)",
    "org.apache.kafka.streams.processor.internals.ProcessorContextImpl.forwardInternal(ProcessorContextImpl.java:291)",
    "org.apache.kafka.streams.processor.internals.SourceNode.process(SourceNode.java:95)",
    "org.apache.kafka.streams.processor.internals.StreamTask.process(StreamTask.java:792)",
    "org.apache.kafka.streams.processor.internals.StreamThread.runOnce(StreamThread.java:1205)",
    "org.apache.kafka.streams.processor.internals.StreamThread.run(StreamThread.java:886)",
];

const FUNCTIONS: &[&str] = &[
    "org.springframework.cloud.function.context.catalog.SimpleFunctionRegistry$FunctionInvocationWrapper.invokeConsumer(SimpleFunctionRegistry.java:1019)",
    "org.springframework.cloud.function.context.catalog.SimpleFunctionRegistry$FunctionInvocationWrapper.doApply(SimpleFunctionRegistry.java:779)",
    "org.springframework.cloud.stream.function.PartitionAwareFunctionWrapper.apply(PartitionAwareFunctionWrapper.java:92)",
    "org.springframework.integration.handler.AbstractMessageHandler.doHandleMessage(AbstractMessageHandler.java:105)",
    "org.springframework.integration.dispatcher.UnicastingDispatcher.dispatch(UnicastingDispatcher.java:120)",
];

const WOLVERINE: &[&str] = &[
    "Wolverine.Runtime.Handlers.Executor.ExecuteAsync(MessageContext context, CancellationToken cancellation)",
    "Wolverine.Runtime.WorkerQueues.BufferedReceiver.<.ctor>b__9_0(Envelope env, CancellationToken _)",
];

/// A trace being written.
struct Trace(String);

impl Trace {
    fn java(class: &str, message: &str) -> Self {
        Self(format!("{class}: {message}\n"))
    }

    fn frames(&mut self, frames: &[&str]) -> &mut Self {
        for frame in frames {
            self.line(&format!("\tat {frame}"));
        }
        self
    }

    fn line(&mut self, line: &str) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
        self
    }

    fn caused_by(&mut self, class: &str, message: &str) -> &mut Self {
        self.line(&format!("Caused by: {class}: {message}"))
    }

    /// The fault below what called it: its wrapper when it has one, then the root cause.
    fn fault(&mut self, fault: &Fault, called_by: &[&str], more: usize) -> &mut Self {
        let Some((class, message)) = &fault.outer else {
            return self.caused_by(fault.class, &fault.message).frames(fault.frames).frames(called_by).line(&format!("\t... {more} more"));
        };
        let own = fault.frames.len().saturating_sub(1);
        let (inner, shared) = fault.frames.split_at(own);
        self.caused_by(class, message).frames(shared).frames(called_by).line(&format!("\t... {more} more"));
        self.caused_by(fault.class, &fault.message).frames(inner);
        self.line(&format!("\t... {} more", shared.len() + called_by.len() + more))
    }
}

pub(super) fn spring(fault: &Fault, listener: &str) -> String {
    let mut trace = Trace::java(
        "org.springframework.kafka.listener.ListenerExecutionFailedException",
        &format!("Listener method '{listener}' threw exception"),
    );
    trace.frames(CONTAINER);
    trace.line("\tSuppressed: org.springframework.kafka.listener.ListenerExecutionFailedException: Restored Stack Trace");
    for frame in &LISTENER[5..] {
        trace.line(&format!("\t\tat {frame}"));
    }
    trace.fault(fault, LISTENER, CONTAINER.len() - 1);
    trace.0
}

pub(super) fn spring_retry(fault: &Fault, failed_at_ms: i64) -> String {
    let at = crate::model::Timestamp::from_millis(failed_at_ms);
    let mut trace = Trace::java("org.springframework.kafka.listener.ListenerExecutionFailedException", "Listener failed");
    trace.frames(CONTAINER);
    trace.caused_by("org.springframework.kafka.listener.TimestampedException", &format!("Exception thrown at {at}"));
    trace.frames(&CONTAINER[1..3]).line(&format!("\t... {} more", CONTAINER.len() - 3));
    trace.fault(fault, LISTENER, CONTAINER.len() - 1);
    trace.0
}

pub(super) fn spring_cloud_stream(fault: &Fault, outer: &str) -> String {
    let mut trace = Trace::java("org.springframework.messaging.MessagingException", outer);
    trace.frames(&FUNCTIONS[3..]).frames(&CONTAINER[1..]);
    trace.caused_by(
        "org.springframework.core.retry.RetryException",
        "Retry policy for operation 'shipments-in-0' exhausted; aborting execution",
    );
    trace.frames(&["org.springframework.core.retry.RetryTemplate.execute(RetryTemplate.java:172)"]);
    trace.line("\t... 9 more");
    trace.caused_by("org.springframework.messaging.MessageHandlingException", outer).frames(&FUNCTIONS[3..]).line("\t... 10 more");
    trace.fault(fault, FUNCTIONS, CONTAINER.len());
    trace.0
}

pub(super) fn connect(fault: &Fault) -> String {
    let mut trace = Trace::java(fault.outer_class(), fault.outer_message());
    trace.frames(SINK_TASK);
    if fault.outer.is_some() {
        trace.caused_by(fault.class, &fault.message).frames(fault.frames).line(&format!("\t... {} more", SINK_TASK.len()));
    }
    trace.0
}

pub(super) fn streams(fault: &Fault) -> String {
    let mut trace = Trace::java(fault.outer_class(), fault.outer_message());
    trace.frames(fault.frames).frames(STREAM_THREAD);
    trace.0
}

pub(super) fn dotnet(fault: &Fault) -> String {
    let mut trace = Trace(String::new());
    for frame in fault.frames.iter().chain(WOLVERINE) {
        trace.line(&format!("   at {frame}"));
    }
    trace.0
}
