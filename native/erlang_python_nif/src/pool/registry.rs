//! The pools that there are, and the contexts by their processes.

use crate::base::lock::Mutex;
use crate::base::term_env::SavedTerm;
use crate::pool::Pool;
use dashmap::DashMap;
use std::sync::{Arc, LazyLock, Weak};

/// Those that are no contexts. Held for a push or a copy.
static POOLS: Mutex<Vec<Weak<Pool>>> = Mutex::new(Vec::new());

/// The contexts. Every call to one looks here, on any scheduler. Nothing but a `Weak` is copied or dropped while
/// a part of the map is locked.
static CONTEXTS: LazyLock<DashMap<SavedTerm, Weak<Pool>>> = LazyLock::new(DashMap::new);

/// Makes a pool known as long as it exists.
pub fn add(pool: Pool) -> Arc<Pool> {
    let pool = Arc::new(pool);
    if pool.pinned {
        CONTEXTS.retain(|_, pool| pool.strong_count() > 0);
        CONTEXTS.insert(pool.home, Arc::downgrade(&pool));
    } else {
        let mut pools = POOLS.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
    }
    pool
}

/// The context of this process.
pub fn context_of(owner: SavedTerm) -> Option<Arc<Pool>> {
    CONTEXTS.get(&owner)?.upgrade()
}

/// All pools whose requests callers may run themselves.
pub fn all() -> Vec<Arc<Pool>> {
    let pools = POOLS.lock();
    pools.iter().filter_map(Weak::upgrade).collect()
}
