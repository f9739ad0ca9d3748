//! Memory that the VM and a Python process share: a place for one frame on its way to the process, a ring of places for
//! frames on their way back, and one for small requests that lie ahead. What does not fit goes by the socket.
//!
//! Neither side can shrink it under the other one (Linux seals it), and nothing in it is trusted: a length is read
//! once, and what it counts is copied before it is looked at. Who answers whom is not decided here but by the state
//! of a request: whatever a process writes, it can only make a mess of its own calls.
//!
//! A place is free, then its frame is there, and it is free again when that was copied. One to the process counts as
//! taken until what has come of it can be found.
//!
//! What lies ahead is taken by the main thread of the process alone, when it is done with what it is at. Until then the
//! VM may take it back. When it is due it stays, and also the one who reads the socket takes it.

use erlang_python_wire::Broken;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How many bytes a frame may have.
pub const ROOM: usize = 4 << 10;

/// How many frames there may be on their way to the VM, of which one may have more than `LIGHT` bytes.
const BACK: usize = 64;

/// How many requests may lie ahead, and how many bytes one may have.
pub const AHEAD: usize = 64;
pub const LIGHT: usize = 1 << 10;

/// In place of its length: a frame is where there is more room.
const ELSEWHERE: u32 = u32::MAX;

const FREE: u32 = 0;
const THERE: u32 = 2;
const TAKEN: u32 = 3;
/// It lies ahead, and is not taken back any more.
const DUE: u32 = 4;
/// It was taken back, which who takes the next one has to see.
const GONE: u32 = 5;

#[repr(C, align(64))]
struct Place<const WORDS: usize> {
    state: AtomicU32,
    length: AtomicU32,
    words: [AtomicU64; WORDS],
}

#[repr(C, align(64))]
struct Line<T>(T);

/// When the VM is to be rung for: somebody looks all the time.
const NEVER: u32 = 0;
/// For each frame.
const ALWAYS: u32 = 1;
/// When the process is at nothing any more: somebody looks every now and then.
const IDLE: u32 = 2;

#[repr(C)]
struct Layout {
    to_process: Place<{ ROOM / 8 }>,
    /// For one of those in `to_vm`.
    large_to_vm: Place<{ ROOM / 8 }>,
    /// Written and read one after the other.
    to_vm: [Place<{ LIGHT / 8 }>; BACK],
    ahead: [Place<{ LIGHT / 8 }>; AHEAD],
    /// The main thread of the process sleeps until this is 0.
    sleeps: Line<AtomicU32>,
    /// How many frames the process has handled that came by the socket.
    handled: Line<AtomicU64>,
    /// The same of the VM.
    heard: Line<AtomicU64>,
    /// How many threads of the process look for frames while they wait.
    listens: Line<AtomicU32>,
    /// When the VM is to be rung for.
    armed: Line<AtomicU32>,
}

pub struct Segment {
    layout: NonNull<Layout>,
    /// How many frames were put there for the VM, or taken, by this side. The other one does not see it.
    back: AtomicUsize,
    /// The same of those that lie ahead.
    ahead: AtomicUsize,
    /// How many threads of the process have taken one and not found out yet what it is, or are about to take it.
    taking: AtomicUsize,
    /// A thread of this side is about to put a frame there. The other side does not see it: who looks there all the time
    /// would be slowed down, and slow it down.
    puts: AtomicBool,
}

