//! The frame around every page: bus picker, navigation with counts, breadcrumb, age of the data, who is logged in.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::address;
use super::context::RequestContext;
use super::cookies::{Flash, Theme};
use super::error::Error;
use super::extract::Viewer;
use super::view::freshness::Look;
use super::view::text::visible_text;
use super::{WebState, view};
use crate::access::Via;
use crate::model::{BusId, BusState, Role, Timestamp};
use crate::store::alerts::history::AlertCounts;

mod shell;

use shell::Shell;
pub(super) use shell::ShellCache;

/// Part of the navigation that a page belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// First page.
    Overview,
    /// Failure groups, dead letters.
    DeadLetters,
    /// Buses, their state and what they can do.
    Buses,
    /// Replays.
    Replays,
    /// Purges.
    Purges,
    /// Topics and their records.
    Topics,
    /// Consumer groups.
    ConsumerGroups,
    /// Traces and journeys.
    Traces,
    /// Alerts, their rules, silences, receivers and deliveries.
    Alerts,
    /// Who did what.
    Audit,
    /// Users and tokens.
    Settings,
    /// The simulated shop.
    Demo,
    /// None of them.
    #[default]
    Nowhere,
}

impl Section {
    /// Its word in addresses.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::DeadLetters => "dead_letters",
            Self::Buses => "buses",
            Self::Replays => "replays",
            Self::Purges => "purges",
            Self::Topics => "topics",
            Self::ConsumerGroups => "consumer_groups",
            Self::Traces => "traces",
            Self::Alerts => "alerts",
            Self::Audit => "audit",
            Self::Settings => "settings",
            Self::Demo => "demo",
            Self::Nowhere => "nowhere",
        }
    }
}

/// One step of the breadcrumb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crumb {
    /// What it is called.
    pub text: String,
    /// Where it leads; `None` for the page itself.
    pub address: Option<String>,
}

/// One entry of the navigation.
#[derive(Debug, Clone)]
pub(super) struct NavItem {
    pub(super) section: Section,
    pub(super) address: String,
    pub(super) label: &'static str,
    pub(super) icon: &'static str,
    /// Second key of the shortcut `G` + key.
    pub(super) key: &'static str,
    /// What waits, where work waits.
    pub(super) count: Option<NavCount>,
}

/// What waits behind an entry of the navigation.
#[derive(Debug, Clone)]
pub(super) struct NavCount {
    pub(super) number: u64,
    pub(super) tone: &'static str,
    /// What is counted, after the number.
    pub(super) words: &'static str,
}

/// One of the pages about alerts.
#[derive(Debug, Clone)]
pub(super) struct AlertTab {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) href: String,
    pub(super) count: Option<u64>,
}

/// A bus in the picker.
#[derive(Debug, Clone)]
pub(super) struct BusItem {
    pub(super) id: BusId,
    pub(super) kind: &'static str,
    pub(super) words: String,
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) address: String,
    pub(super) chosen: bool,
}

/// How old the data is.
#[derive(Debug, Clone)]
pub(super) struct Freshness {
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) words: String,
    pub(super) at: Option<Timestamp>,
    pub(super) title: String,
}

/// What the frame shows. An extractor, which asks for a login: a page without it cannot be in the frame.
#[derive(Debug, Clone)]
pub struct Layout {
    /// When the request came: the time of the whole page.
    pub now: Timestamp,
    /// The bus that the page is about: from the address, `/buses/{bus}/...` or `?bus=`.
    pub bus: Option<BusId>,
    /// Who looks.
    pub name: String,
    /// What they may do.
    pub role: Role,
    pub(super) title: String,
    pub(super) section: Section,
    pub(super) crumbs: Vec<Crumb>,
    pub(super) theme: Theme,
    pub(super) via: Via,
    pub(super) path: String,
    pub(super) nav: Vec<NavItem>,
    pub(super) alerts: AlertCounts,
    pub(super) buses: Vec<BusItem>,
    pub(super) fresh: Freshness,
    pub(super) flash: Option<Flash>,
    /// Receivers that have not been reached for a day, or are gone.
    pub(super) flagged: u64,
    /// Whether parts are sent beside what was asked for.
    pub(super) oob: bool,
}

