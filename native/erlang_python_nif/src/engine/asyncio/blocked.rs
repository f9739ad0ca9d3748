//! Finds out when something holds a loop up, and tells the log where that is.
//!
//! While a loop has calls, the clock rings it every now and then. A loop that does not look within the time that it
//! has is held up: the interrupter, which may wait for the GIL, looks where its thread is.

use crate::base::Location;
use crate::base::atoms;
use crate::base::clock;
use crate::base::server;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::engine::asyncio::event_loop::Loop;
use crate::engine::main::interrupt;
use crate::pool::Pool;
use rustler::Encoder;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Has the clock look after a loop that has something to do, unless it does so already. On any thread.
pub fn watch(own: &Arc<Loop>) {
    let Some(patience) = own.of.get().and_then(|of| of.block_warning) else {
        return;
    };
    if own.watched.load(Ordering::SeqCst) || own.watched.swap(true, Ordering::SeqCst) {
        return;
    }
    let own = Arc::downgrade(own);
    let period = (patience / 2).max(Duration::from_millis(1));
    let mut asked: Option<Asked> = None;
    clock::after(period, move |_, _| {
        let own = own.upgrade()?;
        look(&own, &mut asked).then_some(period)
    });
}

/// When a loop was rung, and how far it was.
struct Asked {
    at: Instant,
    turns: usize,
    told: bool,
}

/// False if there is nothing to look after any more.
fn look(own: &Arc<Loop>, asked: &mut Option<Asked>) -> bool {
    let (Some(of), false) = (own.of.get(), own.ended.load(Ordering::Acquire)) else {
        return false;
    };
    let (Some(pool), Some(patience)) = (of.pool.upgrade(), of.block_warning) else {
        return false;
    };
    let turns = own.progress();
    if let Some(asked) = asked.as_mut().filter(|asked| asked.turns == turns) {
        let passed = asked.at.elapsed();
        if passed >= patience && !asked.told {
            asked.told = true;
            tell(own, &pool, turns, asked.at);
        }
        return true;
    }
    *asked = None;
    if !has_work(&pool) {
        own.watched.store(false, Ordering::SeqCst);
        // What has come this moment has seen that it was looked after.
        if !has_work(&pool) || own.watched.swap(true, Ordering::SeqCst) {
            return false;
        }
    }
    *asked = Some(Asked {
        at: Instant::now(),
        turns,
        told: false,
    });
    own.ring();
    true
}

fn has_work(pool: &Pool) -> bool {
    pool.stats.busy.load(Ordering::SeqCst) > 0 || pool.queued() > 0
}

/// Whether that is code of the loop itself, which takes as long as it must: it has thousands of timers, say.
pub fn is_of_loop((file, _, _): &Location) -> bool {
    let mut path = file.rsplit('/');
    let (name, folder, above) = (path.next(), path.next(), path.next());
    // Other packages have folders of that name as well.
    let is_lib = |folder: Option<&str>| folder.is_some_and(|f| f.starts_with("python3"));
    match (name, folder) {
        (Some("_loop.py"), Some("erlang")) => true,
        (Some("selectors.py"), folder) => is_lib(folder),
        (_, Some("asyncio")) => is_lib(above),
        _ => false,
    }
}

fn tell(own: &Arc<Loop>, pool: &Arc<Pool>, turns: usize, since: Instant) {
    let (own, home) = (Arc::clone(own), pool.home);
    interrupt::look(Box::new(move |py| {
        // It may have gone on meanwhile.
        if own.progress() != turns {
            return None;
        }
        let location = own.location(py);
        // It waits for the GIL, or for the processor.
        if location.as_ref().is_some_and(is_of_loop) {
            return None;
        }
        Some(Box::new(move |sender: Sender, message: &mut TermEnv| {
            let Some(server) = server::get() else { return };
            let ms = since.elapsed().as_millis() as u64;
            message.send(sender, &server, |env| {
                let place = match &location {
                    Some(location) => location.encode(env),
                    None => atoms::none().encode(env),
                };
                (atoms::loop_blocked(), SavedTerm::load(home, env), place, ms).encode(env)
            });
        }))
    }));
}

#[cfg(test)]
mod tests {
    use super::is_of_loop;

    #[test]
    fn code_of_the_loop_is_told_apart_from_that_of_packages_with_asyncio_in_their_names() {
        let is = |file: &str| is_of_loop(&(file.into(), 1, "f".into()));
        assert!(is("/usr/lib/python3.11/asyncio/events.py"));
        assert!(is("/opt/python3.13/lib/python3.13/selectors.py"));
        assert!(is("/app/priv/python/erlang/_loop.py"));
        assert!(!is(
            "/usr/lib/python3/dist-packages/redis/asyncio/client.py"
        ));
        assert!(!is(
            "/app/lib/python3.11/site-packages/sqlalchemy/ext/asyncio/events.py"
        ));
        assert!(!is("/app/asyncio/events.py") && !is("/app/selectors.py") && !is("<string>"));
    }
}