// SAFETY: all in it are atomics.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl<const WORDS: usize> Place<WORDS> {
    /// The last word first: in the line of the first ones is what the other side looks at.
    fn write(&self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<8>();
        if let (false, Some(word)) = (rest.is_empty(), self.words.get(whole.len())) {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
        for (word, bytes) in self.words.iter().zip(whole).rev() {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        self.length.store(bytes.len() as u32, Ordering::Relaxed);
    }

    /// A copy of what is there, which nobody changes any more. None if that cannot be.
    fn read(&self, bytes: &mut Vec<u8>) -> Option<()> {
        let length = self.length.load(Ordering::Relaxed) as usize;
        let words = self.words.get(..length.div_ceil(8))?;
        bytes.clear();
        bytes.resize(8 * words.len(), 0);
        let (places, _) = bytes.as_chunks_mut::<8>();
        for (place, word) in places.iter_mut().zip(words) {
            *place = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        bytes.truncate(length);
        Some(())
    }

    fn change(&self, from: u32, to: u32) -> Result<u32, u32> {
        self.state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
    }

    /// Puts a frame there, if that is free and large enough. One thread at a time.
    fn put(&self, frame: &[u8]) -> bool {
        if frame.len() > WORDS * 8 || self.state.load(Ordering::SeqCst) != FREE {
            return false;
        }
        self.write(frame);
        self.state.store(THERE, Ordering::SeqCst);
        true
    }
}

impl Segment {
    fn layout(&self) -> &Layout {
        // SAFETY: mapped as long as `self`; atomics, of which all values are valid.
        unsafe { self.layout.as_ref() }
    }

    /// Where the next frame for the VM is.
    fn back(&self) -> &Place<{ LIGHT / 8 }> {
        &self.layout().to_vm[self.back.load(Ordering::Relaxed) % BACK]
    }

    fn step(&self) {
        self.back.fetch_add(1, Ordering::SeqCst);
    }

    /// A new one, with what the other side is to be given.
    #[cfg(target_os = "linux")]
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        use std::os::fd::FromRawFd;

        // SAFETY: a null-terminated name; the descriptor is nobody else's.
        let descriptor = unsafe {
            let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
            match libc::memfd_create(c"python_calls".as_ptr(), flags) {
                -1 => return Err(io::Error::last_os_error()),
                descriptor => OwnedFd::from_raw_fd(descriptor),
            }
        };
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: a descriptor of ours.
        let sealed = unsafe {
            libc::ftruncate(descriptor.as_raw_fd(), SIZE as libc::off_t) == 0
                && libc::fcntl(descriptor.as_raw_fd(), libc::F_ADD_SEALS, seals) == 0
        };
        if !sealed {
            return Err(io::Error::last_os_error());
        }
        Ok((Self::map(&descriptor)?, descriptor))
    }

    /// Where memory cannot be sealed, there is none.
    #[cfg(not(target_os = "linux"))]
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The one that the other side has made.
    pub fn open(descriptor: &OwnedFd) -> io::Result<Self> {
        // SAFETY: all zeroes is a valid stat, which is written.
        let size = unsafe {
            let mut found: libc::stat = std::mem::zeroed();
            match libc::fstat(descriptor.as_raw_fd(), &mut found) {
                0 => found.st_size,
                _ => return Err(io::Error::last_os_error()),
            }
        };
        if size != SIZE as libc::off_t {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Self::map(descriptor)
    }

    fn map(descriptor: &OwnedFd) -> io::Result<Self> {
        // SAFETY: a new place, of which nothing is known yet.
        let place = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let layout = NonNull::new(place.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Segment {
            layout,
            back: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
            taking: AtomicUsize::new(0),
            puts: AtomicBool::new(false),
        })
    }

    // The VM.

    /// Puts a frame there for the process, if there is room.
    pub fn offer(&self, frame: &[u8]) -> bool {
        let put = alone(&self.puts, || self.layout().to_process.put(frame)).unwrap_or(false);
        if put {
            self.wake();
        }
        put
    }

    /// Lays a request there, behind the others. None if there is no room. One thread at a time.
    pub fn lay(&self, frame: &[u8]) -> Option<usize> {
        let at = self.ahead.load(Ordering::Relaxed);
        self.ahead(at).put(frame).then(|| {
            self.ahead.store(at + 1, Ordering::Relaxed);
            self.wake();
            at
        })
    }

    pub fn has_room_ahead(&self) -> bool {
        self.ahead(self.next_ahead()).state.load(Ordering::SeqCst) == FREE
    }

    /// Where the next one would lie.
    pub fn next_ahead(&self) -> usize {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Whether a request that was laid there is there still. As for the next two, no later one is in its place yet.
    pub fn lies(&self, at: usize) -> bool {
        self.ahead(at).state.load(Ordering::SeqCst) == THERE
    }

    /// Takes a request back. False if the process has taken it.
    pub fn take_back(&self, at: usize) -> bool {
        self.ahead(at).change(THERE, GONE).is_ok()
    }

    /// The process is to take it before it looks at what comes by the socket from here on.
    pub fn set_due(&self, at: usize) {
        let _taken = self.ahead(at).change(THERE, DUE);
    }

    /// Whether its main thread has to be woken.
    pub fn is_asleep(&self) -> bool {
        self.layout().sleeps.0.load(Ordering::Relaxed) != 0
    }

    /// Whether threads of the process look there while they wait.
    pub fn is_listening(&self) -> bool {
        self.layout().listens.0.load(Ordering::SeqCst) != 0
    }

    /// Whether there is a frame for the VM.
    pub fn has_frame(&self) -> bool {
        self.back().state.load(Ordering::SeqCst) >= THERE
    }

    /// Takes it. False if there is none. One thread at a time.
    pub fn take_frame(&self, bytes: &mut Vec<u8>) -> Result<bool, Broken> {
        let place = self.back();
        match place.state.load(Ordering::SeqCst) {
            FREE => return Ok(false),
            THERE => {}
            _ => return Err(Broken("a frame is in an impossible state")),
        }
        let read = match place.length.load(Ordering::Relaxed) {
            ELSEWHERE => {
                let large = &self.layout().large_to_vm;
                let read = large.read(bytes);
                large.state.store(FREE, Ordering::SeqCst);
                read
            }
            _ => place.read(bytes),
        };
        self.step();
        place.state.store(FREE, Ordering::SeqCst);
        read.map(|()| true)
            .ok_or(Broken("a frame has an impossible length"))
    }

    /// From here on the process rings for what it puts there, once. What it has put there before is to be looked for.
    pub fn arm(&self) {
        self.layout().armed.0.store(ALWAYS, Ordering::SeqCst);
    }

    /// The same, but for what nobody waits for in the process it rings when that has nothing to do any more. Somebody is
    /// to look every now and then.
    pub fn arm_for_idle(&self) {
        self.layout().armed.0.store(IDLE, Ordering::SeqCst);
    }

    /// Somebody looks.
    pub fn disarm(&self) {
        self.layout().armed.0.store(NEVER, Ordering::SeqCst);
    }

    /// How many frames the process has handled.
    pub fn handled(&self) -> u64 {
        self.layout().handled.0.load(Ordering::Acquire)
    }

    pub fn set_heard(&self, count: u64) {
        self.layout().heard.0.store(count, Ordering::Release);
    }

    // The process.

    pub fn has_request(&self) -> bool {
        self.layout().to_process.state.load(Ordering::SeqCst) == THERE
    }

    /// Takes the frame for the process, if there is one. It counts as taken until `accepted`.
    pub fn take_request(&self, bytes: &mut Vec<u8>) -> bool {
        let place = &self.layout().to_process;
        if !self.has_request() {
            return false;
        }
        self.taking.fetch_add(1, Ordering::SeqCst);
        let taken = place.change(THERE, TAKEN).is_ok() && place.read(bytes).is_some();
        if !taken {
            self.taking.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }

    /// What was taken can be found from here on.
    pub fn accepted(&self) {
        let state = &self.layout().to_process.state;
        state.store(FREE, Ordering::SeqCst);
        self.taking.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a thread has taken one and not found out yet what it is. Seen after its place was found free, it has.
    pub fn is_taken(&self) -> bool {
        self.taking.load(Ordering::SeqCst) > 0
    }

    fn ahead(&self, at: usize) -> &Place<{ LIGHT / 8 }> {
        &self.layout().ahead[at % AHEAD]
    }

    /// Whether there is anything for its main thread.
    pub fn has_work(&self) -> bool {
        self.has_request() || self.has_ahead()
    }

    pub fn has_ahead(&self) -> bool {
        let next = self.ahead(self.ahead.load(Ordering::SeqCst));
        matches!(next.state.load(Ordering::SeqCst), THERE | DUE | GONE)
    }

    /// Takes the next of those that lie ahead, if there is one, and that is due if it has to be. It counts as taken until
    /// `accepted_ahead`.
    pub fn take_ahead(&self, due: bool, bytes: &mut Vec<u8>) -> Option<usize> {
        if !self.has_ahead() {
            return None;
        }
        self.taking.fetch_add(1, Ordering::SeqCst);
        let taken = self.take_next(due, bytes);
        if taken.is_none() {
            self.taking.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }

    fn take_next(&self, due: bool, bytes: &mut Vec<u8>) -> Option<usize> {
        loop {
            let at = self.ahead.load(Ordering::SeqCst);
            let place = self.ahead(at);
            let state = match place.state.load(Ordering::SeqCst) {
                THERE if due => return None,
                state @ (THERE | DUE | GONE) => state,
                _ => return None,
            };
            if place.change(state, TAKEN).is_err() {
                continue;
            }
            // Another thread may have taken that one, and this be a later one in its place.
            if self.ahead.load(Ordering::SeqCst) != at {
                place.state.store(state, Ordering::SeqCst);
                continue;
            }
            self.ahead.store(at + 1, Ordering::SeqCst);
            if state != GONE && place.read(bytes).is_some() {
                return Some(at);
            }
            place.state.store(FREE, Ordering::SeqCst);
        }
    }

    /// What was taken can be found from here on.
    pub fn accepted_ahead(&self, at: usize) {
        self.ahead(at).state.store(FREE, Ordering::SeqCst);
        self.taking.fetch_sub(1, Ordering::SeqCst);
    }

    /// Puts a frame there for the VM, if there is room and no other thread is about to do so.
    pub fn put(&self, frame: &[u8]) -> bool {
        alone(&self.puts, || self.put_next(frame)).unwrap_or(false)
    }

    fn put_next(&self, frame: &[u8]) -> bool {
        let place = self.back();
        if frame.len() > ROOM || place.state.load(Ordering::SeqCst) != FREE {
            return false;
        }
        if frame.len() <= LIGHT {
            place.write(frame);
        } else if self.layout().large_to_vm.put(frame) {
            place.length.store(ELSEWHERE, Ordering::Relaxed);
        } else {
            return false;
        }
        self.step();
        place.state.store(THERE, Ordering::SeqCst);
        true
    }

    /// Whether the VM is to be rung for a frame that was put there. True once. `waits`: the process waits for what comes
    /// of it.
    pub fn rings(&self, waits: bool) -> bool {
        let armed = &self.layout().armed.0;
        let rings = |armed| armed == ALWAYS || waits && armed == IDLE;
        rings(armed.load(Ordering::SeqCst)) && armed.swap(NEVER, Ordering::SeqCst) != NEVER
    }

    /// The same for a process that is at nothing any more.
    pub fn rings_as_idle(&self) -> bool {
        let last = self.back.load(Ordering::SeqCst).wrapping_sub(1);
        let last = &self.layout().to_vm[last % BACK];
        last.state.load(Ordering::SeqCst) != FREE && self.rings(true)
    }

    /// The current thread looks there, as long as the result lives. Then it is to look once more.
    pub fn listen(&self) -> Listening<'_> {
        let listens = &self.layout().listens.0;
        listens.fetch_add(1, Ordering::SeqCst);
        Listening(listens)
    }

    pub fn set_handled(&self, count: u64) {
        self.layout().handled.0.store(count, Ordering::Release);
    }

    /// How many frames the VM has handled.
    pub fn heard(&self) -> u64 {
        self.layout().heard.0.load(Ordering::Acquire)
    }

    /// Sleeps until it is woken, a signal comes or the time is over, unless there is something to do already.
    pub fn sleep(&self, longest: Duration, has_work: impl Fn() -> bool) {
        let sleeps = &self.layout().sleeps.0;
        // In one order with what wakes: either this sees what there is to do, or that sees this asleep.
        sleeps.store(1, Ordering::SeqCst);
        if !has_work() {
            futex::wait(sleeps, 1, longest);
        }
        sleeps.store(0, Ordering::SeqCst);
    }

    /// Wakes the one that sleeps. Never waits.
    pub fn wake(&self) {
        let sleeps = &self.layout().sleeps.0;
        if sleeps.load(Ordering::SeqCst) != 0 && sleeps.swap(0, Ordering::SeqCst) != 0 {
            futex::wake(sleeps);
        }
    }
}

/// Does something, unless another thread is at it.
fn alone<T>(taken: &AtomicBool, work: impl FnOnce() -> T) -> Option<T> {
    if taken.swap(true, Ordering::SeqCst) {
        return None;
    }
    let done = work();
    taken.store(false, Ordering::SeqCst);
    Some(done)
}

pub struct Listening<'s>(&'s AtomicU32);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const SIZE: usize = size_of::<Layout>();

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, with this size; nobody has a reference into it any more.
        unsafe { libc::munmap(self.layout.as_ptr().cast(), SIZE) };
    }
}

#[cfg(target_os = "linux")]
mod futex {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    /// Sleeps if the number is this one.
    pub fn wait(number: &AtomicU32, seen: u32, longest: Duration) {
        let time = libc::timespec {
            tv_sec: longest.as_secs() as libc::time_t,
            tv_nsec: longest.subsec_nanos() as libc::c_long,
        };
        // SAFETY: a number in memory that lives, and a time.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                number.as_ptr(),
                libc::FUTEX_WAIT,
                seen,
                &time,
            )
        };
    }

    pub fn wake(number: &AtomicU32) {
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_futex, number.as_ptr(), libc::FUTEX_WAKE, 1) };
    }
}

