//! Background tasks. [`TABLE`] lists those that belong to no bus: name, period, and what each may touch. Beside them run, per configured
//! bus, one [`sampler`] and one [`crate::dead_letters::indexer`].
//!
//! A job that fails says so and is tried again after its period; it never ends the process.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::alerts::delivery::Deliveries;
use crate::dead_letters::indexer::work::{self, Said};
use crate::dead_letters::indexer::{self, BusWork};
use crate::lifecycle::failpoint;
use crate::model::Timestamp;
use crate::operations::Operations;
use crate::operations::policy::Policies;

mod alert_watch;
mod alerts;
mod deliveries;
mod discards;
mod figures;
mod instances;
mod lease;
mod letter_figures;
mod policies;
mod purges;
mod retention;
mod revisions;
pub mod sampler;
mod spans;
mod store_health;
mod traces;

pub use crate::dead_letters::indexer::{Context, Instance};

/// How long things are kept, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Dead letters, after their final status.
    pub dead_letters: Duration,
    /// The audit.
    pub audit: Duration,
    /// Samples as they were taken, and what happened to consumer groups.
    pub raw: Duration,
    /// Minutes of arrivals and figures.
    pub minutes: Duration,
    /// Hours of arrivals and figures.
    pub hours: Duration,
    /// Spans, every one of them.
    pub spans: Duration,
    /// Traces that are kept longer.
    pub kept_traces: Duration,
    /// What spans and traces may take, about, in bytes.
    pub spans_max_bytes: u64,
    /// Sessions after login, and after the last request.
    pub session_absolute: Duration,
    /// See `session_absolute`.
    pub session_idle: Duration,
}

/// One background task.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Its name: in logs, and as the name of its lease.
    pub name: &'static str,
    /// Time between two runs.
    pub period: Duration,
    /// What it may read and write.
    pub touches: &'static str,
    /// Who runs it.
    by: By,
    run: for<'a> fn(&'a Run) -> Running<'a>,
}

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Every instance for itself.
    Each,
    /// Every instance, but only where several may share a store.
    EachWhenShared,
    /// The one that holds the lease.
    One,
}

/// All background tasks that belong to no bus.
pub const TABLE: &[Job] = &[
    Job {
        name: "store health",
        period: Duration::from_secs(5),
        touches: "writes one row; sets and clears readiness",
        by: By::Each,
        run: |run| Box::pin(store_health::check(run)),
    },
    Job {
        name: "instance",
        period: Duration::from_secs(10),
        touches: "our own row of the instances",
        by: By::EachWhenShared,
        run: |run| Box::pin(instances::register(run)),
    },
    Job {
        name: "revisions",
        period: Duration::from_secs(1),
        touches: "revisions of the nouns; tells pages what other instances changed",
        by: By::EachWhenShared,
        run: |run| Box::pin(revisions::carry(run)),
    },
    Job {
        name: "retention",
        period: Duration::from_mins(5),
        touches: "removes dead letters with a final status, audit, arrivals, figures, series and sessions past their time",
        by: By::One,
        run: |run| Box::pin(retention::prune(run)),
    },
    Job {
        name: "figures",
        period: Duration::from_secs(20),
        touches: "adds up hours of samples that are over",
        by: By::One,
        run: |run| Box::pin(figures::roll_up(run)),
    },
    Job {
        name: "traces",
        period: Duration::from_secs(1),
        touches: "reads spans that came in; writes figures of them, and which traces are kept",
        by: By::One,
        run: |run| Box::pin(traces::derive(run)),
    },
    Job {
        name: "spans",
        period: Duration::from_secs(15),
        touches: "removes spans past their time, or the oldest when there are too many; what they hold of kept traces stays",
        by: By::One,
        run: |run| Box::pin(spans::expire(run)),
    },
    Job {
        name: "dead-letter figures",
        period: Duration::from_secs(15),
        touches: "samples of what is open, of outcomes of replays, and of Redrive itself",
        by: By::One,
        run: |run| Box::pin(letter_figures::sample(run)),
    },
    Job {
        name: "discards",
        period: Duration::from_secs(2),
        touches: "statuses of dead letters in discards and restores that a crash left behind, with their audit",
        by: By::One,
        run: |run| Box::pin(discards::go_on(run)),
    },
    Job {
        name: "purges",
        period: Duration::from_secs(1),
        touches: "deletes from the bus what a started purge has cut off; ends plans that nobody has started",
        by: By::One,
        run: |run| Box::pin(purges::go_on(run)),
    },
    Job {
        name: "policies",
        period: Duration::from_secs(1),
        touches: "plans, starts and ends the runs of automatic replay policies, which are replays like any other",
        by: By::One,
        run: |run| Box::pin(policies::go_on(run)),
    },
    Job {
        name: "alerts",
        period: Duration::from_secs(1),
        touches: "reads figures; writes alerts, their groups and what is to be told of them, under a lease of its own",
        by: By::Each,
        run: |run| Box::pin(alerts::look(run)),
    },
    Job {
        name: "alert watch",
        period: Duration::from_secs(5),
        touches: "reads when rules were last looked at; sets and clears readiness",
        by: By::Each,
        run: |run| Box::pin(alert_watch::check(run)),
    },
    Job {
        name: "deliveries",
        period: Duration::from_millis(250),
        touches: "posts notifications of the outbox to their receivers; writes attempts and what came of them",
        by: By::Each,
        run: |run| Box::pin(deliveries::send(run)),
    },
    Job {
        name: "late deliveries",
        period: Duration::from_mins(1),
        touches: "gives up deliveries after a day; pushes firing alerts to Alertmanagers again",
        by: By::One,
        run: |run| Box::pin(deliveries::tend(run)),
    },
    Job {
        name: "space",
        period: Duration::from_secs(15),
        touches: "removes resolved and discarded dead letters while the store is over its limit",
        by: By::One,
        run: |run| Box::pin(retention::make_room(run)),
    },
];

