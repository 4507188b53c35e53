//! `redrive demo`: the simulated shop, and Redrive watching it with a configuration of its own. Nothing stays behind.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::signals::Signals;
use super::{CHECKS, listen, run};
use crate::alerts::defaults;
use crate::alerts::receivers::{ReceiverTerms, Receivers};
use crate::config::{Config, Problems};
use crate::demo::{self, DemoBus};
use crate::lifecycle::Lifecycle;
use crate::model::Timestamp;
use crate::model::receiver::{Endpoint, ReceiverKind, Secret};
use crate::store::Store;
use crate::telemetry::{self, Wishes};

/// What somebody wants of the demo.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// A Kafka to run the shop on, as `host:port`; without one it runs on the in-process cluster.
    pub bus: Option<String>,
    /// Where pages and API are served.
    pub listen: SocketAddr,
}

/// Opens the shop and serves pages until a signal or the death of a task.
pub async fn demo(options: DemoOptions) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let folder = Folder::create()?;
    let spans = SpanPorts::free()?;
    let config = configuration(&options, &folder.0, spans, None)?;
    let telemetry = telemetry::init(&config.telemetry, &Wishes::from_environment())?;
    let lifecycle = Lifecycle::new();
    let ended = open_and_watch(&options, &folder.0, spans, &lifecycle, &mut signals).await;
    // Flushing blocks; by now nothing else needs this thread.
    let _ = tokio::task::spawn_blocking(move || telemetry.end()).await;
    ended
}

async fn open_and_watch(
    options: &DemoOptions,
    folder: &Path,
    spans: SpanPorts,
    lifecycle: &Lifecycle,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let listener = listen(options.listen).await.context("choose another address with --listen")?;
    let endpoint = format!("http://127.0.0.1:{}", spans.grpc);
    let shop = tokio::select! {
        shop = demo::start(lifecycle, options.bus.clone(), Some(&endpoint)) => shop?,
        signal = signals.next() => {
            tracing::info!(signal, "ending: the shop had not opened yet");
            return Ok(());
        }
    };
    let config = configuration(options, folder, spans, Some(&shop))?;
    println!("Redrive watches the simulated shop: http://{}  (no login; Ctrl-C ends it, and nothing stays behind)", listener.local_addr()?);
    let ended = run(config, lifecycle, listener, signals, Some(&shop)).await;
    // The in-process cluster outlives everybody who talks to it.
    drop(shop);
    ended
}

/// The rules that everybody starts with tell the shop's own receiver.
pub(super) async fn tell_shop(receivers: &Receivers, store: &Store, shop: &DemoBus) -> anyhow::Result<()> {
    let (now, entry) = (Timestamp::now(), defaults::entry(Timestamp::now()));
    let secret = |text: &str| Some(Secret::new(text));
    let endpoint = Endpoint { url: secret(&shop.receiver.url), secret: secret(&shop.receiver.secret), ..Endpoint::default() };
    let terms = ReceiverTerms { name: "Shop on call".to_owned(), kind: ReceiverKind::Webhook, endpoint, remove: Vec::new() };
    let receiver = receivers.add(terms, &entry.actor, now).await?;
    let mut rules = defaults::rules();
    for rule in &mut rules {
        rule.terms.receivers = vec![receiver.id];
    }
    store.add_first_alert_rules(&rules, &entry).await?;
    Ok(())
}

/// No login, a store that goes with the demo, and the shop's bus. The environment may still override, as everywhere.
fn configuration(options: &DemoOptions, folder: &Path, spans: SpanPorts, shop: Option<&DemoBus>) -> Result<Config, Problems> {
    let path = |name: &str| folder.join(name).display().to_string();
    let bus = shop.map_or(String::new(), |shop| {
        format!(
            "[[bus]]\nid = \"shop\"\nkind = \"kafka\"\nbootstrap_servers = {:?}\nconsumer_groups = {:?}\n\
             [bus.dead_letters]\napplication_packages = [\"shop.\", \"Shop.\"]\n",
            shop.bootstrap_servers, shop.consumer_groups
        )
    });
    let text = format!(
        "[http]\nlisten = {:?}\n[auth]\nmode = \"none\"\n[store]\nurl = {:?}\n[secrets]\nkey_file = {:?}\n\
         [notifications]\nallow_addresses = [\"127.0.0.0/8\"]\n[otlp]\ngrpc_listen = \"127.0.0.1:{}\"\nhttp_listen = \"127.0.0.1:{}\"\n{bus}",
        options.listen.to_string(),
        format!("sqlite:{}", path("redrive.db")),
        path("redrive.key"),
        spans.grpc,
        spans.http,
    );
    let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::parse(Some("the demo's own configuration".to_owned()), &text, environment, &CHECKS)
}

/// Where the demo's services send their spans: ports that nobody uses, so that the demo runs beside a collector.
#[derive(Debug, Clone, Copy)]
struct SpanPorts {
    grpc: u16,
    http: u16,
}

impl SpanPorts {
    fn free() -> anyhow::Result<Self> {
        let free = || std::net::TcpListener::bind("127.0.0.1:0");
        let (grpc, http) = (free().context("no port is free")?, free().context("no port is free")?);
        Ok(Self { grpc: grpc.local_addr()?.port(), http: http.local_addr()?.port() })
    }
}

/// A folder of this process alone, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn create() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("redrive-demo-{}", uuid::Uuid::now_v7().simple()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("the demo's folder {} cannot be made", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