// There is no segment.
#[cfg(not(target_os = "linux"))]
mod futex {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    pub fn wait(_number: &AtomicU32, _seen: u32, longest: Duration) {
        std::thread::sleep(longest);
    }

    pub fn wake(_number: &AtomicU32) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn pair() -> (Segment, Segment, File) {
        let (vm, descriptor) = Segment::create().unwrap();
        let process = Segment::open(&descriptor).unwrap();
        (vm, process, File::from(descriptor))
    }

    #[test]
    fn a_frame_goes_there_and_one_comes_back() {
        let (vm, process, _) = pair();
        let mut bytes = Vec::new();
        for length in [0, 1, 7, 8, 9, 100, LIGHT, LIGHT + 1, ROOM, 5] {
            let frame: Vec<u8> = (0..length).map(|at| at as u8).collect();
            assert!(vm.offer(&frame) && !vm.offer(&frame));
            assert!(process.has_request() && process.take_request(&mut bytes));
            assert_eq!(bytes, frame);
            assert!(process.is_taken() && !process.take_request(&mut bytes));
            process.accepted();
            assert!(!vm.has_frame() && !vm.take_frame(&mut bytes).unwrap());
            // Of large ones there may be one at a time.
            assert!(process.put(&frame) && process.put(&frame) == (length <= LIGHT));
            let more: Vec<_> = (0..BACK as u8).filter(|at| process.put(&[*at])).collect();
            assert_eq!(more.len(), BACK - 1 - usize::from(length <= LIGHT));
            for _ in 0..1 + usize::from(length <= LIGHT) {
                assert!(vm.has_frame() && vm.take_frame(&mut bytes).unwrap());
                assert_eq!(bytes, frame);
            }
            for at in more {
                assert!(vm.take_frame(&mut bytes).unwrap() && bytes == [at]);
            }
            assert!(!vm.has_frame() && !vm.take_frame(&mut bytes).unwrap());
        }
        assert!(!vm.offer(&[0; ROOM + 1]) && !process.put(&[0; ROOM + 1]));
    }

