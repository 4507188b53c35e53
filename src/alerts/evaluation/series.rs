//! Series by figure, and which of them make one alert. What was found out about a series is kept: a round only adds up.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::recalling::SETTLED;
use crate::alerts::rule::{Patterns, Reading, alert_labels, only_bus};
use crate::model::alert::{Filter, Label, Terms};
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, Timestamp};

/// Beyond so many series of a figure all is forgotten and begun again, when most of them are long gone.
const MOST: usize = 200_000;

/// Series of a figure by a number of our own, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(super) struct Registry {
    labels: Vec<Labels>,
    by_labels: HashMap<Labels, usize>,
    by_id: HashMap<i64, usize>,
    /// How many series the store knew, and the newest of them: ids only grow.
    known: (usize, Option<i64>),
    /// Changes when everything was forgotten.
    pub(super) life: u64,
}

impl Registry {
    /// The number of a series.
    pub(super) fn number(&mut self, labels: &Labels) -> usize {
        if let Some(number) = self.by_labels.get(labels) {
            return *number;
        }
        self.labels.push(labels.clone());
        self.by_labels.insert(labels.clone(), self.labels.len() - 1);
        self.labels.len() - 1
    }

    /// Takes in the store's series, by id; those that are gone have no id any more.
    pub(super) fn learn(&mut self, known: &[(i64, Labels)]) {
        let all = (known.len(), known.last().map(|(id, _)| *id));
        if self.known == all {
            return;
        }
        self.known = all;
        for (id, labels) in known {
            if !self.by_id.contains_key(id) {
                let number = self.number(labels);
                self.by_id.insert(*id, number);
            }
        }
        if self.by_id.len() > known.len() {
            let ids: HashSet<i64> = known.iter().map(|(id, _)| *id).collect();
            self.by_id.retain(|id, _| ids.contains(id));
        }
    }

    /// Whether there are so many that most may be gone.
    pub(super) const fn is_long(&self) -> bool {
        self.labels.len() > MOST
    }

    /// Forgets all when fewer than half of them live; numbers that were given before mean nothing then.
    pub(super) fn forget(&mut self, living: usize) -> bool {
        let forgets = self.labels.len() / 2 > living;
        if forgets {
            *self = Self { life: self.life + 1, ..Self::default() };
        }
        forgets
    }

    /// The number of a series by the store's id.
    pub(super) fn of_id(&self, id: i64) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.labels.len()
    }
}

/// What rules have in common that watch the same.
pub(super) type WatchKey = (Figure, Filter, Vec<Label>);

/// One alert that there may be.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) labels: BTreeMap<String, String>,
    /// The buses that it is about, as far as its labels, the filter or its series tell.
    pub(super) buses: BTreeSet<BusId>,
    /// It had something to say since this process looks: what was gone before is no news.
    seen: bool,
    /// It had something to say not long before that.
    remembered: bool,
}

/// Series that a filter lets through, by the alert that they belong to.
#[derive(Debug)]
pub(super) struct Watch {
    patterns: Option<Patterns>,
    by: Vec<Label>,
    /// The only bus that the filter lets through.
    only: Option<BusId>,
    seen: usize,
    life: u64,
    /// Number of a series and place of its instance.
    pairs: Vec<(usize, usize)>,
    pub(super) instances: Vec<Instance>,
    /// How far back the past is known, in milliseconds, and since when.
    recalled: Option<(u64, Timestamp)>,
    places: HashMap<BTreeMap<String, String>, usize>,
}

impl Watch {
    pub(super) fn new((_, filter, by): &WatchKey) -> Self {
        let mut watch = Self {
            patterns: Patterns::new(filter),
            by: by.clone(),
            only: only_bus(filter),
            seen: 0,
            life: 0,
            pairs: Vec::new(),
            instances: Vec::new(),
            recalled: None,
            places: HashMap::new(),
        };
        watch.begin();
        watch
    }

    /// Without labels by which alerts differ there is one, whether or not there are series.
    fn begin(&mut self) {
        if self.by.is_empty() {
            self.place(BTreeMap::new());
        }
    }