impl Layout {
    /// Names the page and its place in the navigation.
    #[must_use]
    pub fn titled(mut self, section: Section, title: impl Into<String>) -> Self {
        self.section = section;
        self.title = title.into();
        self
    }

    /// Adds a step to the breadcrumb, before the page itself.
    #[must_use]
    pub fn crumb(mut self, text: impl Into<String>, address: impl Into<String>) -> Self {
        self.crumbs.push(Crumb { text: text.into(), address: Some(address.into()) });
        self
    }

    /// `?bus=...` for links that stay on the chosen bus; empty for all buses.
    #[must_use]
    pub fn bus_query(&self) -> String {
        address::query(self.bus.iter().map(|bus| ("bus", bus.as_str())))
    }

    /// Whether who looks may do what this role may.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// Marks parts as sent beside what was asked for.
    #[must_use]
    pub(super) fn out_of_band(mut self) -> Self {
        self.oob = true;
        self
    }

    /// Where the frame's changing parts are fetched.
    pub(super) fn shell_address(&self) -> String {
        let bus = self.bus.as_ref().map_or("", BusId::as_str);
        format!("/shell{}", address::query([("section", self.section.as_str()), ("bus", bus)]))
    }

    /// Whether it is this user who looks.
    pub(super) fn is_user(&self, username: &str) -> bool {
        self.via == Via::Session && self.name == username
    }

    /// Whether they manage users and tokens.
    pub(super) fn is_admin(&self) -> bool {
        self.may(Role::Admin)
    }

    /// What there is about alerts, with how many.
    pub(super) fn alert_tabs(&self) -> [AlertTab; 5] {
        let query = self.bus_query();
        let tab = |name, label, query: &str, count: Option<u64>| AlertTab { name, label, href: format!("/{name}{query}"), count };
        [
            tab("alerts", "Alerts", &query, Some(self.alerts.active)),
            tab("alert-rules", "Rules", "", Some(self.alerts.rules)),
            tab("silences", "Silences", "", Some(self.alerts.silences)),
            tab("receivers", "Receivers", "", Some(self.alerts.receivers)),
            tab("deliveries", "Deliveries", "", None),
        ]
    }

    /// Alerts that fire, before the title of the page: a tab that nobody looks at says so.
    pub(super) fn firing_title(&self) -> String {
        if self.alerts.firing > 0 { format!("({}) ", self.alerts.firing) } else { String::new() }
    }

    pub(super) fn can_log_out(&self) -> bool {
        self.via == Via::Session
    }