    #[test]
    fn no_frame_lies_there_of_which_nobody_knows() {
        let (vm, process, _) = pair();
        for _ in 0..2_000 {
            vm.disarm();
            std::thread::scope(|scope| {
                let rings = scope.spawn(|| process.put(b"frame") && process.rings(false));
                vm.arm();
                let seen = vm.has_frame();
                assert!(rings.join().unwrap() || seen);
            });
            assert!(vm.take_frame(&mut Vec::new()).unwrap());
            assert!(process.put(b"frame"));
            assert!(vm.take_frame(&mut Vec::new()).unwrap());
        }
    }

    #[test]
    fn one_that_looks_now_and_then_is_rung_for_by_a_process_that_waits_or_is_idle() {
        let (vm, process, _) = pair();
        vm.arm_for_idle();
        assert!(process.put(b"frame") && !process.rings(false));
        assert!(process.rings_as_idle() && !process.rings_as_idle());
        vm.arm_for_idle();
        assert!(process.put(b"frame") && process.rings(true) && !process.rings(true));
        vm.arm_for_idle();
        while vm.take_frame(&mut Vec::new()).unwrap() {}
        assert!(!process.rings_as_idle());
        vm.arm();
        assert!(process.put(b"frame") && process.rings(false));
    }

    #[test]
    fn no_frame_lies_there_for_a_thread_that_listens_no_more() {
        let (vm, process, _) = pair();
        for _ in 0..2_000 {
            let listening = process.listen();
            std::thread::scope(|scope| {
                let nudges = scope.spawn(|| vm.offer(b"frame") && !vm.is_listening());
                drop(listening);
                let seen = process.has_request();
                assert!(nudges.join().unwrap() || seen);
            });
            assert!(process.take_request(&mut Vec::new()));
            process.accepted();
        }
    }

