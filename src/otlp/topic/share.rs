//! Our part of the span topics when several instances share a store.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::{LONGEST_WAIT, REFRESH, Setback, TopicContext, TopicSource, pause};
use crate::bus::share::{Share, ShareWatch, list_strangers};
use crate::model::{GroupName, TopicName};

/// Begins sharing. Alone on a store there is nothing to share and no group to join.
pub(super) fn spawn(context: &TopicContext, source: &Arc<TopicSource>) -> ShareWatch {
    if !context.shared {
        return Share::alone();
    }
    let (sender, receiver) = watch::channel(Share::none());
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
        share.send_replace(Share::none());
        if let Err(setback) = ended {
            tracing::warn!(bus = %source.bus.id(), reason = %setback, "left the group of instances that read spans and will join again");
        }
        if !pause(&context.life, LONGEST_WAIT).await {
            return;
        }
    }
}

async fn take_part(context: &TopicContext, source: &TopicSource, share: &watch::Sender<Share>) -> Result<(), Setback> {
    let group = GroupName::new(format!("{}otlp-{}", source.id_prefix, context.store.installation_id().await?));
    let mut membership = source.bus.join(group.as_str(), &context.client_id).await?;
    let topics: BTreeSet<TopicName> = source.topics.iter().map(|topic| topic.topic.clone()).collect();
    membership.set_topics(topics.into_iter().collect()).await?;
    let mut refresh = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            changed = membership.changed() => {
                share.send_replace(changed?);
            }
            _ = refresh.tick() => look_for_strangers(context, source, &group).await,
        }
    }
}

/// A member of our group that is not registered in our store takes a part of the spans away. That is said until it is gone.
async fn look_for_strangers(context: &TopicContext, source: &TopicSource, group: &GroupName) {
    const CODE: &str = "stranger_in_otlp_group";
    let Ok(instances) = context.store.list_instances().await else { return };
    let known = instances.into_iter().map(|(client_id, _)| client_id).collect();
    let Some(strangers) = list_strangers(source.bus.as_ref(), group, &known).await else { return };
    let bus = source.bus.id();
    if strangers.is_empty() {
        context.life.readiness().clear_of(CODE, bus.as_str());
        return;
    }
    let text = format!(
        "Members of the consumer group {group} on bus {bus} are not registered in this store, so each installation counts only a part \
         of the spans: {}. Is a copy of this store being served elsewhere?",
        strangers.join(", ")
    );
    tracing::error!(%bus, %group, "a stranger is in our consumer group");
    context.life.readiness().set_of(CODE, bus.as_str(), text);
}
