//! What the engine keeps for a pool, and which workers there are.

use super::link::{Link, Patience, Stage};
use crate::base::atoms;
use crate::base::lock::Mutex;
use crate::base::term_env::OwnedTerm;
use crate::pool::Pool;
use rustler::Term;
use std::any::Any;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

pub struct Process {
    /// What a worker is told first: a map of settings.
    pub settings: OwnedTerm,
    /// The operation that each worker runs before all others, if there is one, and the group leader for it.
    pub init: Option<(OwnedTerm, OwnedTerm)>,
    pub patience: Patience,
    /// How many requests a worker runs, at most; 0 for any number.
    pub max_calls: u64,
    /// There is a limit to the memory of its workers.
    pub is_bounded: bool,
    /// Tells the ways apart in which workers are started.
    pub way: Vec<u8>,
    /// The options that a worker was started with, for those who are told that it was not.
    pub started_by: OwnedTerm,
    /// Of its workers, and what they are forked from. Each held for a push or a copy.
    links: Mutex<Vec<Weak<Link>>>,
    templates: Mutex<Vec<Weak<Link>>>,
    /// How many workers have ended one after the other without a call that they could have ended for.
    failures: AtomicU32,
    /// How many requests lie ahead with its workers.
    pub lying: AtomicUsize,
}

/// The workers of all pools. Held for a push or a copy.
static LINKS: Mutex<Vec<Weak<Link>>> = Mutex::new(Vec::new());

/// How long another worker waits after the first failure, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Process {
    pub fn new(settings: Term<'_>, init: Option<(Term<'_>, Term<'_>)>, patience: Patience) -> Self {
        let owned = |(operation, leader)| (OwnedTerm::new(operation), OwnedTerm::new(leader));
        Process {
            settings: OwnedTerm::new(settings),
            init: init.map(owned),
            patience,
            max_calls: 0,
            is_bounded: false,
            way: Vec::new(),
            started_by: OwnedTerm::new(atoms::nil().to_term(settings.get_env())),
            links: Mutex::default(),
            templates: Mutex::default(),
            failures: AtomicU32::new(0),
            lying: AtomicUsize::new(0),
        }
    }

    /// None for a pool of another engine.
    pub fn of(pool: &Pool) -> Option<&Process> {
        (&*pool.engine as &dyn Any).downcast_ref()
    }

    pub fn add(&self, link: &Arc<Link>) {
        let own = match link.wear.is_template {
            true => &self.templates,
            false => &self.links,
        };
        for links in [own, &LINKS] {
            let mut links = links.lock();
            links.retain(|link| link.strong_count() > 0);
            links.push(Arc::downgrade(link));
        }
    }

    /// Of its workers, spare ones too.
    pub fn links(&self) -> Vec<Arc<Link>> {
        living(&self.links)
    }

    /// Of all its processes.
    pub fn processes(&self) -> Vec<Arc<Link>> {
        let mut links = self.links();
        links.extend(living(&self.templates));
        links
    }

    /// How many there are, or were this moment.
    pub fn count(&self) -> usize {
        self.links.lock().len()
    }

    /// Those that run requests, or will.
    pub fn hopes(&self) -> Vec<Arc<Link>> {
        let mut links = self.links();
        links.retain(|link| link.stage() <= Stage::Ready && link.wear.has_entered());
        links
    }

    /// A worker has ended at once, before it had anything to do.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// How long to wait before another worker is started.
    pub fn pause(&self) -> Duration {
        match self.failures.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            failures => LONGEST_PAUSE.min(PAUSE * (1 << (failures - 1).min(10))),
        }
    }
}

fn living(links: &Mutex<Vec<Weak<Link>>>) -> Vec<Arc<Link>> {
    links.lock().iter().filter_map(Weak::upgrade).collect()
}

/// The workers of all pools.
pub fn all() -> Vec<Arc<Link>> {
    living(&LINKS)
}

/// The worker of this number, if it has not ended.
pub fn link(number: u64) -> Option<Arc<Link>> {
    let link = all().into_iter().find(|link| link.number == number)?;
    (link.stage() <= Stage::Ready).then_some(link)
}
