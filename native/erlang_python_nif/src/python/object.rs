//! Handles: Python objects that the BEAM's garbage collector owns.

use crate::base::atoms;
use crate::base::ledger::Account;
use crate::python::growth::Turns;
use crate::python::handle::{self, Handle};
use crate::python::host;
use crate::python::weight::{self, Weight};
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::sys::{
    ErlNifEnv, ErlNifResourceFlags, ErlNifResourceType, enif_alloc_resource, enif_get_resource,
    enif_make_resource, enif_open_resource_type, enif_release_resource,
};
use rustler::{Env, Term};
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};

/// What the VM owns: a resource that begins with this. It is no `rustler::Resource`, as those of one type
/// are all of one size.
struct Held {
    /// With a reference. Null in that which keeps the type, and in ballast.
    object: *mut ffi::PyObject,
    /// Where there is a watch, its account is used.
    account: Account,
    watch: OnceLock<Arc<Watch>>,
    turns: Turns,
}

/// An object that was handed over while Python code had it, too: it is weighed again when that code has let
/// go of it (`growth`).
pub struct Watch {
    object: NonNull<ffi::PyObject>,
    /// Closed when the handle is gone.
    account: Account,
}

// SAFETY: the object is only touched with the GIL held, and not when the account is closed.
unsafe impl Send for Watch {}
// SAFETY: as above; the pointer itself never changes.
unsafe impl Sync for Watch {}

impl Watch {
    /// Whether both are handles to one object that are there.
    pub fn is_twin(&self, other: &Watch) -> bool {
        // The object of a handle that is gone may be, too, and another in its place.
        self.object == other.object && !self.account.is_closed() && !other.account.is_closed()
    }

    /// Weighs the object, if nobody but its handle and so many others, which bear their part of it, has it any
    /// more. False if somebody has.
    pub fn look(&self, py: Python<'_>, twins: usize) -> bool {
        self.weigh(py, twins, 1 + twins).is_some()
    }

    /// The same for the one handle of an object that `result` is, perhaps: a new handle may have that, and what was
    /// awaited. How much has come to it.
    pub fn weigh_after(&self, py: Python<'_>, result: *const ffi::PyObject) -> usize {
        let others = if ptr::eq(self.object.as_ptr(), result) {
            2
        } else {
            0
        };
        self.weigh(py, others, 1).unwrap_or(0)
    }

    /// `parts`: among so many handles. None if more have it than so many others.
    fn weigh(&self, py: Python<'_>, others: usize, parts: usize) -> Option<usize> {
        if self.account.is_closed() {
            return Some(0);
        }
        // SAFETY: a destructor closes the account before it hands the object to the reaper, which needs
        // the GIL to give it up. It was open when this thread had the GIL, and nothing is run here that
        // lets go of that.
        let object = unsafe { Bound::from_borrowed_ptr(py, self.object.as_ptr()) };
        // The handle's reference, and ours.
        let mut found = weight::of(&object, 2 + others)?;
        found.bytes /= parts;
        Some(enter(&self.account, &found))
    }
}

/// The handle of a term.
#[derive(Clone, Copy)]
pub struct Given<'a>(NonNull<Held>, PhantomData<Term<'a>>);

impl Given<'_> {
    /// None if it holds no object.
    pub fn object<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the term keeps the resource alive, and that the object.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, self.0.as_ref().object) }
    }

    /// For code that has the object as well, and goes on. None if it holds none.
    pub fn watch(&self) -> Option<Arc<Watch>> {
        // SAFETY: the term keeps the resource alive.
        let held = unsafe { self.0.as_ref() };
        let object = NonNull::new(held.object)?;
        let watch = held.watch.get_or_init(|| {
            Arc::new(Watch {
                object,
                account: Account::new(held.account.weight()),
            })
        });
        held.account.close();
        Some(Arc::clone(watch))
    }

    /// Whether its object is to be weighed now.
    pub fn is_due(&self) -> bool {
        // SAFETY: the term keeps the resource alive.
        unsafe { self.0.as_ref() }.turns.is_due()
    }

    /// Weighs the object again if it is held by its handle and by so many references more. How much has come
    /// to it.
    pub fn weigh(&self, py: Python<'_>, others: usize) -> usize {
        // The handle's reference, and ours.
        let found = self
            .object(py)
            .and_then(|object| weight::of(&object, 2 + others));
        let Some(found) = found else { return 0 };
        // SAFETY: as above. What is written here is atomic.
        enter(unsafe { self.0.as_ref() }.account(), &found)
    }
}

