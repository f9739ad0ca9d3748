//! Kinds of frames, and their fields.

/// From the VM to a worker.
pub mod to_worker {
    /// `u32` size, as many bytes: what an earlier worker has said by `COMPILED`. A term: a map of settings,
    /// which a template does not get. Once, first.
    pub const START: u8 = 1;
    /// `u64` request, `u32` flags, `u64` timeout in ms (`FOREVER`), `u64` callback that it is nested in (0: none),
    /// and three terms: the caller, its group leader, the operation.
    pub const RUN: u8 = 2;
    /// `u64` request, `u8` whether somebody listens for the location.
    pub const CANCEL: u8 = 3;
    /// `u64` request (0: the pool), a term: for `erlang.receive`.
    pub const MESSAGE: u8 = 4;
    /// `u64` callback, a term: `{:ok, value}` or `{:error, reason}`.
    pub const CALLBACK_ANSWER: u8 = 5;
    /// `u64` callback: the process that ran it has ended, or nobody can answer any more.
    pub const CALLBACK_DOWN: u8 = 6;
    /// `u32` count, as many `u64` numbers of objects which nobody has any more.
    pub const RELEASE: u8 = 7;
    /// Two terms: the name of a function, and what describes it.
    pub const REGISTER: u8 = 8;
    /// A term: the name.
    pub const UNREGISTER: u8 = 9;
    /// `u64` request, `u64` stream, `u64` callback (0: none), a term: the consumer. `ANSWER` has the chunk.
    pub const DEMAND: u8 = 10;
    /// `u64` stream: what there is of the chunk is wanted.
    pub const FLUSH: u8 = 11;
    /// As `DEMAND`: `ANSWER` says that it is closed.
    pub const CLOSE: u8 = 12;
    /// `u64` question, a term: what is said to it.
    pub const REPLY: u8 = 13;
    /// An orderly end.
    pub const STOP: u8 = 14;
    /// Two terms: the process that callbacks are sent to, and the registered functions.
    pub const SERVE: u8 = 15;
    /// `u64` number, `u64` size, `u8` whether to say `FREE` each time that nobody sees it any more: memory with
    /// large binaries. Its descriptor comes with the first byte of the frame.
    pub const MEMORY: u8 = 16;
    /// `u64` number: no frame refers to that memory any more.
    pub const FORGET: u8 = 17;
    /// Where the worker writes large binaries to. Its descriptor comes with the first byte of the frame.
    pub const TRAY: u8 = 18;
    /// `u32` how many more of those have been read.
    pub const TAKEN: u8 = 19;
    /// The tray is to be emptied, if all have been read.
    pub const TRIM: u8 = 20;
    /// Memory for small calls. Its descriptor comes with the first byte of the frame.
    pub const SEGMENT: u8 = 21;
    /// There is something in that memory that may not have been seen.
    pub const NUDGE: u8 = 22;
    /// As `MESSAGE`, for a request that `RUN` follows of.
    pub const AHEAD: u8 = 23;
    /// As `RUN`, with the time at which its caller gives up, of the clock that both sides have, in the place of a timeout.
    pub const RUN_UNTIL: u8 = 24;
    /// To a template only: a descriptor of a worker that is to be forked comes with it. Its socket, its output, its
    /// errors and the socket of its guard, one frame after the other.
    pub const HAND: u8 = 30;

    /// No timeout.
    pub const FOREVER: u64 = u64::MAX;

    /// Added to the number of a callback: what is asked for is run by the thread that waits for that, and is no part
    /// of it.
    pub const BESIDE: u64 = 1 << 63;
}

/// From a worker to the VM.
pub mod to_vm {
    /// `u32` `VERSION`, `u64` its process id, a term: a map that says which Python it is. First.
    pub const HELLO: u8 = 1;
    /// It can take requests.
    pub const READY: u8 = 2;
    /// `u64` request, `u8` flags (`answer`), a term: the answer. But for a part, the worker is free then.
    pub const ANSWER: u8 = 3;
    /// `u64` request, a term: where it was.
    pub const LOCATION: u8 = 4;
    /// `u64` request, a term for its caller, before the answer.
    pub const TOLD: u8 = 5;
    /// Two terms: a process, and a message for it.
    pub const SEND: u8 = 6;
    /// `u64` request: it has ended without an answer, for it was cancelled.
    pub const DONE: u8 = 7;
    /// `u32` count, as many `u64` numbers of terms which the worker does not have any more.
    pub const RELEASE_KEPT: u8 = 8;
    /// `u64` question, `u8` kind (`question`), a term. `REPLY` has what the VM says to it.
    pub const QUESTION: u8 = 9;
    /// `u64` callback: nobody waits for it any more.
    pub const OVER: u8 = 10;
    /// In place of `READY`, a term: why it cannot start.
    pub const FAILED: u8 = 12;
    /// `u64` number: nobody sees that memory (`MEMORY`) any more, so it can be written to again.
    pub const FREE: u8 = 13;
    /// There is something in the memory for small calls. It does not count among the frames.
    pub const BELL: u8 = 14;
    /// Bytes: its modules, compiled, for the workers after it. Before `READY`, if at all.
    pub const COMPILED: u8 = 15;
}

/// Flags of an answer.
pub mod answer {
    /// It failed.
    pub const FAILED: u8 = 1;
    /// It is a part of the answer: the request goes on.
    pub const PART: u8 = 1 << 1;
}

/// What a worker asks the VM.
pub mod question {
    /// A binary: is there such an atom?
    pub const IS_ATOM: u8 = 1;
    /// An atom: the pid of the process that is registered by this name, or `nil`.
    pub const WHEREIS: u8 = 2;
    /// A pid: does it live?
    pub const IS_ALIVE: u8 = 3;
    /// Anything: a new reference.
    pub const MAKE_REFERENCE: u8 = 4;
}
