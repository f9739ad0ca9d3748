//! Something to be held, on either side.

use crate::base::atoms;
use crate::base::clock;
use rustler::{LocalPid, Resource};

/// Tells a process when nobody has this any more.
pub struct Guard(pub LocalPid);

impl Resource for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        let pid = self.0;
        clock::soon(move |sender, _| {
            sender.send_immediate(&pid, atoms::dropped());
        });
    }
}