impl Held {
    fn account(&self) -> &Account {
        match self.watch.get() {
            Some(watch) => &watch.account,
            None => &self.account,
        }
    }
}

/// Enters what an object was found to weigh now. How much has come to it.
pub fn enter(account: &Account, found: &Weight) -> usize {
    let before = account.weight();
    let now = counted(found.total(before));
    // What is missing may be in another handle's hand, and is gone with this one all the same.
    let shrunk = now < before && !found.shares;
    if shrunk || now > before + SMALLEST {
        account.set(now)
    } else {
        0
    }
}

fn counted(weight: usize) -> usize {
    if weight < SMALLEST { 0 } else { weight }
}

/// What the VM knows the type by.
pub const TYPE_NAME: &CStr = c"erlang_python_nif::object::Handle";

static TYPE: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(ptr::null_mut());

/// The VM counts the size of a resource among the binaries of the processes that hold it, and collects a
/// process by that. So a handle is as large as a part of what it keeps alive: one byte for so many. Nobody
/// writes to them, so that the system need not provide them; the VM collects from 370 kB on, which
/// stands for 24 MB.
const SCALE: usize = 64;

/// More would not make the VM collect sooner.
const LARGEST: usize = 4 << 20;

/// What is less is not worth counting.
const SMALLEST: usize = 4 << 10;

/// When the library is loaded: makes the type known to the VM, which keeps it (see `resources`).
pub fn register(env: Env<'_>) -> bool {
    // SAFETY: the environment is that of the library's loading.
    let class = unsafe {
        let mut tried = ErlNifResourceFlags::ERL_NIF_RT_CREATE;
        enif_open_resource_type(
            env.as_c_arg(),
            ptr::null(),
            TYPE_NAME.as_ptr(),
            Some(destroy),
            ErlNifResourceFlags::ERL_NIF_RT_CREATE,
            &mut tried,
        )
    };
    TYPE.store(class.cast_mut(), Ordering::Release);
    if class.is_null() {
        return false;
    }
    // SAFETY: the type is that of this library. The object refers to nothing; nobody gets it, and it is
    // never given up.
    unsafe {
        enif_alloc_resource(class, size_of::<Held>())
            .cast::<Held>()
            .write(Held {
                object: ptr::null_mut(),
                account: Account::default(),
                watch: OnceLock::new(),
                turns: Turns::default(),
            });
    }
    true
}

/// On a scheduler, as a rule: it must not wait for the GIL.
unsafe extern "C" fn destroy(_env: *mut ErlNifEnv, resource: *mut c_void) {
    // SAFETY: called by the VM with a resource of ours, once. Nobody has it any more.
    let held = unsafe { resource.cast::<Held>().read() };
    // Before the object goes: see `Watch::look`.
    held.account().close();
    if let Some(object) = NonNull::new(held.object) {
        handle::release(object);
    }
}

