//! Engines: how the requests of a pool are run. This file says all that a new one has to provide.
//!
//! An engine is a folder here and a clause in `nif/pool.rs`, which makes an `Engine` for each pool. Nothing in
//! `pool/` and nothing of another engine changes. `main/` is the one interpreter in the VM,
//! `asyncio/` are event loops in that (it uses what `main/` has for code that runs in the VM's process),
//! `process/` are processes of the operating system.
//!
//! # What the pool does
//!
//! Queues, limits and `:init` (`pool`), who is answered and who gave up (`pool::request`), limits of time and what
//! becomes of requests that do not end (`pool::watch`), chunks of streams and their consumers (`pool::stream`),
//! numbers (`pool::stats`, `pool::stuck`).
//!
//! # What an engine does
//!
//! | what | how |
//! |---|---|
//! | it starts and stops | `Engine::spawn` starts a thread of its own, which ends when `Pool::next` says `Stop` |
//! | it runs requests | `Engine::drain` takes them from `Pool::next`. For each: `Worker::begin` and `Request::enter`, the work (`Request::body`), `Request::leave` and `Worker::end`, then `Request::answer` and `Request::forget_body`. What it answers it counts (`Stats::count`) |
//! | a caller runs its own | `Engine::run_here`, with `Request::here`. It may always say None |
//! | it interrupts | `Engine::interrupt`, which never waits. Where the code was is told with `Request::tell_location` and noted in `Request::stuck`; then `watch::tried` sees to the worker |
//! | some requests are for one worker | `Pool::open_lane` when that has joined, `Request::pin_to` before a request is handed in, `Source::worker` for streams. What is left when the worker is removed is answered by `Engine::lost` |
//! | it helps | `Engine::spawn_helper`, asked for when all workers wait (`Pool::block`) and something is in the queue |
//! | streams | an operation that opens one makes a `Source` and a `Consumer` (`pool::stream`). The requests `fill` and `close` of the stream find it by `Stream::of`, and are told to the stream by `stream::settle` when they are over |
//! | handles | terms with a resource of its own; `Pool::home` is what they bear |
//! | callbacks | `pool.block()` while one is waited for; requests of the callback that it takes itself are marked `NESTED` (`pool::marks`). Who waits longer than its request is wanted has `Request::is_over` and `Request::time_left` |
//! | messages | `Pool::mailbox` of a pinned pool, else `Request::mailbox` |
//! | output, errors | terms of the answer; `Request::leader` is where output goes |
//! | state | what it keeps for a pool is in its `Engine`, for a request in `Request::keep_for_engine`, for a place in `Place::at` |

#[cfg(feature = "main")]
pub mod asyncio;
#[cfg(feature = "main")]
pub mod main;
#[cfg(feature = "process")]
pub mod process;

pub use crate::pool::engine::{Drained, Engine};
