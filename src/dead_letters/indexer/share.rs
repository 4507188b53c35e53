//! Our part of the dead-letter topics when several instances share a store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Setback;
use super::work::{self, Backoff, BusWork, Context};
use crate::bus::share::{Share, ShareWatch, list_strangers};
use crate::model::bus::TopicRole;
use crate::model::{GroupName, TopicName};

/// How often topics to share are looked up without a signal, and strangers looked for.
const REFRESH: Duration = Duration::from_secs(10);

/// Begins sharing. Alone on a store there is nothing to share and no group to join.
pub(super) fn spawn(context: &Context, bus_work: &Arc<BusWork>) -> ShareWatch {
    if !context.instance.shared {
        return Share::alone();
    }
    let (sender, receiver) = watch::channel(Share::none());
    let (context, bus_work) = (context.clone(), Arc::clone(bus_work));
    let life = context.life.clone();
    life.spawn("index share", async move {
        run(&context, &bus_work, &sender).await;
        Ok(())
    });
    receiver
}

async fn run(context: &Context, bus_work: &BusWork, share: &watch::Sender<Share>) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        let ended = tokio::select! {
            () = context.life.soft().cancelled() => return,
            ended = take_part(context, bus_work, share, &mut backoff) => ended,
        };
        share.send_replace(Share::none());
        if let Err(setback) = ended {
            tracing::warn!(bus = %bus_work.id(), reason = %setback, "left the group of indexing instances and will join again");
        }
        if !work::pause(&context.life, backoff.next_wait()).await {
            return;
        }
    }
}

async fn take_part(context: &Context, bus_work: &BusWork, share: &watch::Sender<Share>, backoff: &mut Backoff) -> Result<(), Setback> {
    let group = format!("{}index-{}", bus_work.id_prefix, context.store.installation_id().await?);
    let mut membership = bus_work.bus.join(&group, &context.instance.client_id).await?;
    let mut signal = bus_work.signals.subscribe();
    let mut topics = list_topics(context, bus_work).await?;
    membership.set_topics(topics.clone()).await?;
    let mut refresh = tokio::time::interval(REFRESH);
    let group = GroupName::new(group);
    loop {
        tokio::select! {
            changed = membership.changed() => {
                backoff.reset();
                share.send_replace(changed?);
                continue;
            }
            heard = signal.changed() => if heard.is_err() { return Ok(()) },
            _ = refresh.tick() => look_for_strangers(context, bus_work, &group).await,
        }
        let now = list_topics(context, bus_work).await?;
        if now != topics {
            membership.set_topics(now.clone()).await?;
            topics = now;
        }
    }
}

async fn list_topics(context: &Context, bus_work: &BusWork) -> Result<Vec<TopicName>, Setback> {
    let stored = context.store.list_stored_topics(bus_work.id()).await?;
    let topics: BTreeSet<TopicName> =
        stored.into_iter().filter(|t| t.generation.role == TopicRole::DeadLetter).map(|t| t.generation.topic).collect();
    Ok(topics.into_iter().collect())
}

/// A member of our group that is not registered in our store belongs to a restored copy or a second installation: the two would each
/// see only a part of the dead letters. That is said until it is gone.
async fn look_for_strangers(context: &Context, bus_work: &BusWork, group: &GroupName) {
    const CODE: &str = "stranger_in_index_group";
    let Ok(instances) = context.store.list_instances().await else { return };
    let known = instances.into_iter().map(|(client_id, _)| client_id).collect();
    let Some(strangers) = list_strangers(bus_work.bus.as_ref(), group, &known).await else { return };
    let bus = bus_work.id();
    if strangers.is_empty() {
        context.life.readiness().clear_of(CODE, bus.as_str());
        return;
    }
    let text = format!(
        "Members of the consumer group {group} on bus {bus} are not registered in this store, so each installation sees only a part of \
         the dead letters: {}. Is a copy of this store being served elsewhere?",
        strangers.join(", ")
    );
    tracing::error!(%bus, %group, "a stranger is in our consumer group");
    context.life.readiness().set_of(CODE, bus.as_str(), text);
}