/// What a run of a job is given.
#[derive(Debug, Clone)]
struct Run {
    context: Context,
    /// Since when this instance works.
    begun: Timestamp,
    retention: Retention,
    /// Explicit acts on the buses.
    operations: Operations,
    /// Automatic replay policies.
    policies: Policies,
    /// Notifications on their way.
    deliveries: Deliveries,
    /// Revisions seen so far; of the `revisions` job alone.
    revisions: Arc<Mutex<Option<BTreeMap<String, i64>>>>,
    /// Where deriving figures from spans stands; of the `traces` job alone.
    deriver: Arc<tokio::sync::Mutex<Option<traces::Deriver>>>,
    /// What was seen of dead letters; of the `dead-letter figures` job alone.
    letters: Arc<tokio::sync::Mutex<letter_figures::Memory>>,
    /// Who looks at the rules; of the `alerts` job alone.
    watcher: Arc<tokio::sync::Mutex<alerts::Watcher>>,
}

/// Starts everything: the table's jobs, and a sampler and an indexer for each bus. Returns at once; nothing waits for a bus.
/// Where instances share a store, this one is registered in it first, so that no other takes it for a stranger.
/// `public_url` is the beginning of links in notifications.
pub async fn spawn_all(
    context: &Context,
    buses: Vec<Arc<BusWork>>,
    retention: Retention,
    policies: Policies,
    deliveries: Deliveries,
    public_url: &str,
) {
    let operations = Operations::new(buses.iter().map(|work| (work.id().clone(), Arc::clone(&work.bus))).collect());
    let run = Run {
        context: context.clone(),
        begun: Timestamp::now(),
        retention,
        operations,
        policies,
        deliveries,
        revisions: Arc::default(),
        deriver: Arc::default(),
        letters: Arc::default(),
        watcher: Arc::new(tokio::sync::Mutex::new(alerts::Watcher::new(public_url, &context.changes))),
    };
    if context.instance.shared
        && let Err(error) = instances::register(&run).await
    {
        tracing::warn!(%error, "this instance could not be registered yet");
    }
    for job in TABLE {
        if job.by != By::EachWhenShared || context.instance.shared {
            let run = run.clone();
            context.life.spawn(job.name, async move {
                repeat(job, &run).await;
                Ok(())
            });
        }
    }
    for bus in &buses {
        sampler::spawn(context, bus);
        indexer::spawn(context, bus);
    }
}

async fn repeat(job: &Job, run: &Run) {
    let context = &run.context;
    let lease = format!("job:{}", job.name);
    let mut said = Said::default();
    while !context.life.soft().is_cancelled() {
        failpoint::pass("job");
        let ended = once(job, run, &lease).await;
        let result = if ended.is_ok() { "done" } else { "failed" };
        context.metrics.job_runs_total.with_label_values(&[job.name, result]).inc();
        if let Err(error) = ended {
            let reason = format!("{error:#}");
            if said.is_news(&reason) {
                tracing::warn!(job = job.name, reason, "a background task failed and will be tried again");
            }
        }
        if !work::pause(&context.life, job.period).await {
            break;
        }
    }
    match job.by {
        By::One => lease::release(context, &lease).await,
        By::Each if job.name == "alerts" => alerts::release(run).await,
        By::EachWhenShared if job.name == "instance" => instances::deregister(run).await,
        _ => {}
    }
}

async fn once(job: &Job, run: &Run, lease: &str) -> anyhow::Result<()> {
    if job.by == By::One && !lease::take(&run.context, lease, job.period * 2).await? {
        return Ok(());
    }
    (job.run)(run).await
}

impl Run {
    fn seen_revisions(&self) -> std::sync::MutexGuard<'_, Option<BTreeMap<String, i64>>> {
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