    fn place(&mut self, labels: BTreeMap<String, String>) -> usize {
        if let Some(place) = self.places.get(&labels) {
            return *place;
        }
        let bus = labels.get("bus").map(|bus| BusId::new(bus.as_str())).or_else(|| self.only.clone());
        self.places.insert(labels.clone(), self.instances.len());
        let seen = labels.is_empty();
        self.instances.push(Instance { labels, buses: bus.into_iter().collect(), seen, remembered: false });
        self.instances.len() - 1
    }

    /// The same for a series, whose bus the alert is about.
    fn place_for(&mut self, labels: &Labels) -> usize {
        let place = self.place(alert_labels(&self.by, labels));
        if let Some(bus) = &labels.bus
            && !self.instances[place].buses.contains(bus)
        {
            self.instances[place].buses.insert(bus.clone());
        }
        place
    }

    /// Takes in series that were not there before.
    pub(super) fn learn(&mut self, registry: &Registry) {
        if self.life != registry.life {
            (self.life, self.seen) = (registry.life, 0);
            self.pairs.clear();
            self.instances.clear();
            self.places.clear();
            self.recalled = None;
            self.begin();
        }
        let Some(patterns) = self.patterns.clone() else { return };
        for (number, labels) in registry.labels.iter().enumerate().skip(self.seen) {
            if patterns.fit(labels) {
                let place = self.place_for(labels);
                self.pairs.push((number, place));
            }
        }
        self.seen = registry.labels.len();
    }

    /// The place of an alert by the labels by which alerts differ; made when it was not there, so that an alert of a series that is
    /// gone is looked at as well.
    pub(super) fn place_of(&mut self, labels: &BTreeMap<String, String>) -> Option<usize> {
        let own: BTreeMap<String, String> =
            labels.iter().filter(|(name, _)| name.parse::<Label>().is_ok()).map(|(name, value)| (name.clone(), value.clone())).collect();
        let fits = own.keys().all(|name| self.by.iter().any(|by| by.as_str() == name));
        fits.then(|| self.place(own))
    }

    /// Remembers which instances had something to say.
    pub(super) fn note(&mut self, sums: &[Option<Reading>]) {
        for (instance, sum) in self.instances.iter_mut().zip(sums) {
            instance.seen |= sum.is_some();
        }
    }

    /// Takes in series that had something to say before this process looked, as far back as this.
    pub(super) fn recall(&mut self, known: &[Labels], horizon_ms: u64, now: Timestamp) {
        if let Some(patterns) = self.patterns.clone() {
            for labels in known.iter().filter(|labels| patterns.fit(labels)) {
                let place = self.place_for(labels);
                self.instances[place].remembered = true;
            }
        }
        let (known_ms, since) = self.recalled.unwrap_or((0, now));
        self.recalled = Some((known_ms.max(horizon_ms), since));
    }

    /// Whether the past is known as far back as this.
    pub(super) fn has_recalled(&self, horizon_ms: u64) -> bool {
        self.recalled.is_some_and(|(known, _)| known >= horizon_ms)
    }

    /// Whether the silence of an instance is news. What history alone knows has some time to be seen first.
    pub(super) fn knows(&self, instance: &Instance, now: Timestamp) -> bool {
        let has_settled = || self.recalled.is_some_and(|(_, at)| at > now || at.age_at(now) >= SETTLED);
        instance.seen || (instance.remembered && has_settled())
    }

