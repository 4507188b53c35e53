//! Who reads what when several instances share a store: the bus's own group protocol divides the partitions; positions stay in the
//! store, and its compare-and-set notices two that read the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::{LONGEST_WAIT, Setback, TopicContext, TopicSource, pause};
use crate::model::TopicName;
use crate::model::names::TopicPartition;

/// Our part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Share {
    /// Everything: no other instance can be there.
    All,
    /// These partitions.
    Some(BTreeSet<TopicPartition>),
}

impl Share {
    pub(super) fn has(&self, partition: &TopicPartition) -> bool {
        match self {
            Self::All => true,
            Self::Some(partitions) => partitions.contains(partition),
        }
    }
}

/// Hears of changes of our share.
pub(super) type Watch = watch::Receiver<Share>;

/// Begins sharing. Alone on a store there is nothing to share and no group to join.
pub(super) fn spawn(context: &TopicContext, source: &Arc<TopicSource>) -> Watch {
    if !context.shared {
        return watch::Sender::new(Share::All).subscribe();
    }
    let (sender, receiver) = watch::channel(Share::Some(BTreeSet::new()));
    let (context, source) = (context.clone(), Arc::clone(source));
    let life = context.life.clone();
    life.spawn("otlp_share", async move {
        run(&context, &source, &sender).await;
        Ok(())
    });
    receiver
}

async fn run(context: &TopicContext, source: &TopicSource, share: &watch::Sender<Share>) {
    loop {
        let ended = tokio::select! {
            () = context.life.soft().cancelled() => return,
            ended = take_part(context, source, share) => ended,
        };
        share.send_replace(Share::Some(BTreeSet::new()));
        if let Err(setback) = ended {
            tracing::warn!(bus = %source.bus.id(), reason = %setback, "left the group of instances that read spans and will join again");
        }
        if !pause(&context.life, LONGEST_WAIT).await {
            return;
        }
    }
}

async fn take_part(context: &TopicContext, source: &TopicSource, share: &watch::Sender<Share>) -> Result<(), Setback> {
    let group = format!("{}otlp-{}", source.id_prefix, context.store.installation_id().await?);
    let mut membership = source.bus.join(&group, &context.client_id).await?;
    let topics: BTreeSet<TopicName> = source.topics.iter().map(|topic| topic.topic.clone()).collect();
    membership.set_topics(topics.into_iter().collect()).await?;
    loop {
        let changed = membership.changed().await?;
        share.send_replace(Share::Some(changed.partitions.into_iter().collect()));
    }
}
