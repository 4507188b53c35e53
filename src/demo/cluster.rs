//! librdkafka's in-process cluster. It belongs to one thread, which lives as long as somebody holds [`InProcess`].

use std::sync::mpsc::{SyncSender, sync_channel};

use rdkafka::mocking::MockCluster;

use super::topics::TOPICS;

/// A running in-process cluster.
#[derive(Debug)]
pub(super) struct InProcess {
    bootstrap_servers: String,
    /// Dropping this ends the thread and with it the cluster.
    _alive: SyncSender<()>,
}

impl InProcess {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (started, answer) = tokio::sync::oneshot::channel();
        let (alive, ended) = sync_channel::<()>(1);
        // The cluster's handle cannot move between threads, so it gets one that only waits.
        std::thread::Builder::new().name("demo-cluster".to_owned()).spawn(move || match create() {
            Ok(cluster) => {
                let told = started.send(Ok(cluster.bootstrap_servers())).is_ok();
                while told && ended.recv().is_ok() {}
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        })?;
        let bootstrap_servers = answer.await??;
        Ok(Self { bootstrap_servers, _alive: alive })
    }

    pub(super) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

fn create() -> anyhow::Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>> {
    let cluster = MockCluster::new(1)?;
    for topic in TOPICS {
        cluster.create_topic(topic.name, topic.partitions, 1)?;
    }
    Ok(cluster)
}
