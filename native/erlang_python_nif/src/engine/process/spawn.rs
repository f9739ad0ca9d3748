//! Starting processes of the operating system.
//!
//! All are started by one thread that never ends: Linux can tell a process of its parent's end, and means by that
//! the thread which has started it.

use super::guard::Guard;
use super::link::Link;
use crate::base::inbox::Inbox;
use crate::base::once::start_once;
use erlang_python_wire::Writer;
use erlang_python_wire::frame::to_worker;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What is to be started.
pub struct Command {
    /// The program, which is looked for on `PATH` if it is no path, and its arguments.
    pub arguments: Vec<CString>,
    /// All of its environment, `NAME=value`.
    pub environment: Vec<CString>,
    pub folder: Option<CString>,
}

/// A process, the leader of a group of its own.
pub struct Child {
    pub guard: Guard,
    /// Its descriptor 0 is the other end.
    pub socket: UnixStream,
    /// What it writes to its descriptors 1 and 2.
    pub output: [io::PipeReader; 2],
    /// Can be read when its guard has ended, or is about to. None where the system has none.
    pub end: Option<OwnedFd>,
}

type Done = Box<dyn FnOnce(io::Result<Child>) + Send>;

/// How a process is to be started.
pub enum Start {
    Program(Command),
    /// It is forked from another one.
    Fork(Arc<Link>),
}

static STARTS: Inbox<(Start, Done)> = Inbox::new();

/// Starts a process. `done` is called with what has come of it, by the thread that starts them all.
pub fn spawn(what: Start, done: Done) -> io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    start_once(&STARTED, || {
        // The VM ignores it, and nobody could wait for the end of a child then. Its own children are those of
        // a helper process, so it does not mind the default.
        // SAFETY: SIG_DFL is a valid disposition.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        std::thread::Builder::new()
            .name("py_spawner".into())
            .spawn(run)
            .map(drop)
    })?;
    STARTS.post((what, done));
    Ok(())
}

fn run() {
    loop {
        for (what, done) in STARTS.wait(None) {
            done(match what {
                Start::Program(command) => start(&command),
                Start::Fork(template) => fork(&template),
            });
        }
    }
}

/// The ways between the VM and a process: our ends, and the process's.
fn ways() -> io::Result<(UnixStream, [io::PipeReader; 2], [OwnedFd; 3])> {
    let (socket, its_socket) = UnixStream::pair()?;
    let (output, its_output) = io::pipe()?;
    let (errors, its_errors) = io::pipe()?;
    socket.set_nonblocking(true)?;
    for pipe in [output.as_raw_fd(), errors.as_raw_fd()] {
        set_nonblocking(pipe)?;
    }
    // Out of the way of what they are to become.
    let descriptors = [
        above_standard(its_socket.as_raw_fd())?,
        above_standard(its_output.as_raw_fd())?,
        above_standard(its_errors.as_raw_fd())?,
    ];
    Ok((socket, [output, errors], descriptors))
}

fn start(command: &Command) -> io::Result<Child> {
    let (socket, output, descriptors) = ways()?;
    let pid = posix_spawn(command, &descriptors)?;
    Ok(Child {
        guard: Guard::Child(pid),
        socket,
        output,
        end: end_of(pid),
    })
}

/// Asks a template for a process. Should it end before it has forked one, the ends of that are closed.
fn fork(template: &Link) -> io::Result<Child> {
    let (socket, output, descriptors) = ways()?;
    let (guard, its_guard) = UnixStream::pair()?;
    let end = OwnedFd::from(guard.try_clone()?);
    // By one thread, so that those of two processes do not mix.
    for descriptor in descriptors.into_iter().chain([its_guard.into()]) {
        let file = Arc::new(File::from(descriptor));
        template.send_with(Writer::frame(to_worker::HAND), file);
    }
    template.kick.kick();
    Ok(Child {
        guard: Guard::Apart(guard),
        socket,
        output,
        end: Some(end),
    })
}

/// A copy that is none of the first three.
fn above_standard(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: an open descriptor; the copy is nobody else's.
    unsafe {
        match libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) {
            -1 => Err(io::Error::last_os_error()),
            copy => Ok(OwnedFd::from_raw_fd(copy)),
        }
    }
}

fn set_nonblocking(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: an open descriptor.
    let set = unsafe {
        let flags = libc::fcntl(descriptor, libc::F_GETFL);
        flags >= 0 && libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK) == 0
    };
    set.then_some(()).ok_or_else(io::Error::last_os_error)
}

/// What can be read when a child has ended.
fn end_of(pid: libc::pid_t) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: no preconditions; the descriptor is nobody else's.
        unsafe {
            let descriptor = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            (descriptor >= 0).then(|| OwnedFd::from_raw_fd(descriptor as RawFd))
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        None
    }
}

/// What is done in the child before the program, and how it is started.
struct Preparation {
    actions: libc::posix_spawn_file_actions_t,
    attributes: libc::posix_spawnattr_t,
}

