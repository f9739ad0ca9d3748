//! The thread of a link: it reads what the worker says and writes, and notices its end.

use super::at_once::{self, Seat};
use super::frames::Frames;
use super::guard::Guard;
use super::incoming;
use super::lines::Lines;
use super::link::{Killed, Link, Stage};
use super::over;
use super::owner;
use super::spawn::Child;
use crate::base::atoms;
use crate::base::clock;
use crate::base::term_env::{SavedTerm, Sender};
use erlang_python_wire::frame::to_vm;
use rustler::{Encoder, NewBinary, Term};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether the worker has ended, where the system does not tell.
const LOOK: Duration = Duration::from_millis(10);

/// How long a process may live on that does not listen any more.
const DEAF: Duration = Duration::from_millis(500);

/// Begins to listen to a worker that was started.
pub fn start(link: &Arc<Link>, child: Child) -> io::Result<()> {
    link.kick.open()?;
    let Child {
        guard,
        socket,
        output,
        end,
    } = child;
    link.outbox.open(socket.try_clone()?);
    let pid = match guard {
        Guard::Child(pid) => pid,
        Guard::Apart(_) => 0,
    };
    link.set_guard(guard);
    let late = Arc::downgrade(link);
    let time = link.patience.start;
    let listener = Arc::clone(link);
    std::thread::Builder::new()
        .name(format!("py_link_{}", link.number))
        .spawn(move || {
            if let Some(sender) = Sender::own_thread() {
                sleep_no_longer();
                Listener::new(listener, socket, output, end, pid).run(sender);
            }
        })?;
    clock::after(time, move |_, _| {
        let link = late.upgrade()?;
        // A spare one stays at that until its turn comes.
        if link.stage() == Stage::Starting && !link.wear.is_ready() {
            link.set_report(format!("it was not ready within {} ms", time.as_millis()));
            link.kill(Killed::Late);
        }
        None
    });
    Ok(())
}

struct Listener {
    link: Arc<Link>,
    socket: Option<UnixStream>,
    frames: Frames,
    /// How many frames there were.
    count: u64,
    output: [Option<(PipeReader, Lines)>; 2],
    /// Python's report of a fatal error.
    report: Option<Vec<u8>>,
    end: Option<OwnedFd>,
    pid: libc::pid_t,
}

/// What there is to be read.
struct Readable {
    socket: bool,
    output: [bool; 2],
    kicked: bool,
    ended: bool,
}

impl Listener {
    fn new(
        link: Arc<Link>,
        socket: UnixStream,
        [output, errors]: [PipeReader; 2],
        end: Option<OwnedFd>,
        pid: libc::pid_t,
    ) -> Self {
        Listener {
            link,
            socket: Some(socket),
            frames: Frames::default(),
            count: 0,
            output: [
                Some((output, Lines::default())),
                Some((errors, Lines::default())),
            ],
            report: None,
            end,
            pid,
        }
    }

    fn run(mut self, sender: Sender) {
        let link = Arc::clone(&self.link);
        let mut seat = Seat::default();
        loop {
            self.do_errands();
            let more = at_once::serve(&link, &mut seat, sender).unwrap_or_else(|broken| {
                over::broken(&link, broken, sender);
                self.deaf();
                false
            });
            let longest = match more {
                true => Some(Duration::ZERO),
                false => seat.nap(),
            };
            let readable = self.wait(longest);
            self.link.kick.take(readable.kicked);
            for at in 0..2 {
                if readable.output[at] {
                    self.read_output(at, sender);
                }
            }
            if readable.socket {
                self.read(sender);
            }
            if readable.ended {
                break;
            }
        }
        self.finish(sender);
    }

    fn do_errands(&mut self) {
        // Before the errands, and sent after them: what is posted to an object comes before its release.
        let released = self.link.take_released();
        for errand in self.link.errands() {
            incoming::errand(&self.link, errand);
        }
        self.link.send_released(&released);
        self.link.outbox.write();
    }

    /// Until something is to be done, or for so long.
    fn wait(&self, longest: Option<Duration>) -> Readable {
        let blocked = if self.link.outbox.is_blocked() {
            libc::POLLOUT
        } else {
            0
        };
        let socket = self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let output = |at: usize| {
            let pipe = self.output[at].as_ref();
            pipe.map_or(-1, |(pipe, _)| pipe.as_raw_fd())
        };
        let end = self.end.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let poll = |fd: RawFd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let mut polled = [
            poll(socket, libc::POLLIN | blocked),
            poll(output(0), libc::POLLIN),
            poll(output(1), libc::POLLIN),
            poll(self.link.kick.descriptor(), libc::POLLIN),
            poll(end, libc::POLLIN),
        ];
        let look = self.end.is_none().then_some(LOOK);
        poll_all(&mut polled, longest.or(look));
        let readable = |at: usize| polled[at].revents & !libc::POLLOUT != 0;
        Readable {
            socket: readable(0),
            output: [readable(1), readable(2)],
            kicked: readable(3),
            ended: match self.end {
                Some(_) => readable(4),
                None => has_ended(self.pid),
            },
        }
    }