    pub(super) fn next_theme(&self) -> &'static str {
        match self.theme {
            Theme::System => "dark",
            Theme::Dark => "light",
            Theme::Light => "system",
        }
    }

    pub(super) fn chosen_bus(&self) -> Option<&BusItem> {
        self.buses.iter().find(|bus| bus.chosen)
    }

    /// The tone of the bus that needs a person most.
    pub(super) fn worst_bus_tone(&self) -> &'static str {
        ["bad", "warn", "idle"].into_iter().find(|tone| self.buses.iter().any(|bus| bus.tone == *tone)).unwrap_or("ok")
    }

    pub(super) fn buses_words(&self) -> String {
        let connected = self.buses.iter().filter(|bus| bus.tone == "ok").count();
        format!("{connected} of {} connected", self.buses.len())
    }

    /// This list for all buses, or the first page where the address is about one bus.
    pub(super) fn all_buses_address(&self) -> &str {
        match self.path.split('?').next().unwrap_or("/") {
            path if path.starts_with("/buses/") || path.starts_with("/dead-letters/") => "/",
            path => path,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    pub(super) fn here(&self, section: &Section) -> bool {
        self.section == *section
    }
}

impl FromRequestParts<WebState> for Layout {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Error> {
        let viewer = Viewer::from_request_parts(parts, state).await?;
        let Ok(context) = RequestContext::from_request_parts(parts, state).await;
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let bus = bus_of(path, query);
        let shell = state.inner.shell.get(state, bus.as_ref(), context.now()).await;
        let bus = bus.filter(|bus| shell.buses.iter().any(|known| known.id == *bus));
        Ok(Self {
            now: context.now(),
            name: viewer.identity.name.clone(),
            role: viewer.identity.role,
            title: "Redrive".to_owned(),
            section: Section::Nowhere,
            crumbs: Vec::new(),
            theme: state.cookies().theme(&parts.headers),
            via: viewer.identity.via,
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            nav: nav(bus.as_ref(), &shell, viewer.identity.role, state.demo().is_some()),
            alerts: shell.alerts,
            buses: shell.buses.iter().map(|state| bus_item(state, bus.as_ref(), path, context.now())).collect(),
            fresh: freshness(&shell, bus.as_ref(), context.now()),
            flash: state.cookies().flash(&parts.headers),
            flagged: shell.flagged,
            oob: false,
            bus,
        })
    }
}

/// The bus an address is about.
fn bus_of(path: &str, query: &str) -> Option<BusId> {
    if let Some(rest) = path.strip_prefix("/buses/") {
        let segment = rest.split('/').next().unwrap_or_default();
        let decoded = address::pairs(&format!("b={}", segment.replace('+', "%2B"))).pop().map(|(_, bus)| bus);
        return decoded.filter(|bus| !bus.is_empty()).map(BusId::from);
    }
    let mut named = address::pairs(query).into_iter().filter(|(name, value)| name == "bus" && !value.is_empty());
    let first = named.next()?.1;
    // Several chosen buses are a filter, not the bus of the page.
    named.next().is_none().then(|| BusId::from(first))
}

fn nav(bus: Option<&BusId>, shell: &Shell, role: Role, demo: bool) -> Vec<NavItem> {
    let query = address::query(bus.iter().map(|bus| ("bus", bus.as_str())));
    let item =
        |section, path: &str, label, icon, key| NavItem { section, address: format!("{path}{query}"), label, icon, key, count: None };
    let list = |section, noun: &str, label, icon, key| {
        let address = bus.map_or_else(|| format!("/{noun}"), |bus| format!("/buses/{}/{noun}", address::encode(bus.as_str())));
        NavItem { address, ..item(section, "", label, icon, key) }
    };
    let mut items = vec![
        item(Section::Overview, "/", "Overview", "layout-dashboard", "O"),
        item(Section::DeadLetters, "/failure-groups", "Dead letters", "inbox", "D"),
        item(Section::Replays, "/replays", "Replays", "redo-2", "R"),
        item(Section::Purges, "/purges", "Purges", "scissors", "P"),
        list(Section::Topics, "topics", "Topics", "rows-3", "T"),
        list(Section::ConsumerGroups, "consumer-groups", "Consumer groups", "users", "C"),
        item(Section::Traces, "/traces", "Traces", "waypoints", "J"),
        item(Section::Alerts, "/alerts", "Alerts", "bell", "A"),
        NavItem { address: "/buses".to_owned(), ..item(Section::Buses, "", "Buses", "plug-zap", "B") },
        NavItem { address: "/audit".to_owned(), ..item(Section::Audit, "", "Audit", "scroll-text", "U") },
    ];
    if role == Role::Admin {
        items.push(NavItem { address: "/settings/users".to_owned(), ..item(Section::Settings, "", "Settings", "shield-check", "S") });
    }
    if demo {
        items.push(NavItem { address: "/demo".to_owned(), ..item(Section::Demo, "", "Demo", "play", "M") });
    }
    let waits = |number: u64, tone, words| (number > 0).then_some(NavCount { number, tone, words });
    for item in &mut items {
        item.count = match item.section {
            Section::DeadLetters => waits(shell.open.unwrap_or(0), "warn", "open"),
            Section::Alerts => waits(shell.alerts.firing, if shell.alerts.grave > 0 { "bad" } else { "warn" }, "firing"),
            _ => None,
        };
    }
    items
}

fn bus_item(state: &BusState, chosen: Option<&BusId>, path: &str, now: Timestamp) -> BusItem {
    let Look { word, icon, tone } = view::freshness::Freshness::of(state, now).look();
    let address = same_list(path, &state.id);
    BusItem { id: state.id.clone(), kind: "Kafka", words: word.to_lowercase(), tone, icon, address, chosen: chosen == Some(&state.id) }
}

/// The same list for another bus. A page of one thing belongs to its bus, so it means the other's first page.
fn same_list(path: &str, bus: &BusId) -> String {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["buses", _, list] => format!("/buses/{}/{list}", address::encode(bus.as_str())),
        ["buses" | "dead-letters", _, ..] => format!("/{}", address::query([("bus", bus.as_str())])),
        _ => format!("{path}{}", address::query([("bus", bus.as_str())])),
    }
}