    /// As `engine/process/at_once.rs` says: who reads the socket, and another one that looks.
    #[test]
    fn no_frame_overtakes_another_one_by_the_socket_or_by_this() {
        const COUNT: u64 = 50_000;
        let (vm, process, _) = pair();
        let (socket, end) = std::sync::mpsc::channel();
        let reading = std::sync::Mutex::new(0);
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let handle = |last: &mut u64, number| {
            assert_eq!(number, *last + 1);
            *last = number;
        };
        let take = |last: &mut u64| {
            let mut bytes = Vec::new();
            while vm.take_frame(&mut bytes).unwrap() {
                handle(last, u64::from_ne_bytes(bytes[..].try_into().unwrap()));
            }
        };
        /// Whatever happens.
        struct Ends<'a>(&'a std::sync::atomic::AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        std::thread::scope(|scope| {
            let ends = Ends(&is_over);
            scope.spawn(move || {
                let mut sent = 0;
                for number in 1..=COUNT {
                    let put = number % 7 != 0
                        && process.heard() == sent
                        && process.put(&number.to_ne_bytes());
                    if !put {
                        sent += 1;
                        if socket.send(number).is_err() {
                            return;
                        }
                    }
                    if number % 11 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if vm.has_frame()
                        && let Ok(mut last) = reading.try_lock()
                    {
                        take(&mut last);
                    }
                }
            });
            for (at, number) in end.iter().enumerate() {
                let mut last = reading.lock().unwrap();
                take(&mut last);
                handle(&mut last, number);
                vm.set_heard(at as u64 + 1);
            }
            take(&mut reading.lock().unwrap());
            drop(ends);
            assert_eq!(*reading.lock().unwrap(), COUNT);
        });
    }