impl Preparation {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: places to be initialised, which are when that succeeds.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            if let Err(error) = check(libc::posix_spawnattr_init(attributes.as_mut_ptr())) {
                libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
                return Err(error);
            }
            Ok(Preparation {
                actions: actions.assume_init(),
                attributes: attributes.assume_init(),
            })
        }
    }

    /// Its first descriptors are these, and it has no others of the VM's, which marks none as its own.
    fn set_descriptors(&mut self, descriptors: &[OwnedFd; 3]) -> io::Result<()> {
        for (to, from) in descriptors.iter().enumerate() {
            // SAFETY: initialised actions.
            check(unsafe {
                libc::posix_spawn_file_actions_adddup2(
                    &mut self.actions,
                    from.as_raw_fd(),
                    to as RawFd,
                )
            })?;
        }
        type CloseFrom =
            unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, libc::c_int) -> libc::c_int;
        // SAFETY: the function has this signature wherever it exists.
        let close_from: Option<CloseFrom> =
            unsafe { std::mem::transmute(find(c"posix_spawn_file_actions_addclosefrom_np")) };
        if let Some(close_from) = close_from {
            // SAFETY: initialised actions.
            return check(unsafe { close_from(&mut self.actions, 3) });
        }
        for descriptor in open_descriptors() {
            // One that is closed meanwhile is no error.
            // SAFETY: initialised actions.
            check(unsafe {
                libc::posix_spawn_file_actions_addclose(&mut self.actions, descriptor)
            })?;
        }
        Ok(())
    }

    fn set_folder(&mut self, folder: &CStr) -> io::Result<()> {
        type ChangeFolder = unsafe extern "C" fn(
            *mut libc::posix_spawn_file_actions_t,
            *const libc::c_char,
        ) -> libc::c_int;
        // SAFETY: the function has this signature wherever it exists.
        let change: Option<ChangeFolder> =
            unsafe { std::mem::transmute(find(c"posix_spawn_file_actions_addchdir_np")) };
        let change = change.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "this system cannot start a process in another folder",
            )
        })?;
        // SAFETY: initialised actions, and text that they copy.
        check(unsafe { change(&mut self.actions, folder.as_ptr()) })
    }

    /// A group of its own, and signals as a program finds them that a shell starts.
    fn set_attributes(&mut self) -> io::Result<()> {
        let mut all = MaybeUninit::uninit();
        let mut none = MaybeUninit::uninit();
        let flags = libc::POSIX_SPAWN_SETPGROUP
            | libc::POSIX_SPAWN_SETSIGDEF
            | libc::POSIX_SPAWN_SETSIGMASK;
        let attributes = &mut self.attributes;
        // SAFETY: initialised attributes, and sets of signals, which are written before they are read.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::sigdelset(all.as_mut_ptr(), libc::SIGKILL);
            libc::sigdelset(all.as_mut_ptr(), libc::SIGSTOP);
            libc::sigemptyset(none.as_mut_ptr());
            check(libc::posix_spawnattr_setflags(attributes, flags as _))?;
            check(libc::posix_spawnattr_setpgroup(attributes, 0))?;
            check(libc::posix_spawnattr_setsigdefault(
                attributes,
                all.as_ptr(),
            ))?;
            check(libc::posix_spawnattr_setsigmask(attributes, none.as_ptr()))
        }
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        // SAFETY: both were initialised.
        unsafe {
            libc::posix_spawn_file_actions_destroy(&mut self.actions);
            libc::posix_spawnattr_destroy(&mut self.attributes);
        }
    }
}

/// A function that not every libc has.
fn find(name: &CStr) -> *mut libc::c_void {
    // SAFETY: a name.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

fn open_descriptors() -> Vec<RawFd> {
    let folder = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&descriptor: &RawFd| descriptor > 2)
        .collect()
}

/// Without a copy of the VM's memory, however large that is.
fn posix_spawn(command: &Command, descriptors: &[OwnedFd; 3]) -> io::Result<libc::pid_t> {
    let mut preparation = Preparation::new()?;
    if let Some(folder) = &command.folder {
        preparation.set_folder(folder)?;
    }
    preparation.set_descriptors(descriptors)?;
    preparation.set_attributes()?;
    let arguments = pointers(&command.arguments);
    let environment = pointers(&command.environment);
    let program = command.arguments.first().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "there is no program to start")
    })?;
    let mut pid = 0;
    // SAFETY: initialised actions and attributes, and lists of texts that end with null.
    check(unsafe {
        libc::posix_spawnp(
            &mut pid,
            program.as_ptr(),
            &preparation.actions,
            &preparation.attributes,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Ok(pid)
}

fn pointers(texts: &[CString]) -> Vec<*mut libc::c_char> {
    let pointers = texts.iter().map(|text| text.as_ptr().cast_mut());
    pointers.chain([ptr::null_mut()]).collect()
}

fn check(error: libc::c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::mpsc;

    fn run(arguments: &[&str], folder: Option<&str>) -> io::Result<Child> {
        let text = |text: &str| CString::new(text).unwrap();
        let (done, started) = mpsc::channel();
        let command = Command {
            arguments: arguments.iter().map(|argument| text(argument)).collect(),
            environment: vec![text("PATH=/usr/bin:/bin"), text("KEY=value")],
            folder: folder.map(text),
        };
        spawn(
            Start::Program(command),
            Box::new(move |child| done.send(child).unwrap()),
        )?;
        started.recv().unwrap()
    }

    fn output(child: Child) -> String {
        assert_eq!(child.guard.wait(), Some(0));
        let [mut output, _] = child.output;
        let mut text = String::new();
        let _ = output.read_to_string(&mut text);
        text
    }

    #[test]
    fn a_process_has_the_folder_and_the_environment_that_it_is_given_and_no_descriptors() {
        let script = "pwd; echo $KEY; ls /proc/self/fd 2>/dev/null | wc -l; trap";
        let child = run(&["sh", "-c", script], Some("/")).unwrap();
        // The fourth is that of the folder which is being listed.
        assert_eq!(output(child), "/\nvalue\n4\n");
    }

    #[test]
    fn what_cannot_be_started_is_an_error() {
        let error = |arguments: &[&str], folder| run(arguments, folder).err().unwrap().kind();
        assert_eq!(error(&["no-such-program"], None), io::ErrorKind::NotFound);
        assert_eq!(error(&["sh"], Some("/no/such")), io::ErrorKind::NotFound);
        assert_eq!(error(&[], None), io::ErrorKind::InvalidInput);
    }
}