fn freshness(shell: &Shell, bus: Option<&BusId>, now: Timestamp) -> Freshness {
    let plain = |tone, icon, words: &str| Freshness { tone, icon, words: words.to_owned(), at: None, title: words.to_owned() };
    if shell.store_failed {
        return plain("bad", "database", "Store does not answer");
    }
    let mut concerned = shell.buses.iter().filter(|state| bus.is_none_or(|bus| state.id == *bus));
    // Of several buses the stalest speaks: a page is as fresh as its oldest part.
    let Some(stalest) = concerned.clone().min_by_key(|state| state.sampled_at) else {
        return plain("idle", "plug", "No bus yet");
    };
    let several = concerned.nth(1).is_some();
    let name = &stalest.id;
    let look = view::freshness::Freshness::of(stalest, now).look();
    let Some(at) = stalest.sampled_at else {
        let name = visible_text(name.as_str());
        let words = if look.tone == "bad" { format!("{name} was never reached") } else { format!("Reading {name}") };
        return plain(look.tone, look.icon, &words);
    };
    let (tone, icon) = if look.tone == "ok" { ("", "activity") } else { (look.tone, "clock-alert") };
    let words = if tone.is_empty() { "Live".to_owned() } else { visible_text(name.as_str()) };
    let which = if several { "Oldest of all buses: " } else { "" };
    let title = format!("{which}{name} was last read at {at}", at = at.to_rfc3339());
    Freshness { tone, icon, words, at: Some(at), title }
}

#[cfg(test)]
mod tests {
    use super::{bus_of, same_list};
    use crate::model::BusId;

    #[test]
    fn another_bus_shows_the_same_list() {
        let to = |path| same_list(path, &BusId::from("b 2"));
        assert_eq!(to("/failure-groups"), "/failure-groups?bus=b%202");
        assert_eq!(to("/buses/prod/topics"), "/buses/b%202/topics");
        assert_eq!(to("/buses/prod/topics/orders"), "/?bus=b%202");
        assert_eq!(to("/dead-letters/7"), "/?bus=b%202");
        assert_eq!(to("/"), "/?bus=b%202");
    }

    #[test]
    fn the_address_says_which_bus_a_page_is_about() {
        let cases = [
            ("/", "", None),
            ("/topics", "bus=prod&q=a", Some("prod")),
            ("/topics", "bus=prod&bus=staging", None),
            ("/topics", "bus=", None),
            ("/buses/prod/topics/a", "bus=other", Some("prod")),
            ("/buses/a%20b/topics", "", Some("a b")),
        ];
        for (path, query, bus) in cases {
            assert_eq!(bus_of(path, query), bus.map(BusId::from), "{path}?{query}");
        }
    }
}