    #[test]
    fn threads_that_put_frames_at_once_leave_no_place_out() {
        let (vm, process, _) = pair();
        let count = std::thread::scope(|scope| {
            let putting: Vec<_> = (0..4u8)
                .map(|thread| {
                    let process = &process;
                    scope.spawn(move || {
                        let put = (0..20_000).filter(|_| process.put(&[thread]));
                        put.count()
                    })
                })
                .collect();
            let mut taken = 0;
            let mut bytes = Vec::new();
            while putting.iter().any(|thread| !thread.is_finished()) {
                taken += usize::from(vm.take_frame(&mut bytes).unwrap());
            }
            while vm.take_frame(&mut bytes).unwrap() {
                taken += 1;
            }
            let put = putting.into_iter().map(|thread| thread.join().unwrap());
            assert_eq!(put.sum::<usize>(), taken);
            taken
        });
        assert!(count > 0);
    }

    #[test]
    fn what_lies_ahead_is_taken_in_its_order_or_taken_back() {
        let (vm, process, _) = pair();
        let mut bytes = Vec::new();
        for _ in 0..3 * AHEAD {
            let laid: Vec<_> = (0..AHEAD as u8).map(|at| vm.lay(&[at]).unwrap()).collect();
            assert!(vm.lay(b"one more").is_none());
            assert!(!process.has_request() && process.has_work());
            // Who reads the socket leaves it, unless it is due.
            assert!(process.take_ahead(true, &mut bytes).is_none());
            vm.set_due(laid[0]);
            assert!(!vm.take_back(laid[0]) && !vm.lies(laid[0]));
            let at = process.take_ahead(true, &mut bytes).unwrap();
            assert!(bytes == [0] && process.is_taken());
            process.accepted_ahead(at);
            assert!(!process.is_taken());
            // Those that are gone are passed over.
            for &at in &laid[1..] {
                assert!(vm.lies(at) && (at % 3 != 0 || vm.take_back(at)));
            }
            for (number, &at) in laid.iter().enumerate().skip(1) {
                if at % 3 == 0 {
                    continue;
                }
                assert_eq!(process.take_ahead(false, &mut bytes), Some(at));
                assert_eq!(bytes, [number as u8]);
                assert!(!vm.take_back(at));
                process.accepted_ahead(at);
            }
            assert!(process.take_ahead(false, &mut bytes).is_none() && !process.has_work());
        }
        assert!(vm.lay(&[0; LIGHT + 1]).is_none());
    }