    /// Reads from the socket what is there.
    fn read(&mut self, sender: Sender) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let (link, count) = (&self.link, &mut self.count);
        let read = self.frames.read(socket, |frame| {
            // It has woken us, and does not count.
            if frame == [to_vm::BELL] {
                return Ok(());
            }
            *count += 1;
            at_once::in_turn(link, sender, || {
                incoming::numbered(link, frame, *count, sender)
            })
        });
        match read {
            Ok(true) => {}
            Ok(false) => self.deaf(),
            Err(broken) => {
                over::broken(&self.link, broken, sender);
                self.deaf();
            }
        }
    }

    /// It has closed its end, or nothing that it says can be understood.
    fn deaf(&mut self) {
        self.socket = None;
        let link = Arc::downgrade(&self.link);
        clock::after(DEAF, move |_, _| {
            link.upgrade()?.kill(Killed::Broken);
            None
        });
    }

    /// Hands on what was written to descriptor 1 or 2.
    fn read_output(&mut self, at: usize, sender: Sender) {
        let Some((pipe, lines)) = &mut self.output[at] else {
            return;
        };
        let mut bytes = [0; 8 << 10];
        let more = match pipe.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                lines.add(&bytes[..count]);
                true
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        };
        if let Some(text) = lines.take(!more) {
            tell(&self.link, at, &text, sender);
        }
        if !more && let Some((_, lines)) = self.output[at].take() {
            self.close_output(at, lines, sender);
        }
    }

    /// Reads what it has left, and settles what it was at.
    fn finish(mut self, sender: Sender) {
        while self.socket.as_ref().is_some_and(has_input) {
            self.read(sender);
        }
        if let Err(broken) = at_once::in_turn(&self.link, sender, || Ok(())) {
            over::broken(&self.link, broken, sender);
        }
        for at in 0..2 {
            while let Some((pipe, _)) = &self.output[at]
                && has_input(pipe)
            {
                self.read_output(at, sender);
            }
            if let Some((_, mut lines)) = self.output[at].take() {
                if let Some(text) = lines.take(true) {
                    tell(&self.link, at, &text, sender);
                }
                self.close_output(at, lines, sender);
            }
        }
        over::over(&self.link, sender);
        if let Some(report) = self.report.take()
            && !self.link.was_busy()
        {
            tell(&self.link, 1, &report, sender);
        }
    }

    /// Nothing more comes. A report of a fatal error is for the call that it was at, or else for all to see.
    fn close_output(&mut self, at: usize, mut lines: Lines, sender: Sender) {
        if at == 1 {
            over::note_report(&self.link, &lines);
            self.report = lines.take_report();
        } else if let Some(text) = lines.take_report() {
            tell(&self.link, at, &text, sender);
        }
    }
}

/// Short sleeps of this thread are not made longer, as Linux does to save wake-ups.
fn sleep_no_longer() {
    #[cfg(target_os = "linux")]
    // SAFETY: a number of ns for the current thread.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000 as libc::c_ulong);
    }
}

/// Waits until one of them is ready, or for so long. A negative descriptor is passed over.
#[cfg(target_os = "linux")]
fn poll_all(polled: &mut [libc::pollfd], longest: Option<Duration>) {
    let time = longest.map(|longest| libc::timespec {
        tv_sec: longest.as_secs() as libc::time_t,
        tv_nsec: longest.subsec_nanos() as _,
    });
    let time = time
        .as_ref()
        .map_or(std::ptr::null(), |time| &raw const *time);
    // SAFETY: an array of so many, and a time that lives.
    unsafe {
        libc::ppoll(
            polled.as_mut_ptr(),
            polled.len() as _,
            time,
            std::ptr::null(),
        )
    };
}

#[cfg(not(target_os = "linux"))]
fn poll_all(polled: &mut [libc::pollfd], longest: Option<Duration>) {
    let time = longest.map_or(-1, |longest| longest.as_millis().max(1) as libc::c_int);
    // SAFETY: an array of so many.
    unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, time) };
}

fn has_input(input: &impl AsRawFd) -> bool {
    let mut polled = libc::pollfd {
        fd: input.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one of them.
    unsafe { libc::poll(&mut polled, 1, 0) > 0 }
}

/// Whether a child has ended, which is not waited for by that.
fn has_ended(pid: libc::pid_t) -> bool {
    // SAFETY: a place for the answer, of which all zeroes is one.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let waited = libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, options);
        waited != 0 || info.si_pid() != 0
    }
}

/// `{:python_process, :output, descriptor, text}`.
fn tell(link: &Link, at: usize, text: &[u8], sender: Sender) {
    owner::tell(link, sender, |message| {
        let env = message.env();
        let mut binary = NewBinary::new(env, text.len());
        binary.copy_from_slice(text);
        let binary: Term = binary.into();
        let term = (
            atoms::python_process(),
            atoms::output(),
            at as u32 + 1,
            binary,
        );
        SavedTerm::save(term.encode(env))
    });
}
