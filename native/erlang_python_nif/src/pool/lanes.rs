//! What waits for one worker alone, in a line for each.

use std::collections::VecDeque;

/// Requests, each with its place in the order in which all of a queue came.
pub type Line<R> = VecDeque<(u64, R)>;

/// The lines of the workers that requests can be pinned to. Most pools have none.
pub struct Lanes<R, W> {
    all: Vec<Lane<R, W>>,
    /// How many of those that wait here were not cancelled.
    pub live: usize,
    /// How many there are, cancelled or not.
    count: usize,
}

struct Lane<R, W> {
    id: u64,
    worker: W,
    waiting: Line<R>,
    /// Its worker takes nothing else.
    retired: bool,
}

impl<R, W> Lanes<R, W> {
    pub fn new() -> Self {
        Lanes {
            all: Vec::new(),
            live: 0,
            count: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn open(&mut self, id: u64, worker: W) {
        self.close(id);
        self.all.push(Lane {
            id,
            worker,
            waiting: Line::new(),
            retired: false,
        });
    }

    /// Hands back what waited for the worker.
    pub fn close(&mut self, id: u64) -> Line<R> {
        let Some(at) = self.all.iter().position(|lane| lane.id == id) else {
            return Line::new();
        };
        let lane = self.all.swap_remove(at);
        self.count -= lane.waiting.len();
        lane.waiting
    }

    /// Hands back all that waited.
    pub fn close_all(&mut self) -> Line<R> {
        self.count = 0;
        self.live = 0;
        self.all.drain(..).flat_map(|lane| lane.waiting).collect()
    }

    /// Hands the request back if there is no such worker.
    pub fn push(&mut self, id: u64, place: u64, request: R) -> Result<(), R> {
        let Some(lane) = self.all.iter_mut().find(|lane| lane.id == id) else {
            return Err(request);
        };
        lane.waiting.push_back((place, request));
        self.count += 1;
        Ok(())
    }

    /// The first request of a worker, if it came before `place`.
    pub fn pop(&mut self, id: u64, place: u64) -> Option<R> {
        let lane = self.all.iter_mut().find(|lane| lane.id == id)?;
        lane.waiting.front().filter(|(own, _)| *own < place)?;
        let (_, request) = lane.waiting.pop_front()?;
        self.count -= 1;
        Some(request)
    }

    /// Its worker takes nothing else from now on.
    pub fn retire(&mut self, id: u64) {
        if let Some(lane) = self.all.iter_mut().find(|lane| lane.id == id) {
            lane.retired = true;
        }
    }

    /// The worker, if it takes nothing else.
    pub fn retired(&self, id: u64) -> Option<&W> {
        let lane = self.all.iter().find(|lane| lane.id == id)?;
        lane.retired.then_some(&lane.worker)
    }

    /// The worker, and what waits for it. None if it has no lane.
    pub fn get(&self, id: u64) -> Option<(&W, &Line<R>)> {
        let lane = self.all.iter().find(|lane| lane.id == id)?;
        Some((&lane.worker, &lane.waiting))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&W, &Line<R>)> {
        self.all.iter().map(|lane| (&lane.worker, &lane.waiting))
    }

    /// Hands back those that `stays` is false for, if there are so many that this pays.
    pub fn sweep(&mut self, stays: impl Fn(&R) -> bool) -> Line<R> {
        if self.count <= 64 + 2 * self.live {
            return Line::new();
        }
        let mut gone = Line::new();
        for lane in &mut self.all {
            let (stay, go): (Line<R>, Line<R>) = lane
                .waiting
                .drain(..)
                .partition(|(_, request)| stays(request));
            lane.waiting = stay;
            gone.extend(go);
        }
        self.count -= gone.len();
        gone
    }
}