/// The struct that Elixir knows. `weight`: how many bytes of Python's it keeps alive, about. Its home
/// is where the current thread works.
pub fn to_term(env: Env<'_>, handle: Handle, weight: usize) -> Term<'_> {
    make(env, handle, weight, None)
}

/// The same, of an object that Python code has as well.
pub fn to_watched_term(env: Env<'_>, handle: Handle) -> (Term<'_>, Arc<Watch>) {
    let watch = Arc::new(Watch {
        object: handle.pointer(),
        account: Account::default(),
    });
    (make(env, handle, 0, Some(Arc::clone(&watch))), watch)
}

fn make(env: Env<'_>, handle: Handle, weight: usize, watch: Option<Arc<Watch>>) -> Term<'_> {
    let weight = counted(weight);
    let held = Held {
        object: handle.into_ptr(),
        account: Account::new(weight),
        watch: watch.map_or_else(OnceLock::new, OnceLock::from),
        turns: Turns::default(),
    };
    let reference = resource(env, held, weight);
    let keys = [
        atoms::__struct__().to_term(env),
        atoms::home().to_term(env),
        atoms::reference().to_term(env),
    ];
    let values = [atoms::object().to_term(env), host::home(env), reference];
    Term::map_from_term_arrays(env, &keys, &values).expect("three different keys")
}

/// A resource that begins with `held`, as large as a part of `weight`.
fn resource(env: Env<'_>, held: Held, weight: usize) -> Term<'_> {
    let ballast = (weight / SCALE).min(LARGEST);
    // SAFETY: the type was registered when the library was loaded. What the resource begins with is
    // written before anybody sees it; a reference becomes that of the resource.
    unsafe {
        let resource =
            enif_alloc_resource(TYPE.load(Ordering::Acquire), size_of::<Held>() + ballast);
        resource.cast::<Held>().write(held);
        let term = enif_make_resource(env.as_c_arg(), resource);
        enif_release_resource(resource);
        Term::new(env, term)
    }
}

/// Has the process that `env` is of, or is sent to, collected as if it had made a handle to so many bytes
/// more: a handle that it has already cannot become larger. Nobody gets what is made for that, and it is gone with
/// the next collection.
pub fn ballast(env: Env<'_>, weight: usize) {
    if weight < SMALLEST {
        return;
    }
    let held = Held {
        object: ptr::null_mut(),
        account: Account::default(),
        watch: OnceLock::new(),
        turns: Turns::default(),
    };
    resource(env, held, weight);
}

/// The handle of a `%Python.Object{}`'s reference. None if it is none.
pub fn of_reference(reference: Term<'_>) -> Option<Given<'_>> {
    let mut resource: *const c_void = ptr::null();
    // SAFETY: a valid term of a valid environment, and a type of ours, of which each object begins like
    // this. The term keeps the resource alive.
    let found = unsafe {
        enif_get_resource(
            reference.get_env().as_c_arg(),
            reference.as_c_arg(),
            TYPE.load(Ordering::Acquire),
            &mut resource,
        )
    };
    let held = NonNull::new(resource.cast::<Held>().cast_mut())?;
    (found != 0).then_some(Given(held, PhantomData))
}

/// Why a `%Python.Object{}` has no handle here.
pub fn nothing(object: Term<'_>) -> String {
    let reference = object.map_get(atoms::reference()).ok();
    let own = node(*object.get_env().make_ref());
    let other = stands_for(object).or_else(|| reference.and_then(node).filter(|_| own.is_some()));
    match other {
        Some(node) if Some(&node) != own.as_ref() => format!(
            "this %Python.Object{{}} belongs to the node {node}: call Python there, with pool: {{name, node}}, or make a \
             copy here, with Python.fetch/2"
        ),
        _ => match reference
            .filter(|term| term.is_ref())
            .and_then(|_| home(object))
        {
            Some(home) => format!(
                "this %Python.Object{{}} is in another Python, that of {home}. Call it there, or convert the object with \
                 Python.to_term/2"
            ),
            None => "this %Python.Object{} is not a handle that Python returned".into(),
        },
    }
}

/// What an object's home is called. The Python of another engine has handles that are nothing here.
fn home(object: Term<'_>) -> Option<String> {
    let home = object.map_get(atoms::home()).ok()?;
    if home.is_pid() {
        return Some("a context".into());
    }
    let name = home.atom_to_string().ok().filter(|name| name != "nil")?;
    Some(format!(
        "the pool {}",
        name.strip_prefix("Elixir.").unwrap_or(&name)
    ))
}

/// The node of an object that is, or was, on another node: that is in its home.
pub fn stands_for(object: Term<'_>) -> Option<String> {
    let home = object.map_get(atoms::home()).ok()?;
    let (_, node, _): (Term, Term, Term) = home.decode().ok()?;
    node.atom_to_string().ok()
}

/// The name of the node that a reference is of, from its external form.
fn node(reference: Term<'_>) -> Option<String> {
    let external = reference.is_ref().then(|| reference.to_binary())?;
    let [_version, 90 | 114, _, _, atom @ ..] = external.as_slice() else {
        return None;
    };
    let (length, name) = match atom {
        [118 | 100, high, low, name @ ..] => (usize::from(*high) << 8 | usize::from(*low), name),
        [119 | 115, length, name @ ..] => (usize::from(*length), name),
        _ => return None,
    };
    Some(String::from_utf8_lossy(name.get(..length)?).into_owned())
}