    #[test]
    fn each_that_lies_ahead_is_taken_once_or_taken_back() {
        let (vm, process, _) = pair();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let (mut laid, mut back) = (0, 0);
        let taken = std::thread::scope(|scope| {
            let taking: Vec<_> = [false, true]
                .map(|due| {
                    let (process, is_over) = (&process, &is_over);
                    scope.spawn(move || {
                        let mut bytes = Vec::new();
                        let mut taken = 0;
                        loop {
                            let last = is_over.load(Ordering::SeqCst);
                            match process.take_ahead(due, &mut bytes) {
                                Some(at) => {
                                    taken += 1;
                                    process.accepted_ahead(at);
                                }
                                None if last => break taken,
                                None => {}
                            }
                        }
                    })
                })
                .into();
            for number in 0..100_000u32 {
                if let Some(at) = vm.lay(&number.to_ne_bytes()) {
                    laid += 1;
                    match number % 4 {
                        0 => back += usize::from(vm.take_back(at)),
                        1 => vm.set_due(at),
                        _ => {}
                    }
                }
            }
            is_over.store(true, Ordering::SeqCst);
            let taken = taking.into_iter().map(|thread| thread.join().unwrap());
            taken.sum::<usize>()
        });
        assert_eq!(laid, taken + back);
    }

    #[test]
    fn what_a_process_writes_breaks_its_own_calls_alone() {
        let (vm, process, file) = pair();
        let mut bytes = Vec::new();
        // It cannot be made shorter or longer, nor be given other seals.
        assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
        let (large, small) = (
            size_of::<Place<{ ROOM / 8 }>>(),
            size_of::<Place<{ LIGHT / 8 }>>(),
        );
        let place = |at: u64| 2 * large as u64 + at * small as u64;
        for (at, length) in (0..).zip([LIGHT as u32 + 1, 1 << 31, u32::MAX - 1]) {
            assert!(process.put(b"frame"));
            file.write_all_at(&length.to_ne_bytes(), place(at) + 4)
                .unwrap();
            assert!(vm.take_frame(&mut bytes).is_err());
        }
        // One that is said to be where there is none.
        assert!(process.put(b"frame"));
        file.write_all_at(&ELSEWHERE.to_ne_bytes(), place(3) + 4)
            .unwrap();
        file.write_all_at(&u32::MAX.to_ne_bytes(), large as u64 + 4)
            .unwrap();
        assert!(vm.take_frame(&mut bytes).is_err());
        let there = place(4);
        for state in [THERE + 1, 77, u32::MAX] {
            file.write_all_at(&state.to_ne_bytes(), there).unwrap();
            assert!(vm.has_frame() && vm.take_frame(&mut bytes).is_err());
        }
        file.write_all_at(&FREE.to_ne_bytes(), there).unwrap();
        for state in [1, THERE, TAKEN, 77] {
            file.write_all_at(&state.to_ne_bytes(), 0).unwrap();
            assert!(!vm.offer(b"request"));
        }
        // A length that changes while it is read: what is read is of one of them.
        let (vm, process, file) = pair();
        let place = place(0);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut length = 0u32;
                while !stop.load(Ordering::Relaxed) {
                    length = length.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let _ = file.write_all_at(&(length >> 16).to_ne_bytes(), place + 4);
                }
            });
            for _ in 0..20_000 {
                assert!(process.put(&[7; 100]));
                if let Ok(read) = vm.take_frame(&mut bytes) {
                    assert!(read && bytes.len() <= ROOM);
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn one_that_sleeps_is_woken_by_a_request() {
        let (vm, process, _) = pair();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                let mut bytes = Vec::new();
                for _ in 0..1_000 {
                    while !process.take_request(&mut bytes) {
                        process.sleep(Duration::from_secs(60), || process.has_request());
                    }
                    process.accepted();
                }
            });
            while !sleeper.is_finished() {
                vm.offer(b"request");
            }
        });
    }
}
