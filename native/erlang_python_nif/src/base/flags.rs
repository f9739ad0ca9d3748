//! How the answer to a request is to look, as bits: `lib/python/operation.ex` writes them.

#[derive(Clone, Copy)]
pub struct Flags(u32);

impl Flags {
    /// The bit of an `:init`.
    pub const INIT: u32 = 32;

    pub fn new(bits: u32) -> Self {
        Flags(bits)
    }

    /// For another process: all but what is the caller's alone.
    pub fn bits(self) -> u32 {
        self.0 & !(4 | 256 | 512 | 1024)
    }

    /// Other processes wait for the caller's scheduler.
    pub fn is_in_the_way(self) -> bool {
        self.0 & 256 != 0
    }

    /// Its caller may run it itself.
    pub fn may_run_here(self) -> bool {
        self.0 & 1024 != 0
    }

    /// Its caller waits for the answer, and does nothing else meanwhile.
    pub fn is_waited_for(self) -> bool {
        self.0 & 4 != 0
    }

    /// The result stays in Python; the answer is a handle.
    pub fn return_object(self) -> bool {
        self.0 & 1 != 0
    }

    /// The caller speaks Erlang: `None` is `none`.
    pub fn erlang(self) -> bool {
        self.0 & 2 != 0
    }

    /// It is the `:init` of a pool or context. The context variables that a pool's sets are
    /// those that calls begin with.
    pub fn init(self) -> bool {
        self.0 & Self::INIT != 0
    }

    /// What was `bytes` is a `%Python.Bytes{}`.
    pub fn return_bytes(self) -> bool {
        self.0 & 8 != 0
    }

    /// The option `:decode`, as `lib/python/decode.ex` writes it. 0 for none.
    pub fn settings(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// With the settings of the pool where it has none of its own.
    pub fn over(self, pool: u16) -> Self {
        if pool == 0 {
            return self;
        }
        // The bits of each setting. All of them at 0: it was not given.
        const SETTINGS: [u16; 7] = [3, 3 << 2, 7 << 4, 3 << 7, 3 << 9, 3 << 11, 7 << 13];
        let own = self.settings();
        let pool = SETTINGS
            .into_iter()
            .filter(|bits| own & bits == 0)
            .fold(0, |settings, bits| settings | pool & bits);
        Flags(self.0 | u32::from(pool) << 16)
    }

    /// Whether errors keep what their frames hold. None: as the pool says.
    pub fn keep_locals(self) -> Option<bool> {
        match self.0 & (64 | 128) {
            0 => None,
            bits => Some(bits & 64 != 0),
        }
    }

    /// The request is cancelled when its ticket is no longer held.
    pub fn cancel_on_drop(self) -> bool {
        self.0 & (4 | 512) != 0
    }

    /// It is for the body of a `with`: its caller is told more than the answer, all by messages.
    pub fn is_for_body(self) -> bool {
        self.0 & 512 != 0
    }
}
