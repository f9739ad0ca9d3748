//! Something to be held, on either side.

use crate::base::atoms;
use crate::base::clock;
use crate::base::term_env::TermEnv;
use rustler::{Encoder, LocalPid, Resource};

/// Tells a process when nobody has this any more: `:dropped`, or `{:dropped, number}` if it has one.
pub struct Guard {
    pub pid: LocalPid,
    pub number: Option<u64>,
}

impl Resource for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        let (pid, number) = (self.pid, self.number);
        clock::soon(move |sender, _| {
            match number {
                None => sender.send_immediate(&pid, atoms::dropped()),
                Some(number) => {
                    TermEnv::new().send(sender, &pid, |env| (atoms::dropped(), number).encode(env))
                }
            };
        });
    }
}