    /// What the series of each instance have to say together.
    pub(super) fn add_up(&self, terms: &Terms, values: &[Option<Reading>]) -> Vec<Option<Reading>> {
        let mut sums: Vec<Option<Reading>> = vec![None; self.instances.len()];
        for (number, place) in &self.pairs {
            let Some(Some(reading)) = values.get(*number) else { continue };
            match &mut sums[*place] {
                Some(sum) => sum.add(reading, terms),
                none => *none = Some(reading.clone()),
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::rule::tests::terms;

    fn group(name: &str, topic: &str) -> Labels {
        Labels::bus(&"prod".into()).topic(&topic.into()).consumer_group(&name.into())
    }

    #[test]
    fn an_alert_is_about_the_buses_of_its_labels_its_filter_or_its_series() {
        let terms = terms();
        let of = |bus: &str| Labels::bus(&bus.into()).topic(&"x".into()).consumer_group(&"a".into());
        let buses = |filter: Filter, by: &[Label], series: &[Labels]| {
            let mut registry = Registry::default();
            registry.learn(&series.iter().cloned().zip(1..).map(|(labels, id)| (id, labels)).collect::<Vec<_>>());
            let mut watch = Watch::new(&(terms.figure, filter, by.to_vec()));
            watch.learn(&registry);
            watch.instances.iter().map(|one| one.buses.iter().map(BusId::to_string).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        let only = |pattern: &str| Filter::from([(Label::Bus, pattern.to_owned())]);
        assert_eq!(buses(Filter::new(), &[Label::Bus, Label::ConsumerGroup], &[of("prod"), of("test")]), ["prod", "test"]);
        assert_eq!(buses(Filter::new(), &[Label::ConsumerGroup], &[of("prod")]), ["prod"]);
        assert_eq!(buses(Filter::new(), &[Label::ConsumerGroup], &[of("prod"), of("test")]), ["prod test"]);
        assert_eq!(buses(only("prod"), &[], &[]), ["prod"], "the filter names it");
        assert_eq!(buses(only("p*"), &[], &[]), [""]);
        assert_eq!(buses(only("p*"), &[], &[of("prod"), of("test")]), ["prod"]);
    }

    #[test]
    fn series_are_added_up_by_the_alert_that_they_belong_to_and_new_ones_are_taken_in() {
        let terms = terms();
        let mut registry = Registry::default();
        registry.learn(&[(7, group("a", "x")), (9, group("b", "x"))]);
        let filter = Filter::from([(Label::ConsumerGroup, "{x,y}".to_owned())]);
        assert!(Watch::new(&(terms.figure, filter, Vec::new())).instances.len() == 1, "one alert without labels");
        let mut watch = Watch::new(&(terms.figure, Filter::new(), terms.by.clone()));
        watch.learn(&registry);
        registry.learn(&[(7, group("a", "x")), (9, group("b", "x")), (12, group("a", "y"))]);
        watch.learn(&registry);
        watch.learn(&registry);
        let mut values = vec![None; registry.len()];
        for (id, value) in [(7, 1.0), (12, 2.0)] {
            values[registry.of_id(id).expect("is known")] = Some(Reading::Number(value));
        }
        let sums = watch.add_up(&terms, &values);
        assert_eq!(sums, [Some(Reading::Number(3.0)), None]);
        assert_eq!(watch.instances[0].labels["consumer_group"], "a");
        let gone = BTreeMap::from([("bus".to_owned(), "prod".to_owned()), ("consumer_group".to_owned(), "c".to_owned())]);
        assert_eq!(watch.place_of(&gone), Some(2));
        assert_eq!(watch.place_of(&BTreeMap::from([("topic".to_owned(), "x".to_owned())])), None, "alerts differ by other labels now");
    }

    #[test]
    fn series_that_are_gone_are_forgotten_and_watched_anew() {
        let terms = terms();
        let mut registry = Registry::default();
        for name in ["a", "b", "c", "d"] {
            registry.number(&group(name, "x"));
        }
        let mut watch = Watch::new(&(terms.figure, Filter::new(), terms.by.clone()));
        watch.learn(&registry);
        assert_eq!((registry.forget(2), registry.len(), watch.instances.len()), (false, 4, 4));
        assert_eq!((registry.forget(1), registry.len()), (true, 0));
        registry.number(&group("d", "x"));
        watch.learn(&registry);
        assert_eq!((watch.instances.len(), watch.add_up(&terms, &[Some(Reading::Number(7.0))])), (1, vec![Some(Reading::Number(7.0))]));
    }

    #[test]
    fn new_series_are_taken_in_however_many_others_are_gone() {
        let mut registry = Registry::default();
        registry.learn(&[(1, group("a", "x")), (2, group("b", "x")), (3, group("c", "x"))]);
        registry.learn(&[(2, group("b", "x"))]);
        assert_eq!((registry.of_id(1), registry.by_id.len()), (None, 1), "what is gone is forgotten");
        registry.learn(&[(2, group("b", "x")), (4, group("d", "x")), (5, group("e", "x"))]);
        assert!(registry.of_id(4).is_some() && registry.of_id(5).is_some(), "as many as ever");
        registry.learn(&[(4, group("d", "x")), (5, group("e", "x")), (6, group("f", "x"))]);
        assert!(registry.of_id(6).is_some(), "as many as before");
        registry.learn(&[(4, group("d", "x")), (5, group("e", "x")), (6, group("f", "x"))]);
        assert_eq!(registry.len(), 6);
    }
}
